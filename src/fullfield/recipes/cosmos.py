"""The COSMOS field of the Hubble Space Telescope: mass map and amplitude of matter fluctuations from real shear."""

from typing import Literal

from pydantic import Field, model_validator

from fullfield.recipes.joint_settings import JointConfiguration, JointSimulationSettings, OWN_DATA
from fullfield.recipes.mass_map import ChainSettings, EstimateSettings
from fullfield.recipes.recipe import Recipe, Scale


PUBLISHED = (0.75, 0.08)
"""σ8 (Ωm / 0.3)^0.51 and its error: Schrabback et al. 2010 (A&A 516, A63), from tomographic correlation functions."""

POWER = 0.51


class CosmosConfiguration(JointConfiguration):
    """Settings of the analysis."""

    pixels: Literal[16, 32, 64, 96] = Field(default=32, description="on a side of 1.92 degrees")
    observations: int = Field(default=3, ge=1, description="simulated twins of the survey that are compared with chains")
    simulations: JointSimulationSettings = JointSimulationSettings(training=20_000, validation=1000)
    estimate: EstimateSettings = EstimateSettings(simulations=5000)
    moves: int = Field(default=48, ge=0, description="moves of each draw by the model's own density, after the diffusion")
    reference: ChainSettings = ChainSettings()

    @model_validator(mode="after")
    def _buildable(self):
        self.denoiser.check(self.pixels)
        return self


def build(configuration: CosmosConfiguration):
    """Build the study."""
    from fullfield.recipes.cosmos_bench import cosmos_study

    return cosmos_study(configuration)


COSMOS = Recipe(
    name="cosmos",
    summary="Real data: mass map of the HST COSMOS field with its uncertainty, its clusters, and σ8 (Ωm / 0.3)^0.51.",
    configuration=CosmosConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 32, "observations": 1, "draws": 40, "compared": 1000, "maps": 500,
            "simulations": {"training": 3000, "validation": 500, "calibration": 60},
            "estimate": {"simulations": 1000}, "denoiser": {"epochs": 5, "widths": (16, 32)},
            "reference": {"draws": 400, "warmup": 200},
        }, "~8 min"),
        "laptop": Scale({}, "~55 min"),
        "paper": Scale({
            "pixels": 96, "simulations": {"training": 100_000, "validation": 4000, "calibration": 500},
            "estimate": {"simulations": 20_000}, "denoiser": {"widths": (64, 128)},
        }, "~1 h (H200)"),
    },
    build=build,
    headline=("real/amplitude", "real/c2st", "theta/c2st against", "joint/mira/uniform"),
    own_data=OWN_DATA,
    citations=(
        "schrabback2010", "finoguenov2007", "remy2023", "remy2026", "li2025", "lu2022", "kaiser1993", "robnik2025",
        "alsing2018", "millea2022", "lemos2023", "sharief2026", "lopezpaz2017",
    ),
)  # fmt: skip
