"""Summaries of maps that forget baryons, held against baryons that no training has seen."""

from pydantic import Field, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


class VICRegBaryonsConfiguration(Configuration):
    """Settings of the trial."""

    pixels: int = Field(default=128, ge=16, multiple_of=8, description="on a side")
    pixel: PositiveFloat = Field(default=5.0, description="side of a pixel in Mpc")
    fraction: float = Field(
        default=0.5, ge=0.4, le=1.0, description="baryons that groups have kept in the maps of the trial, of the mean"
    )
    cosmologies: int = Field(default=3000, ge=200, description="pairs of Ωm and σ8, a tenth each held out and for tests")
    views: int = Field(default=10, ge=2, description="maps of each, which are learnt from in pairs")
    epochs: PositiveInt = Field(default=100, description="of summaries, two views of every cosmology in each")
    supervised_epochs: PositiveInt = Field(default=60, description="of summaries learnt with labels, on all views")
    npe_epochs: PositiveInt = Field(default=20, description="of posteriors from them, on all views")
    learning_rate: PositiveFloat = 3e-3


def build(configuration: VICRegBaryonsConfiguration):
    """Build the study."""
    from fullfield.recipes.vicreg_baryons_measure import baryons_study

    return baryons_study(configuration)


VICREG_BARYONS = Recipe(
    name="vicreg-baryons",
    summary="Self-supervised summaries of density maps that forget baryons, under baryons that no training has seen.",
    configuration=VICRegBaryonsConfiguration,
    scales={
        "smoke": Scale({"pixels": 32, "cosmologies": 400, "epochs": 20, "supervised_epochs": 4, "npe_epochs": 5}, "~5 min"),
        "laptop": Scale({}, "~75 min"),
        "paper": Scale({"pixels": 256, "cosmologies": 10_000, "epochs": 200}, "~10 min (H200)"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "schneider2015", "vandaalen2020", "jeffrey2021"),
    headline=("bias/", "coverage/"),
)  # fmt: skip
