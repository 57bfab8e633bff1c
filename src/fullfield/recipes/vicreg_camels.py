"""Summaries of maps of the total mass learnt without labels, from files of the CAMELS Multifield Dataset or like them."""

import pathlib
from typing import Literal

from pydantic import Field, field_validator, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


Suite = Literal["IllustrisTNG", "SIMBA", "Astrid", "Nbody_IllustrisTNG", "Nbody_SIMBA", "Nbody_Astrid"]
Method = Literal["vicreg", "vicreg-pair", "simclr"]

_COLUMNS = ("loss", "mse/Omega_m", "mse/sigma_8", "error/Omega_m", "error/sigma_8")
_ROWS = {
    "SIMBA": {
        "vicreg": (-3.27, 2.09e-4, 6.37e-4, 0.0379, 0.0246), "supervised": (-3.61, 1.80e-4, 5.75e-4, 0.0328, 0.0229),
        "vicreg-pair": (-3.22, 2.52e-4, 6.73e-4, 0.0405, 0.0253), "simclr": (-3.24, 2.73e-4, 7.55e-4, 0.0414, 0.0263),
    },
    "IllustrisTNG": {
        "vicreg": (-3.60, 2.48e-4, 3.79e-4, 0.0370, 0.0189), "supervised": (-3.84, 1.97e-4, 3.46e-4, 0.0332, 0.0183),
        "vicreg-pair": (-3.36, 3.12e-4, 4.54e-4, 0.0417, 0.0207), "simclr": (-3.43, 3.31e-4, 4.60e-4, 0.0418, 0.0211),
    },
}  # fmt: skip
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    suite: {label: dict(zip(_COLUMNS, row, strict=True)) for label, row in rows.items()} for suite, rows in _ROWS.items()
}
"""Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (MNRAS 527, 7459), tables 3 and C2, on the published maps."""


class VICRegCamelsConfiguration(Configuration):
    """Settings of the comparison with supervised summaries."""

    folder: str | None = Field(
        default=None,
        description="where files of the CAMELS Multifield Dataset lie, of the field Mtot and the set LH, with their table; "
        "synthetic ones, from lognormal fields, are made if not given",
    )
    suites: tuple[Suite, ...] = Field(default=("IllustrisTNG",), min_length=1)
    methods: tuple[Method, ...] = Field(default=("vicreg", "simclr"), min_length=1)
    pixels: Literal[32, 64, 128, 256] = Field(default=64, description="of synthetic maps, on a side of 25 Mpc/h")
    simulations: int = Field(default=500, ge=50, description="synthetic ones, 15 maps of each")
    network: Literal["powers", "resnet18"] = Field(
        default="powers", description="powers of learned filters, or the paper's residual network, for a GPU"
    )
    epochs: PositiveInt = Field(default=150, description="of the summaries")
    head_epochs: PositiveInt = Field(default=150, description="of the inference from summaries")
    supervised_epochs: PositiveInt = Field(default=100, description="of the network that is told the parameters")
    learning_rate: PositiveFloat = 3e-3
    supervised_rate: PositiveFloat = Field(default=3e-3, description="learning rate of the network that is told the parameters")

    @field_validator("folder")
    @classmethod
    def _absolute(cls, folder: str | None) -> str | None:
        # A run may be continued from another working directory.
        return None if folder is None else str(pathlib.Path(folder).expanduser().absolute())


def build(configuration: VICRegCamelsConfiguration):
    """Build the study.

    Raises:
        DataError: the folder has no files of a suite, or they are not what they should be.
    """
    from fullfield.recipes.vicreg_camels_measure import camels_study

    return camels_study(configuration)


VICREG_CAMELS = Recipe(
    name="vicreg-camels",
    summary="Self-supervised summaries of total mass maps beside supervised ones: of CAMELS files, or synthetic ones of ours.",
    configuration=VICRegCamelsConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 32, "simulations": 60, "epochs": 60, "head_epochs": 30, "supervised_epochs": 30,
        }, "~2 min"),
        "laptop": Scale({}, "~20 min"),
        "paper": Scale({
            "methods": ("vicreg", "vicreg-pair", "simclr"), "pixels": 256, "simulations": 1000, "network": "resnet18",
            "supervised_epochs": 200, "learning_rate": 1e-3, "supervised_rate": 2e-4,
        }, "~1 h (H200)"),
    },
    build=build,
    citations=("akhmetzhanova2024", "bardes2022", "chen2020", "villaescusa2022", "he2016"),
    headline=("error/", "ratio/", "loss/"),
)  # fmt: skip
