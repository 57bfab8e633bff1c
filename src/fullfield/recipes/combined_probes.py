"""Lensing, clustering and both together, from maps and from their spectra: what maps know beyond spectra, and why combine."""

from typing import get_args, Literal

from pydantic import Field, model_validator, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration, Section
from fullfield.recipes.recipe import Recipe, Scale


Probe = Literal["lensing", "clustering", "combined"]
Bias = Literal["linear", "second-order"]
"""Linear bias of galaxies smoothed by 8 Mpc/h, with seven parameters, or bias of second order and 4 Mpc/h, with nine."""
Analysis = Literal["maps", "spectra", "moduli", "wide"]
"""A network on maps and their spectra; one on the spectra alone; one on spectra as the paper's public code measures them, with
the modulus of every mode of a cross spectrum; and a larger network on spectra, to see whether they hold more."""

_LENSING = {"omega_m": 1.7, "sigma_8": 2.1, "s_8": 3.0, "fom": 11.0, "a_ia": 3.9, "eta_ia": 1.0}
PUBLISHED = {
    "linear": {
        "lensing": _LENSING,
        "clustering": {"omega_m": 1.5, "sigma_8": 1.6, "s_8": 0.9, "fom": 1.7, "b_g": 1.6, "r_g": 4.4, "eta_b": 1.3},
        "combined": {
            "omega_m": 1.6, "sigma_8": 1.3, "s_8": 2.3, "fom": 14.9,
            "a_ia": 8.3, "b_g": 1.5, "r_g": 3.6, "eta_ia": 1.4, "eta_b": 1.2,
        },
    },
    "second-order": {
        "lensing": _LENSING,
        "clustering": {
            "omega_m": 1.3, "sigma_8": 1.2, "s_8": 1.3, "fom": 6.2,
            "b_g": 1.5, "r_g": 4.3, "eta_b": 1.7, "b_2": 2.6, "eta_b2": 1.4,
        },
        "combined": {
            "omega_m": 1.5, "sigma_8": 1.2, "s_8": 1.5, "fom": 13.2,
            "a_ia": 8.1, "b_g": 1.4, "r_g": 4.8, "eta_ia": 1.6, "eta_b": 1.7, "b_2": 2.7, "eta_b2": 1.7,
        },
    },
}  # fmt: skip
"""Gains of maps over spectra, on large scales with linear bias and on small ones with that of second order: Kacprzak & Fluri
2022 (PRX 12, 031029), table II; 900 square degrees of simulated matter."""


SIDE, PIXELS = 5.0, 64  # degrees and pixels of the paper's field, whose pixels all fields have
LOOKED_AT = {"a_ia": (0, 4), "sigma_8": (1, 7)}
"""Parameters whose estimates are asked what they look at, with the convergence and the galaxies of the paper's figure 6."""


class SimulationSettings(Section):
    """How many surveys, from the prior, each purpose gets."""

    training: int = Field(default=96_000, ge=500, description="for networks on spectra, and their posteriors")
    maps: int = Field(default=24_000, ge=500, description="of these, whose maps are kept: for networks on maps")
    galaxies: PositiveInt = Field(
        default=4, description="drawn so many times over in every light cone of these, each time anew"
    )
    validation: int = Field(default=1000, ge=100, description="to stop both")
    calibration: int = Field(default=500, ge=50, description="for tests of every posterior")
    observations: int = Field(default=200, ge=10, description="at the fiducial parameters, of which precision is the median")


class TrainingSettings(Section):
    """The same for all networks, and for all posteriors."""

    epochs: PositiveInt = Field(default=25, description="of networks on spectra, and of posteriors")
    looks: PositiveInt = Field(default=2, description="epochs of networks on maps")
    batch: PositiveInt = 100
    surveys: PositiveInt = Field(default=25, description="in a batch of maps")
    learning_rate: PositiveFloat = 5e-3
    width: PositiveInt = Field(default=64, description="of the network on spectra")
    draws: int = Field(default=1000, ge=200, description="of each posterior")


class SupplierSettings(Section):
    """Of noiseless fields whose skewness is compared, lognormal ones and those of a particle mesh."""

    fields: int = Field(default=40, ge=2)
    points: PositiveInt = Field(default=128, description="particles on a side of the cube, which is as wide as a field far out")


class CombinedProbesConfiguration(Configuration):
    """Settings of the comparison."""

    bias: Bias = "linear"
    pixels: Literal[16, 32, 64, 128] = Field(default=64, description="of a field on a side, 4.7 arcminutes each")
    fields: PositiveInt = Field(default=4, description="in a survey; 36 of 64 pixels are the paper's 900 square degrees")
    probes: tuple[Probe, ...] = get_args(Probe)
    analyses: tuple[Analysis, ...] = get_args(Analysis)
    simulations: SimulationSettings = SimulationSettings()
    training: TrainingSettings = TrainingSettings()
    suppliers: SupplierSettings = SupplierSettings()

    @model_validator(mode="after")
    def _possible(self):
        if not self.probes or not self.analyses:
            raise ValueError("probes and analyses must name at least one each")
        if self.simulations.maps > self.simulations.training:
            raise ValueError("simulations.maps must not be more than simulations.training")
        if self.simulations.training % self.simulations.galaxies or self.simulations.maps % self.simulations.galaxies:
            raise ValueError("simulations.training and simulations.maps must be multiples of simulations.galaxies")
        if "maps" in self.analyses and "spectra" not in self.analyses:
            raise ValueError("analyses with maps need spectra too, to which maps are added")
        return self


def build(configuration: CombinedProbesConfiguration):
    """Build the study."""
    from fullfield.recipes.combined_measure import combined_study

    return combined_study(configuration)


COMBINED_PROBES = Recipe(
    name="combined-probes",
    summary="Combined probes: lensing, clustering and both, from maps and from spectra, with all that galaxies may do.",
    configuration=CombinedProbesConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 16, "fields": 4,
            "simulations": {"training": 1000, "maps": 500, "validation": 100, "calibration": 100, "observations": 20},
            "training": {"epochs": 10, "looks": 1, "draws": 300}, "suppliers": {"fields": 4, "points": 32},
        }, "~4 min"),
        "laptop": Scale({}, "~60 min, untried"),
        "paper": Scale({
            "fields": 36, "simulations": {"training": 200_000, "maps": 50_000, "validation": 2000},
        }, "hours (H200)"),
    },
    build=build,
    headline=(
        "gain/combined", "published/combined", "information/", "forgotten/", "combination/maps", "saturation/",
        "sensitivity/", "brought/", "likelihood/", "skewness/", "calibration/",
    ),
    citations=("kacprzak2022", "jeffrey2021", "dinh2017", "seetharaman2020"),
)  # fmt: skip
