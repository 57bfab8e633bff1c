"""Mass map and cosmology together from shear with a mask, by joint diffusion, held against chains of the same model."""

from typing import Literal

from pydantic import Field, model_validator, PositiveInt

from fullfield.recipes.configuration import Section
from fullfield.recipes.joint_settings import JointConfiguration, OWN_DATA
from fullfield.recipes.recipe import Recipe, Scale


class ChainSettings(Section):
    """Metropolis-adjusted chains of parameters and field that draws are held against."""

    chains: int = Field(default=4, ge=2)
    draws: int = Field(default=2000, ge=40, description="kept by each chain")
    warmup: PositiveInt = 400


class WarmSettings(Section):
    """Chains that start from joint draws beside chains from the prior, of equal length, ever longer warm-up."""

    observations: int = Field(default=5, ge=0)
    draws: int = Field(default=1000, ge=40, description="kept by each chain")
    warmups: tuple[PositiveInt, ...] = Field(default=(25, 50, 100, 200, 400), description="draws before, tried in this order")


class BaselineSettings(Section):
    """Mass maps by other methods, compared on simulations of the calibration."""

    observations: PositiveInt = Field(default=300, description="simulations of the calibration, at most")
    epochs: PositiveInt = Field(default=1, description="of the learnt mass map's training, over all simulations")


class EstimateSettings(Section):
    """Estimates of the parameters, about which the scores of every observation are taken."""

    simulations: int = Field(default=10_000, ge=500, description="for each of two")


class MassMapConfiguration(JointConfiguration):
    """Settings of the study."""

    pixels: Literal[16, 32, 64, 128] = 32
    masked: float = Field(default=0.1, ge=0, le=0.5, description="part of the patch behind round holes")
    depth: float = Field(default=0.15, ge=0, le=0.5, description="amplitude of a smooth variation of the noise over the patch")
    estimate: EstimateSettings = EstimateSettings()
    moves: int = Field(default=16, ge=0, description="moves of each draw by the model's own density, after the diffusion")
    reference: ChainSettings = ChainSettings()
    baselines: BaselineSettings = BaselineSettings()
    warm: WarmSettings = WarmSettings()

    @model_validator(mode="after")
    def _buildable(self):
        self.denoiser.check(self.pixels)
        return self


def build(configuration: MassMapConfiguration):
    """Build the study."""
    from fullfield.recipes.mass_map_study import mass_map_study

    return mass_map_study(configuration)


MASS_MAP = Recipe(
    name="mass-map-cosmology",
    summary="Mass map and cosmology together: joint diffusion from masked shear, held against field-level chains.",
    configuration=MassMapConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 16, "observations": 1, "draws": 40, "compared": 1000, "maps": 500,
            "simulations": {"training": 4000, "validation": 500, "calibration": 60},
            "estimate": {"simulations": 1000}, "denoiser": {"epochs": 5, "widths": (16, 32)},
            "reference": {"draws": 200, "warmup": 100}, "baselines": {"epochs": 5}, "warm": {"observations": 0},
        }, "~8 min"),
        "laptop": Scale({}, "~100 min"),
        "paper": Scale({
            "pixels": 128, "simulations": {"training": 100_000, "validation": 4000},
            "estimate": {"simulations": 30_000}, "denoiser": {"widths": (64, 128, 128), "epochs": 20},
        }, "hours (H200)"),
    },
    build=build,
    headline=("theta/c2st against", "joint/mira/uniform", "start/gradients from the prior"),
    own_data=OWN_DATA,
    citations=(
        "remy2026", "li2025", "lu2022", "kaiser1993", "robnik2025", "alsing2018", "millea2022", "zeghal2025", "lemos2023",
        "sharief2026", "lopezpaz2017",
    ),
)  # fmt: skip
