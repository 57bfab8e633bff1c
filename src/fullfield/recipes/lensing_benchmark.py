"""Which full-field inference needs the fewest simulations: every method on one lensing observation."""

from typing import Annotated, get_args, Literal

from pydantic import Field, model_validator, PositiveInt

from fullfield.recipes.configuration import Configuration, Section
from fullfield.recipes.recipe import Recipe, Scale


Method = Literal["npe", "nle", "nre", "fmpe", "amortised", "tsnpe", "tsfmpe", "snle", "snre"]

PUBLISHED = {
    ("npe", 1000): 0.624, ("npe", 2000): 0.603, ("nle", 1000): 0.655, ("nle", 2000): 0.618, ("nre", 1000): 0.841,
    ("nre", 2000): 0.805, ("fmpe", 1000): 0.810, ("fmpe", 2000): 0.754, ("tsnpe", 1000): 0.633, ("tsnpe", 2000): 0.613,
    ("snle", 1000): 0.612, ("snle", 2000): 0.586, ("snre", 1000): 0.705, ("snre", 2000): 0.681,
}  # fmt: skip
"""C2ST on maps of 256 x 256 pixels by method and simulations: Zeghal et al. 2025 (A&A 699, A327); tsnpe beside their SNPE."""


PARAMETERS = 6  # of the lensing model


class ReferenceSettings(Section):
    """The long chains that everything is compared with."""

    chains: int = Field(default=8, ge=2)
    draws: int = Field(default=2500, ge=40, description="kept by each chain")
    warmup: PositiveInt = 400


class ExplicitSettings(Section):
    """The shorter chains that are compared."""

    chains: int = Field(default=4, ge=2)
    warmup: PositiveInt = 200
    gradients: tuple[PositiveInt, ...] = Field(
        default=(21_000, 31_500, 63_000, 126_000), min_length=1,
        description="costs at which accuracy is measured, warm-up included",
    )  # fmt: skip
    nuts_draws: int = Field(default=250, ge=20, description="kept by each NUTS chain, for effective samples per gradient")
    compared: bool = Field(default=True, description="whether there are such chains; the reference alone if not")
    spectrum_draws: int = Field(default=2500, ge=40, description="kept by each chain of the classical analysis")


class CompressionSettings(Section):
    """How maps are compressed for the implicit methods; these simulations are not in their budgets."""

    rounds: PositiveInt = Field(default=3, description="of a first, rough inference from one score")
    pilot: int = Field(default=1000, ge=100, description="simulations in each of them")
    points: PositiveInt = Field(
        default=8, description="parameters, drawn from the rough posterior, about which scores are taken"
    )
    simulations: int = Field(default=3000, ge=200, description="drawn from it, on which scores are combined")

    @model_validator(mode="after")
    def _enough(self):
        needed = 2 * PARAMETERS * self.points
        if self.simulations < needed:
            raise ValueError(f"simulations must be at least {needed} for {self.points} points, got {self.simulations}")
        return self


class LensingBenchmarkConfiguration(Configuration):
    """Settings of the benchmark."""

    pixels: Literal[16, 32, 64, 128, 256] = 32
    observation: Literal["simulated", "published-mock"] = Field(
        default="simulated", description="simulated at the fiducial parameters; the published mock has the physics of sbi_lens"
    )
    methods: tuple[Method, ...] = Field(default=get_args(Method), description="implicit ones; none leaves the chains alone")
    budgets: tuple[Annotated[int, Field(ge=100)], ...] = Field(
        default=(200, 500, 1000, 2000), description="simulations, the held-out ones included"
    )
    seeds: PositiveInt = Field(default=2, description="independent sets of simulations per method and budget")
    draws: int = Field(default=10_000, ge=100, description="draws compared with as many of the reference")
    reference: ReferenceSettings = ReferenceSettings()
    explicit: ExplicitSettings = ExplicitSettings()
    compression: CompressionSettings = CompressionSettings()


def build(configuration: LensingBenchmarkConfiguration):
    """Build the study."""
    from fullfield.recipes.lensing_measure import lensing_study

    return lensing_study(configuration)


LENSING_BENCHMARK = Recipe(
    name="lensing-benchmark",
    summary="Every method on one map: explicit and implicit full-field inference, accuracy per simulation.",
    configuration=LensingBenchmarkConfiguration,
    scales={
        "smoke": Scale({
            "pixels": 16, "methods": ("npe",), "budgets": (500,), "seeds": 1, "draws": 1000,
            "reference": {"chains": 4, "draws": 300, "warmup": 100},
            "explicit": {"warmup": 100, "gradients": (15_000,), "nuts_draws": 20, "spectrum_draws": 200},
            "compression": {"rounds": 2, "pilot": 400, "points": 3, "simulations": 600},
        }, "~10 min"),
        "laptop": Scale({}, "~2 h"),
        "paper": Scale({
            "pixels": 256, "observation": "published-mock", "seeds": 5,
        }, "hours (H200)"),
    },
    build=build,
    citations=(
        "zeghal2025", "robnik2023", "hoffman2014", "cabezas2024", "vehtari2021", "alsing2018", "millea2022", "heavens2000",
        "papamakarios2016", "papamakarios2019", "hermans2020", "deistler2022", "wildberger2023", "lopezpaz2017",
    ),
    headline=("c2st/",),
)  # fmt: skip
