"""The sbibm benchmark: every implicit method on seven tasks with published reference posteriors."""

from typing import Annotated, get_args, Literal

from pydantic import Field

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


Task = Literal[
    "two_moons", "slcp", "gaussian_linear", "gaussian_mixture", "bernoulli_glm", "sir", "lotka_volterra"
]  # fmt: skip
Method = Literal["npe", "nle", "nre", "fmpe", "amortised", "tsnpe", "tsfmpe", "snle", "snre"]
TASKS: tuple[Task, ...] = get_args(Task)

PUBLISHED = {
    "two_moons": 0.606, "slcp": 0.901, "gaussian_linear": 0.552, "gaussian_mixture": 0.615, "bernoulli_glm": 0.678,
    "sir": 0.680, "lotka_volterra": 0.997,
}  # fmt: skip
"""Mean C2ST of NPE with 10 000 simulations over ten observations: Lueckmann et al. 2021 (arXiv:2101.04653); Gaussian mixture:
the rerun of the corrected task (github.com/sbi-benchmark/results).
"""

PUBLISHED_SEQUENTIAL = {
    "two_moons": 0.643, "slcp": 0.921, "gaussian_linear": 0.628, "gaussian_mixture": 0.669, "bernoulli_glm": 0.614,
    "sir": 0.637, "lotka_volterra": 0.909,
}  # fmt: skip
"""The best sequential method of any family with 1000 simulations, from the same sources."""

BARS = {
    "two_moons": 0.54, "slcp": 0.75, "gaussian_linear": 0.53, "gaussian_mixture": 0.57, "bernoulli_glm": 0.60, "sir": 0.62,
    "lotka_volterra": 0.95,
}  # fmt: skip
"""What amortised posteriors from 10 000 simulations are held to, with one setting for all tasks."""


class SBIBenchmarkConfiguration(Configuration):
    """Settings of the benchmark."""

    tasks: tuple[Task, ...] = TASKS
    methods: tuple[Method, ...] = ("amortised", "npe")
    budgets: tuple[Annotated[int, Field(ge=100)], ...] = Field(
        default=(10_000,), description="simulations, the held-out ones included"
    )
    observations: tuple[Literal[1, 2, 3, 4, 5], ...] = (1, 2, 3, 4, 5)
    draws: int = Field(default=10_000, ge=100, le=10_000, description="draws compared with as many of the reference")


def build(configuration: SBIBenchmarkConfiguration):
    """Build the study."""
    from fullfield.recipes.sbi_measure import sbi_study

    return sbi_study(configuration)


SBI_BENCHMARK = Recipe(
    name="sbi-benchmark",
    summary="Tasks with known posteriors: C2ST of every implicit method on seven of them, per simulation spent.",
    configuration=SBIBenchmarkConfiguration,
    scales={
        "smoke": Scale({
            "tasks": ("two_moons", "gaussian_mixture"), "methods": ("npe",), "observations": (1,), "budgets": (1000,),
            "draws": 1000,
        }, "~1 min"),
        "laptop": Scale({}, "~1 h"),
        "paper": Scale({"methods": get_args(Method), "budgets": (1000, 10_000)}, "hours (H200)"),
    },
    build=build,
    citations=(
        "lueckmann2021", "papamakarios2016", "papamakarios2019", "hermans2020", "deistler2022", "wildberger2023",
        "lopezpaz2017",
    ),
    headline=("c2st/",),
)  # fmt: skip
