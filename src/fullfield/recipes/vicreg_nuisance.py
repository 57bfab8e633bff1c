"""Summaries that ignore baryons in a toy spectrum: views vary the slope beyond a pivot, and are to agree all the same."""

from pydantic import Field, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


PUBLISHED = {"relative/A": 0.021524, "relative/B": 0.038707, "mse/A": 1.09e-4, "mse/B": 2.26e-4, "loss": -5.40}
"""Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (MNRAS 527, 7459), section 4.3, to the digits of their public notebooks."""

BARS = {"error/A": "<= 0.021", "error/B": "<= 0.039", "relative/A": "<= 0.0215", "mse/A": "<= 1.09e-4", "mse/B": "<= 2.26e-4"}
"""No errors larger than those; but B goes to zero, where means of |error / B| ("relative/B") have no limit to be held to."""


class VICRegNuisanceConfiguration(Configuration):
    """Settings; those of the paper unless said otherwise. It trained summaries for 300 epochs."""

    cosmologies: int = Field(default=1000, ge=100, description="pairs of A and B, a tenth each held out and for tests")
    views: int = Field(default=10, ge=2, description="spectra of each, which are learnt from in pairs")
    epochs: PositiveInt = Field(default=1500, description="of summaries, where they are trained out")
    brief_epochs: PositiveInt = Field(default=300, description="of those on which dependence is measured like the paper's")
    head_epochs: PositiveInt = Field(default=300, description="of the inference from them")
    dependence: int = Field(default=1000, ge=200, description="fresh spectra for distance correlations")
    information: int = Field(default=10_000, ge=400, description="fresh spectra for mutual information")
    every: PositiveInt = Field(default=7, description="dependence is measured on one bin in so many; on all in the paper")


def build(configuration: VICRegNuisanceConfiguration):
    """Build the study."""
    from fullfield.recipes.vicreg_nuisance_measure import nuisance_study

    return nuisance_study(configuration)


SMOKE = {
    "cosmologies": 300, "epochs": 100, "brief_epochs": 60, "head_epochs": 60,
    "dependence": 300, "information": 1000, "every": 12,
}  # fmt: skip

VICREG_NUISANCE = Recipe(
    name="vicreg-nuisance",
    summary="Self-supervised summaries of a broken power law that keep its cosmology and forget its baryons.",
    configuration=VICRegNuisanceConfiguration,
    scales={
        "smoke": Scale(SMOKE, "~1 min"),
        "laptop": Scale({}, "~9 min"),
        "paper": Scale({"every": 1}, "~45 min"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "szekely2007", "belghazi2018", "song2020"),
    headline=("error/", "mse/", "r2/"),
)  # fmt: skip
