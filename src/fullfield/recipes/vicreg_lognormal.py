"""Summaries of lognormal maps learnt without labels, as accurate as supervised ones and as the exact posterior."""

from typing import Literal

from pydantic import Field, model_validator, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


Agreement = Literal["vicreg", "simclr"]

PUBLISHED = {
    "vicreg": {"error/omega_m": 0.052, "error/sigma_8": 0.013, "loss": -5.98, "mse/omega_m": 3.6e-4, "mse/sigma_8": 1.8e-4},
    "supervised": {"error/omega_m": 0.051, "error/sigma_8": 0.013, "loss": -6.01, "mse/omega_m": 3.4e-4, "mse/sigma_8": 1.7e-4},
    "simclr": {"error/omega_m": 0.052, "error/sigma_8": 0.013, "loss": -5.92, "mse/omega_m": 3.7e-4, "mse/sigma_8": 1.8e-4},
}  # fmt: skip
"""Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (MNRAS 527, 7459), tables 1 and C1, on fields of real amplitudes."""

PAPER = {
    "generator": "real-amplitude", "network": "published", "cosmologies": 10_000, "epochs": 200, "learning_rate": 2e-4,
}  # fmt: skip
"""The paper's settings of maps and encoder (its sections 3.1.1 and 3.1.2).

What differs: channels are scaled to examples once, where the paper has batch norms; views are shifted as well as turned and
mirrored; the optimiser is Adam without decay of weights, at a learning rate that falls as a cosine, and weights are averaged
over its last steps, where the public code has AdamW and rates that fall when the held-out loss stalls; supervised training has
the same encoder and head, and sees as many maps as the summaries' does, 40 epochs in batches of 400, where the paper's has an
encoder of five outputs, and 200 epochs in batches of 200; SimCLR has batches of 200 cosmologies, where that of the code is 256;
and the head has 72,448 parameters for both, as the published one of VICReg, where that of SimCLR has 5,824. Learning rates are
those of the text; SimCLR's in the code is 1e-3.
"""


class MapViewsConfiguration(Configuration):
    """Maps, views and training; for summaries of lognormal maps."""

    pixels: int = Field(default=100, ge=16, description="on a side, of 10 Mpc each")
    generator: Literal["gaussian", "real-amplitude"] = Field(
        default="gaussian",
        description="a Gaussian field behind the maps, or one of the paper's, which holds half the information",
    )
    network: Literal["powers", "published"] = Field(
        default="powers", description="powers of learned filters, or the paper's nine convolutions, for a GPU"
    )
    cosmologies: int = Field(default=4000, ge=200, description="pairs of parameters, a tenth each held out and for tests")
    views: int = Field(default=10, ge=2, description="maps of each, which are learnt from in pairs")
    epochs: PositiveInt = Field(default=200, description="of the summaries, two views of every cosmology in each")
    learning_rate: PositiveFloat = 3e-3

    @model_validator(mode="after")
    def _buildable(self):
        if self.network == "published" and self.pixels != 100:
            raise ValueError(f"network=published takes pixels=100 alone, network=powers others, got pixels={self.pixels}")
        if self.pixels % 8 and self.pixels % 10:
            raise ValueError(f"pixels must be a multiple of 8 or of 10 for network=powers, got {self.pixels}")
        return self


class VICRegLognormalConfiguration(MapViewsConfiguration):
    """Settings of the comparison with supervised summaries."""

    agreements: tuple[Agreement, ...] = Field(default=("vicreg", "simclr"), min_length=1)
    head_epochs: PositiveInt = Field(default=60, description="of the inference from summaries")
    supervised_rate: PositiveFloat = Field(default=3e-3, description="learning rate of the network that is told the parameters")


def build(configuration: VICRegLognormalConfiguration):
    """Build the study."""
    from fullfield.recipes.vicreg_lognormal_measure import lognormal_study

    return lognormal_study(configuration)


VICREG_LOGNORMAL = Recipe(
    name="vicreg-lognormal",
    summary="Self-supervised summaries of lognormal maps beside supervised ones and the exact posterior.",
    configuration=VICRegLognormalConfiguration,
    scales={
        "smoke": Scale({"pixels": 32, "cosmologies": 400, "epochs": 20, "head_epochs": 20}, "~2 min"),
        "laptop": Scale({}, "~1.5 h"),
        "paper": Scale({**PAPER, "head_epochs": 200, "supervised_rate": 2e-3}, "~10 min (H200)"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "chen2020"),
    headline=("error/", "ratio/", "loss/"),
)  # fmt: skip
