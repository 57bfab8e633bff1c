"""Results and jobs: configuration in, folder of artefacts out."""

from typing import TYPE_CHECKING

from fullfield._core import Registry
from fullfield.recipes.configuration import RunConfiguration, Section
from fullfield.recipes.lensing import LENSING
from fullfield.recipes.linear_gaussian import LINEAR_GAUSSIAN
from fullfield.recipes.recipe import Recipe, Scale


if TYPE_CHECKING:
    from fullfield.recipes.pipeline import run_pipeline
    from fullfield.recipes.problem import Problem


RECIPES = Registry("recipe", {recipe.name: recipe for recipe in (LENSING, LINEAR_GAUSSIAN)})

__all__ = ["RECIPES", "Problem", "Recipe", "RunConfiguration", "Scale", "Section", "run_pipeline"]


def __getattr__(name: str) -> object:
    # These two need every other room; whoever only lists recipes does not wait for them.
    if name == "Problem":
        from fullfield.recipes.problem import Problem

        return Problem
    if name == "run_pipeline":
        from fullfield.recipes.pipeline import run_pipeline

        return run_pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
