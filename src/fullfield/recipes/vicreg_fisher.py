"""Fisher information of self-supervised summaries of lognormal maps, beside that of the maps themselves."""

from pydantic import Field

from fullfield.recipes.recipe import Recipe, Scale
from fullfield.recipes.vicreg_lognormal import Agreement, MapViewsConfiguration, PAPER


PUBLISHED = {"maps": (0.019, 0.013), "summaries": (0.020, 0.013)}
"""Errors of Ωm and σ8 in table 2 of Akhmetzhanova, Mishra-Sharma & Dvorkin 2024, of fields of real amplitudes."""


class VICRegFisherConfiguration(MapViewsConfiguration):
    """Settings of the comparison."""

    agreements: tuple[Agreement, ...] = Field(default=("vicreg", "simclr"), min_length=1)
    fiducial: int = Field(default=4000, ge=200, description="maps with derivatives at Ωm = 0.3, σ8 = 0.8")


def build(configuration: VICRegFisherConfiguration):
    """Build the study."""
    from fullfield.recipes.vicreg_fisher_measure import fisher_study

    return fisher_study(configuration)


VICREG_FISHER = Recipe(
    name="vicreg-fisher",
    summary="Fisher information that self-supervised summaries of lognormal maps keep.",
    configuration=VICRegFisherConfiguration,
    scales={
        "smoke": Scale({"pixels": 32, "cosmologies": 400, "epochs": 20, "fiducial": 500}, "~2 min"),
        "laptop": Scale({}, "~40 min"),
        "paper": Scale({**PAPER, "fiducial": 10_000}, "~10 min (H200)"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "chen2020", "ledoit2004"),
    headline=("deviation/", "ratio/"),
)  # fmt: skip
