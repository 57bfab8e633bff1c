"""What simulator gradients are worth: posteriors from few simulations, with and without the score term."""

from typing import Literal

from pydantic import Field, model_validator, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


REFERENCE = 10_000  # published draws of a posterior; one half is fitted and tested on, the other is compared with
LEAST = 13  # simulations; of fewer, with a fifth held out, a regression on four summaries cannot be measured
Task = Literal["two_moons_density", "two_moons", "lotka_volterra", "lotka_volterra_latent"]
"""`two_moons_density` is what the literature calls two moons here: one posterior, fitted from draws of it and their scores."""


class GradientsConfiguration(Configuration):
    """Settings of the study."""

    tasks: tuple[Task, ...] = ("two_moons_density", "two_moons", "lotka_volterra", "lotka_volterra_latent")
    budgets: tuple[PositiveInt, ...] = Field(default=(20, 50, 100, 200, 500, 1000), description="simulations, in rising order")
    seeds: PositiveInt = Field(default=5, description="independent sets of simulations per budget")
    weight: PositiveFloat = Field(
        default=3.0,
        description="of the score term, the default of train_with_scores; the check turns it off",
    )
    steps: PositiveInt = Field(default=2000, description="most training steps")
    test: int = Field(default=2000, ge=100, description="simulations on which log probabilities are measured")
    draws: int = Field(default=2000, ge=100, le=10_000, description="draws compared with as many of the reference")
    observations: tuple[Literal[1, 2, 3, 4, 5], ...] = Field(default=(1, 2, 3), description="at which C2ST is measured")

    @model_validator(mode="after")
    def _apart(self):
        if list(self.budgets) != sorted(set(self.budgets)) or min(self.budgets) < LEAST:
            raise ValueError(f"budgets must rise from one to the next, and none be below {LEAST}, got {self.budgets}")
        if max(self.budgets) + self.test > REFERENCE // 2:
            raise ValueError(
                f"budgets and test draws must share {REFERENCE // 2} reference draws, got {max(self.budgets)} + {self.test}"
            )
        return self


def build(configuration: GradientsConfiguration):
    """Build the study."""
    from fullfield.recipes.gradients_measure import gradients_study

    return gradients_study(configuration)


GRADIENTS = Recipe(
    name="gradients",
    summary="What simulator scores save: neural posteriors with and without them, on two moons and Lotka-Volterra.",
    configuration=GradientsConfiguration,
    scales={
        "smoke": Scale({
            "tasks": ("two_moons_density",), "budgets": (50, 100), "seeds": 1, "steps": 300, "observations": (1,),
        }, "~1 min"),
        "laptop": Scale({}, "~60 min"),
        "paper": Scale({"seeds": 20, "observations": (1, 2, 3, 4, 5), "draws": 10_000}, "hours"),
    },
    build=build,
    citations=("zeghal2022", "lueckmann2021", "papamakarios2016"),
    headline=("saved/", "never_worse/"),
)  # fmt: skip
