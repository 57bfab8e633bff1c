"""A joint study: simulations, denoiser, calibration, and one by one the observations whose answer is known."""

import functools
from dataclasses import dataclass

from fullfield.recipes.joint_bench import AbstractBench
from fullfield.recipes.joint_calibrate import calibrate, calibrate_exactly, errors
from fullfield.recipes.joint_judge import judge
from fullfield.recipes.joint_measure import compare, learn_prior, refer, simulate, time_draws, train, train_flow
from fullfield.recipes.joint_pictures import pictures
from fullfield.recipes.study import Cell, Study


MOVED = "parameters and latents"  # by the model's density, if a bench has moves


@dataclass(frozen=True)
class Inputs:
    """What decides the parts of a joint posterior, one after another.

    Args:
        made: the simulations.
        trained: the denoiser.
        drawn: draws of any observation.
    """

    made: object
    trained: object
    drawn: object


def inputs_of(bench: AbstractBench, first: tuple[Cell, ...]) -> Inputs:
    """The inputs of all cells that use the posterior of a bench.

    Args:
        bench: the problem.
        first: cells that its `see` needs.
    """
    settings = bench.configuration
    # What is expected of a field may depend on whether its parameters are drawn before it.
    made = (*(cell.inputs for cell in first), settings.seed, settings.simulations.model_dump(), bench.model, settings.together)
    trained = made, settings.denoiser.model_dump()
    return Inputs(made, trained, (trained, settings.evaluations, (bench.moves, MOVED) if bench.moves else 0))


def joint_study(bench: AbstractBench, first: tuple[Cell, ...] = (), last: tuple[Cell, ...] = ()) -> Study:
    """Cells that every joint study has, between those that come before and after in one.

    Args:
        bench: the problem.
        first: cells that see needs.
        last: cells that need the posterior.
    """
    settings, inputs = bench.configuration, inputs_of(bench, first)
    common = settings.seed, bench.model, bench.reference_settings
    cells = [
        *first,
        Cell("simulations/all", inputs.made, functools.partial(simulate, bench), effort=4),
        Cell("denoiser/posterior", inputs.trained, functools.partial(train, bench), effort=20),
        Cell(
            "denoiser/npe",
            (inputs.made, settings.compared, settings.observations),
            functools.partial(train_flow, bench),
            effort=2,
        ),
        Cell("calibration/joint", (inputs.drawn, settings.draws), functools.partial(calibrate, bench), effort=8),
        Cell("calibration/errors", (inputs.drawn, settings.draws), errors),
    ]
    if bench.answer is not None:
        exactly = functools.partial(calibrate_exactly, bench)
        cells.append(Cell("calibration/exact", (inputs.drawn, settings.draws), exactly, effort=2))
    for i in range(settings.observations):
        cells.append(Cell(f"reference/{i}", (common, i), functools.partial(refer, bench, i), effort=2))
        told = (inputs.drawn, common, settings.compared, settings.maps, i)
        cells.append(Cell(f"observation/{i}", told, functools.partial(compare, bench, i)))
    if settings.prior:
        cells.append(Cell("denoiser/prior", inputs.trained, functools.partial(learn_prior, bench), effort=20))
    cells.append(Cell("speed/draws", inputs.drawn, functools.partial(time_draws, bench)))
    return Study((*cells, *last), functools.partial(judge, bench), functools.partial(pictures, bench))
