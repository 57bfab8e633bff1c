"""A Gaussian field whose joint posterior of map and spectrum is exact: what a joint diffusion is tried on first."""

from typing import Literal

from pydantic import Field, model_validator

from fullfield.recipes.joint_settings import DenoiserSettings, JointConfiguration, OWN_DATA
from fullfield.recipes.recipe import Recipe, Scale


class JointGaussianConfiguration(JointConfiguration):
    """Settings of the trial."""

    pixels: Literal[8, 16, 32, 64] = 16
    denoiser: DenoiserSettings = DenoiserSettings(patch=2, widths=(32, 64))
    prior: bool = Field(default=True, description="train a denoiser without observations too, whose draws are simulations")

    @model_validator(mode="after")
    def _buildable(self):
        self.denoiser.check(self.pixels)
        return self


def build(configuration: JointGaussianConfiguration):
    """Build the study."""
    from fullfield.recipes.joint_gaussian_bench import GaussianBench
    from fullfield.recipes.joint_study import joint_study

    return joint_study(GaussianBench(configuration))


JOINT_GAUSSIAN = Recipe(
    name="joint-gaussian",
    summary="Joint diffusion of map and spectrum where the answer is exact: a Gaussian field with amplitude and tilt.",
    configuration=JointGaussianConfiguration,
    scales={
        "smoke": Scale({
            "observations": 2, "draws": 40, "compared": 1000, "maps": 1000,
            "simulations": {"training": 4000, "validation": 500, "calibration": 100},
            "denoiser": {"epochs": 6, "widths": (16, 32)},
        }, "~2 min"),
        "laptop": Scale({}, "~40 min"),
        "paper": Scale({
            "pixels": 64, "simulations": {"training": 100_000, "validation": 4000},
            "denoiser": {"widths": (64, 128), "batch": 256},
        }, "~10 min (H200)"),
    },
    build=build,
    headline=("theta/c2st against", "joint/mira/uniform"),
    own_data=OWN_DATA,
    citations=("remy2026", "li2025", "lu2022", "wandelt2004", "lemos2023", "sharief2026"),
)  # fmt: skip
