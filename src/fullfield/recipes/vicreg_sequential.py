"""Sequential inference on an emulator of self-supervised summaries, where a simulation costs nothing."""

from pydantic import Field, PositiveInt

from fullfield.recipes.recipe import Recipe, Scale
from fullfield.recipes.vicreg_lognormal import MapViewsConfiguration, PAPER


class VICRegSequentialConfiguration(MapViewsConfiguration):
    """Settings of the emulator and the rounds."""

    emulator_epochs: PositiveInt = Field(default=60, description="300 in the paper")
    rounds: PositiveInt = 10
    simulations: int = Field(default=1000, ge=50, description="of the emulator, in every round")
    head_epochs: PositiveInt = Field(default=60, description="of the inference network")


def build(configuration: VICRegSequentialConfiguration):
    """Build the study."""
    from fullfield.recipes.vicreg_sequential_measure import sequential_study

    return sequential_study(configuration)


VICREG_SEQUENTIAL = Recipe(
    name="vicreg-sequential",
    summary="Sequential inference on an emulator of self-supervised summaries of lognormal maps.",
    configuration=VICRegSequentialConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 32, "cosmologies": 400, "epochs": 20, "emulator_epochs": 3, "rounds": 2, "simulations": 200,
            "head_epochs": 10,
        }, "~3 min"),
        "laptop": Scale({}, "~30 min"),
        "paper": Scale({**PAPER, "emulator_epochs": 300, "head_epochs": 200}, "~15 min (H200)"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "papamakarios2017", "deistler2022"),
    headline=("truth/", "deviation/", "ratio/", "emulator/"),
)  # fmt: skip
