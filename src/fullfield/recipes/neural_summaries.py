"""Which summary of lensing maps keeps how much: every objective with the same network, held against the full field."""

from typing import get_args, Literal

from pydantic import Field, model_validator, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration, Section
from fullfield.recipes.recipe import Grid, Recipe, Scale


Objective = Literal["vmim", "info_nce", "gnll", "moments", "mae", "mse", "imnn", "spectra", "statistics"]
"""What summaries are trained for; the last two are fixed statistics in their best linear combinations."""

Network = Literal["reconstruction", "statistics", "convolution", "symmetric", "resnet18"]
"""What is trained: a perceptron on the reconstructed field or on statistics of the maps, or a network on the maps.

"symmetric" is the mean of "convolution" over turns and flips.
"""

PAIRS = (("omega_c", "sigma_8"), ("omega_c", "w_0"), ("sigma_8", "w_0"))

PUBLISHED = {
    "vmim": (1.00, 0.96, 0.97), "mae": (0.92, 0.82, 0.85), "mse": (0.81, 0.77, 0.79), "gnll": (0.75, 0.90, 0.86),
    "likelihood": (0.48, 0.51, 0.44),
}  # fmt: skip
"""Fractions of the full field's figures of merit in `PAIRS`, at 256 x 256 pixels: Lanzieri et al. 2025 (A&A 697, A162)."""

PUBLISHED_VMIM = (2526.0, 190.0, 171.0)
"""Figures of merit of VMIM there."""


class SimulationSettings(Section):
    """How many simulations, from the prior, each purpose gets."""

    estimate: int = Field(default=30_000, ge=500, description="for the estimate about which fields are reconstructed")
    training: int = Field(default=120_000, ge=500, description="for every compressor, and its posterior")
    validation: int = Field(default=4000, ge=100, description="to stop both")
    calibration: int = Field(default=1000, ge=100, description="for tests of every posterior")
    fiducial: int = Field(default=2000, ge=200, description="at the fiducial parameters, with derivatives, for IMNN")


class TrainingSettings(Section):
    """The same for all objectives."""

    epochs: PositiveInt = 25
    batch: PositiveInt = 250
    learning_rate: PositiveFloat = 5e-3
    width: PositiveInt = 256


class PosteriorSettings(Section):
    """The same for all summaries."""

    epochs: PositiveInt = 25
    learning_rate: PositiveFloat = 5e-3
    width: PositiveInt = 128
    members: PositiveInt = Field(default=2, description="networks of which the posterior is the mean")
    draws: int = Field(default=10_000, ge=1000)


class ReferenceSettings(Section):
    """Chains of parameters and field, and of the spectra's Gaussian likelihood."""

    chains: int = Field(default=4, ge=2)
    draws: int = Field(default=1500, ge=100, description="kept by each chain of the full field")
    spectrum_draws: int = Field(default=1000, ge=100, description="kept by each chain of the spectra")
    warmup: PositiveInt = 400


class NeuralSummariesConfiguration(Configuration):
    """Settings of the comparison."""

    pixels: Literal[16, 32, 64, 128, 256] = 64
    observation: Literal["simulated", "published-mock"] = Field(
        default="simulated", description="simulated at the fiducial parameters; the published mock has the physics of sbi_lens"
    )
    observations: PositiveInt = Field(default=10, description="how many are simulated")
    objectives: tuple[Objective, ...] = get_args(Objective)
    network: Network = "reconstruction"
    seeds: PositiveInt = Field(default=2, description="trainings of each compressor and its posterior")
    distance_draws: int = Field(default=4000, ge=500, description="draws compared with as many of the full field by C2ST")
    simulations: SimulationSettings = SimulationSettings()
    training: TrainingSettings = TrainingSettings()
    posterior: PosteriorSettings = PosteriorSettings()
    reference: ReferenceSettings = ReferenceSettings()

    @model_validator(mode="after")
    def _possible(self):
        if not self.objectives:
            raise ValueError("objectives must name at least one")
        twice = sorted({name for name in self.objectives if self.objectives.count(name) > 1})
        if twice:
            raise ValueError(f"objectives must be named once, but {', '.join(twice)} stands twice")
        if self.network == "resnet18" and self.pixels < 32:
            raise ValueError(f"pixels must be at least 32 for resnet18, which halves maps five times, and are {self.pixels}")
        if self.observation == "published-mock" and self.observations != 1:
            raise ValueError("observations must be 1 for the published mock")
        return self


def build(configuration: NeuralSummariesConfiguration):
    """Build the study."""
    from fullfield.recipes.summaries_measure import summaries_study

    return summaries_study(configuration)


NEURAL_SUMMARIES = Recipe(
    name="neural-summaries",
    summary="Optimal summaries: every compression objective on lensing maps, in figures of merit of the full field.",
    configuration=NeuralSummariesConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 32, "observations": 1, "objectives": ("vmim", "mse", "spectra"), "seeds": 1, "distance_draws": 1000,
            "simulations": {
                "estimate": 2000, "training": 6000, "validation": 500, "calibration": 200, "fiducial": 500,
            },
            "training": {"epochs": 20}, "posterior": {"epochs": 20, "members": 1, "draws": 2000},
            "reference": {"draws": 500, "spectrum_draws": 300, "warmup": 200},
        }, "~8 min"),
        "laptop": Scale({}, "~4 h"),
        "paper": Scale({
            "pixels": 256, "observation": "published-mock", "observations": 1, "seeds": 5,
            "simulations": {"training": 200_000},
        }, "hours (H200)"),
    },
    build=build,
    citations=(
        "lanzieri2025", "zeghal2025", "jeffrey2021", "jeffrey2020", "oord2018", "charnock2018", "millea2022", "alsing2018",
        "hotelling1936", "robnik2023", "lopezpaz2017",
    ),
    headline=("c2st/", "calibration/", "seconds/"),
    grid=Grid("kept", PUBLISHED, "published, 256 x 256 x 5"),
)  # fmt: skip
