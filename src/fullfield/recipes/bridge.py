"""Particle-mesh maps from perturbation theory by a learnt transport, and whether posteriors from them are those of the mesh."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration, Section
from fullfield.recipes.recipe import Recipe, Scale


Carrier = Literal["transfer", "transport", "minibatch", "unconditional", "paired"]


class BridgeSimulations(Section):
    """How many maps are made of which kind."""

    cheap: int = Field(default=6000, ge=60, description="of perturbation theory, to be carried")
    costly: int = Field(default=500, ge=60, description="of the particle mesh, for carriers to learn from; a tenth is held out")
    reference: int = Field(
        default=5000, ge=60, description="of the particle mesh, for the posterior that carriers are to match"
    )
    test: int = Field(default=500, ge=60, description="of both from equal seeds, that no training sees")


class BridgeTransport(Section):
    """How carriers are trained."""

    epochs: PositiveInt = 100
    batch: PositiveInt = 50
    learning_rate: PositiveFloat = 2e-3
    weight: PositiveFloat = Field(default=0.03, description="of the maps' distance beside that of the parameters, in a plan")


class BridgePosterior(Section):
    """How posteriors are learnt from maps, all alike."""

    looks: PositiveInt = Field(default=4, description="draws of the noise on each map")
    epochs: PositiveInt = 30
    members: PositiveInt = Field(default=2, description="networks of a posterior")
    draws: int = Field(default=2000, ge=100)


class BridgeConfiguration(Configuration):
    """Settings of the comparison of emulated and simulated maps."""

    points: int = Field(default=48, ge=8, multiple_of=2, description="particles on a side of the box")
    pixels: int = Field(default=32, ge=16, multiple_of=8)
    side: PositiveFloat = Field(default=5.0, description="of the maps, in degrees")
    order: Literal[1, 2] = Field(default=1, description="of perturbation theory")
    carriers: tuple[Carrier, ...] = Field(
        default=("transfer", "transport", "minibatch", "unconditional", "paired"), min_length=1
    )
    simulations: BridgeSimulations = BridgeSimulations()
    transport: BridgeTransport = BridgeTransport()
    posterior: BridgePosterior = BridgePosterior()
    observations: int = Field(default=120, ge=10, description="of the particle mesh, at which posteriors are compared")
    compared: PositiveInt = Field(default=20, description="of these, by C2ST")


def build(configuration: BridgeConfiguration):
    """Build the study.

    Raises:
        ConfigurationError: a setting is impossible.
    """
    from fullfield.recipes.bridge_measure import bridge_study

    return bridge_study(configuration)


BRIDGE = Recipe(
    name="bridge-simulators",
    summary="Particle-mesh lensing from perturbation theory by conditional optimal transport: maps, conditionals, posteriors.",
    configuration=BridgeConfiguration,
    scales={
        "smoke": Scale({
            "points": 16, "pixels": 16, "carriers": ("transfer", "transport"),
            "simulations": {"cheap": 400, "costly": 120, "reference": 400, "test": 120},
            "transport": {"epochs": 3}, "posterior": {"epochs": 10, "members": 1, "draws": 500},
            "observations": 20, "compared": 2,
        }, "~4 min"),
        "laptop": Scale({}, "~60 min"),
        "paper": Scale({
            "points": 128, "pixels": 64, "simulations": {"cheap": 20000, "costly": 2000, "reference": 20000, "test": 1000},
            "transport": {"epochs": 200},
        }, "~1 h (H200)"),
    },
    build=build,
    citations=("zeghal2025bridging", "kerrigan2024", "tong2024", "rampf2024", "lemos2024"),
    headline=("shift/transport/", "width/transport/", "c2st/transport", "power/transport/", "displacement/"),
)  # fmt: skip
