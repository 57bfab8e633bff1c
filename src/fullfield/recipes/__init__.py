"""Results and jobs: configuration in, folder of artefacts out."""

import importlib
from typing import TYPE_CHECKING

from fullfield._core import Registry
from fullfield.recipes.bridge import BRIDGE
from fullfield.recipes.combined_probes import COMBINED_PROBES
from fullfield.recipes.configuration import Configuration, RunConfiguration, Section
from fullfield.recipes.cosmos import COSMOS
from fullfield.recipes.explicit_structure import EXPLICIT_STRUCTURE
from fullfield.recipes.gradients import GRADIENTS
from fullfield.recipes.joint_gaussian import JOINT_GAUSSIAN
from fullfield.recipes.lensing import LENSING
from fullfield.recipes.lensing_benchmark import LENSING_BENCHMARK
from fullfield.recipes.linear_gaussian import LINEAR_GAUSSIAN
from fullfield.recipes.mass_map import MASS_MAP
from fullfield.recipes.neural_summaries import NEURAL_SUMMARIES
from fullfield.recipes.recipe import Recipe, Scale
from fullfield.recipes.sbi_benchmark import SBI_BENCHMARK
from fullfield.recipes.vicreg_baryons import VICREG_BARYONS
from fullfield.recipes.vicreg_camels import VICREG_CAMELS
from fullfield.recipes.vicreg_fisher import VICREG_FISHER
from fullfield.recipes.vicreg_lognormal import VICREG_LOGNORMAL
from fullfield.recipes.vicreg_nuisance import VICREG_NUISANCE
from fullfield.recipes.vicreg_sequential import VICREG_SEQUENTIAL


if TYPE_CHECKING:
    from fullfield.recipes.pipeline import run_pipeline
    from fullfield.recipes.problem import Problem
    from fullfield.recipes.study import run_study, Study


RECIPES = Registry(
    "recipe",
    {
        recipe.name: recipe
        for recipe in (
            LENSING,
            LINEAR_GAUSSIAN,
            LENSING_BENCHMARK,
            SBI_BENCHMARK,
            GRADIENTS,
            NEURAL_SUMMARIES,
            JOINT_GAUSSIAN,
            MASS_MAP,
            COSMOS,
            COMBINED_PROBES,
            VICREG_NUISANCE,
            VICREG_LOGNORMAL,
            VICREG_CAMELS,
            VICREG_FISHER,
            VICREG_SEQUENTIAL,
            VICREG_BARYONS,
            BRIDGE,
            EXPLICIT_STRUCTURE,
        )
    },
)

__all__ = [
    "RECIPES", "Configuration", "Problem", "Recipe", "RunConfiguration", "Scale", "Section", "Study", "run_pipeline",
    "run_study",
]  # fmt: skip

# What needs every other room; whoever only lists recipes does not wait for it.
LATER = {"Problem": "problem", "run_pipeline": "pipeline", "Study": "study", "run_study": "study"}


def __getattr__(name: str) -> object:
    if name in LATER:
        return getattr(importlib.import_module(f"fullfield.recipes.{LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
