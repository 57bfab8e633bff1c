"""One cell of the sbibm benchmark: train on simulations of a task, draw at its observations, compare with the references."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.datasets import AbstractSimulations, StoredSimulations
from fullfield.diagnostics import c2st, Number, Report
from fullfield.inference import AbstractPosterior, sample_many
from fullfield.inference.implicit import sequential, train_amortised, train_fmpe, train_nle, train_npe, train_nre
from fullfield.parameters import ParameterSpace
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.sbi_benchmark import (
    BARS,
    PUBLISHED,
    PUBLISHED_SEQUENTIAL,
    SBIBenchmarkConfiguration,
    TASKS as TASK_NAMES,
)
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators.tasks import observation, reference, TASKS
from fullfield.training import cosine_adam


@dataclass(frozen=True)
class Method:
    """How a method trains, in how many rounds if it is sequential (1 means amortised), and whether it needs a held-out part."""

    train: Callable
    rounds: int = 1
    hold_out: bool = True


def _train_npe(parameters: ParameterSpace, simulations: AbstractSimulations, validation: AbstractSimulations, **settings: Any):
    epochs = 100
    return train_npe(
        parameters, simulations, validation,
        optimiser=cosine_adam(1e-2, epochs * simulations.steps_per_epoch), max_epochs=epochs, patience=25, average=0.99,
        **settings,
    )  # fmt: skip


# Some data of the tasks never vary among few simulations: nobody is infected on the first day.
_train_nle = functools.partial(train_nle, leave_out_constant=True)

METHODS = {
    "npe": Method(_train_npe),
    "nle": Method(_train_nle),
    "nre": Method(train_nre),
    "fmpe": Method(train_fmpe),
    "amortised": Method(train_amortised),
    "tsnpe": Method(_train_npe, 5),
    "tsfmpe": Method(train_fmpe, 5),
    "snle": Method(_train_nle, 5),
    "snre": Method(train_nre, 5),
}
HELD_OUT = 10  # one simulation in so many stops the training
BATCH = 256


def sbi_study(configuration: SBIBenchmarkConfiguration) -> Study:
    """Every task by every method at every budget."""
    cells = [
        Cell(f"floor/{task}", (task, _told(configuration)), functools.partial(_floor, configuration, task))
        for task in configuration.tasks
    ]
    cells += [
        _cell(configuration, task, method, budget)
        for budget in configuration.budgets
        for method in configuration.methods
        for task in configuration.tasks
    ]
    return Study(cells, functools.partial(_judge, configuration), functools.partial(_pictures, configuration))


def _told(configuration):
    return configuration.model_dump(include={"seed", "observations", "draws"})


def _floor(configuration, task: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """What a perfect posterior would reach: one half of the reference draws against the other."""
    values, key = {}, stream(jax.random.key(configuration.seed), f"floor/{task}")
    for row, number in enumerate(configuration.observations):
        progress("comparing", row, len(configuration.observations))
        half = np.asarray(reference(task, number))
        half = half[len(half) // 2 :][: configuration.draws]
        values[f"c2st/{number}"] = distance(half, task, number, jax.random.fold_in(key, number))
    return Measured(values)


def _cell(configuration, task, method, budget):
    settings = _told(configuration)

    def measure(folder: pathlib.Path, progress: Progress) -> Measured:
        key = stream(jax.random.key(configuration.seed), f"{task}/{method}/{budget}")
        draws, values = infer(task, method, budget, configuration, key, folder, progress), {}
        for row, number in enumerate(configuration.observations):
            progress("comparing", row, len(configuration.observations))
            values[f"c2st/{number}"] = distance(draws[row], task, number, stream(key, "c2st"))
        progress("comparing", len(configuration.observations), len(configuration.observations))
        trained = 1 if METHODS[method].rounds == 1 else len(configuration.observations)
        return Measured(values, simulations=trained * budget)

    return Cell(f"{method}/{budget}/{task}", (task, method, budget, settings), measure)


def infer(
    task: str,
    method: str,
    budget: int,
    configuration: SBIBenchmarkConfiguration,
    key: jax.Array,
    folder: pathlib.Path,
    progress: Progress,
) -> np.ndarray:
    """Posterior draws (observations, draws, p) of a task by a method that spends `budget` simulations.

    A sequential method spends them anew for every observation.
    """
    model, chosen = TASKS[task](), METHODS[method]
    observed = jnp.stack([observation(task, number) for number in configuration.observations])
    draw = functools.partial(sample_many, n=configuration.draws, progress=progress, stage="drawing")
    if chosen.rounds > 1:
        draws = []
        for number, one in zip(configuration.observations, observed, strict=True):
            own = stream(key, f"observation {number}")
            posterior, _ = sequential(
                chosen.train, model, one,
                key=own, rounds=chosen.rounds, simulations=budget // chosen.rounds, batch_size=min(BATCH, budget // HELD_OUT),
                directory=folder / str(number), progress=progress,
            )  # fmt: skip
            draws.append(draw(posterior, stream(own, "draws"), one[None])[0])
        return np.stack(draws)
    simulations = model.simulate(stream(key, "simulations"), budget)
    posterior = amortise(
        chosen, model.parameters, simulations.theta, simulations.data,
        key=stream(key, "training"), checkpoint=folder / "training", progress=progress, stage=f"{method} on {task}",
    )  # fmt: skip
    return draw(posterior, stream(key, "draws"), observed)


def amortise(
    method: Method,
    parameters: ParameterSpace,
    theta: Float[Array | np.ndarray, "n p"],
    summaries: Float[Array | np.ndarray, "n s"],
    **settings: Any,
) -> AbstractPosterior:
    """Train a method on simulations, of which the first tenth is held out."""
    n = len(theta) // HELD_OUT
    pairs = np.asarray(theta), np.asarray(summaries)
    source, held_out = (
        StoredSimulations(*(array[rows] for array in pairs), batch_size=min(BATCH, n)) for rows in (slice(n, None), slice(n))
    )
    return method.train(parameters, source, held_out, **settings)[0]


def distance(draws: np.ndarray, task: str, number: int, key: jax.Array) -> float:
    """C2ST of draws against as many of the published reference."""
    report = c2st(draws, np.asarray(reference(task, number))[: len(draws)], key=key)
    return float(report.numbers[0].value)


def _accuracy(measured: Measured) -> tuple[float, float | None]:
    """Mean C2ST over observations, and its standard error."""
    values = np.array([value for key, value in measured.values.items() if key.startswith("c2st/")])
    return float(values.mean()), float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else None


def _pictures(
    configuration: SBIBenchmarkConfiguration, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """One figure per budget: every task by every method beside what is published."""
    figures = []
    for budget in configuration.budgets:
        rows = {
            method: {task: _accuracy(found[f"{method}/{budget}/{task}"]) for task in configuration.tasks}
            for method in configuration.methods
        }
        known = {10_000: ("amortised NPE", PUBLISHED, BARS), 1000: ("sequential method", PUBLISHED_SEQUENTIAL, None)}
        what, published, bars = known.get(budget, ("", None, None))
        beside = f" The diamonds are the best published {what} (Lueckmann et al. 2021)." if what else ""
        held = " Ticks are what each task is held to." if bars else ""
        figures.append(
            Illustration(
                f"{budget} simulations", f"tasks-{budget}", plots.accuracy_rows(rows, published=published, bars=bars),
                "C2ST against the published reference draws, mean over observations: 0.5 is exact, 1 is wrong."
                + held + beside,
            )
        )  # fmt: skip
    return figures


def _judge(configuration: SBIBenchmarkConfiguration, found: Mapping[str, Measured]) -> Report:
    numbers = [Number(f"c2st/floor/{task}", *_accuracy(found[f"floor/{task}"])) for task in configuration.tasks]
    for name, measured in found.items():
        if name.startswith("floor/"):
            continue
        method, budget, task = name.split("/")
        held_to = (method, budget) == ("amortised", "10000")
        comparable = method in ("npe", "amortised") and budget == "10000"
        numbers.append(
            Number(
                f"c2st/{name}",
                *_accuracy(measured),
                f"<= {BARS[task]:g}" if held_to else None,
                PUBLISHED[task] if comparable else None,
                simulations=int(budget),
                gradients=0,
            )
        )
    return Report((*numbers, *_sequential(configuration, {number.name: number.value for number in numbers})))


def _sequential(configuration: SBIBenchmarkConfiguration, values: Mapping[str, float | None]) -> list[Number]:
    """The best sequential method at a thousand simulations on each task, and on how many tasks it is as good as published."""
    methods = [method for method in configuration.methods if METHODS[method].rounds > 1]
    if not methods or 1000 not in configuration.budgets:
        return []
    best = {task: min(values[f"c2st/{method}/1000/{task}"] or 1.0 for method in methods) for task in configuration.tasks}
    numbers = [
        Number(f"c2st/best sequential/1000/{task}", value, published=PUBLISHED_SEQUENTIAL[task]) for task, value in best.items()
    ]
    reached = sum(value <= PUBLISHED_SEQUENTIAL[task] for task, value in best.items())
    every = set(configuration.tasks) == set(TASK_NAMES)
    return [*numbers, Number("sequential/tasks as good as published", float(reached), bar=">= 5" if every else None)]
