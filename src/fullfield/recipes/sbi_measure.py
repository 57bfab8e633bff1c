"""One cell of the sbibm benchmark: train on simulations of a task, draw at its observations, compare with the references."""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import c2st, Number, Report
from fullfield.inference import sample_many
from fullfield.inference.implicit import sequential, train_fmpe, train_nle, train_npe, train_nre
from fullfield.recipes.sbi_benchmark import BARS, PUBLISHED, SBIBenchmarkConfiguration
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators.tasks import observation, reference, TASKS


@dataclass(frozen=True)
class Method:
    """How a method trains, and in how many rounds if it is sequential; 1 means amortised."""

    train: Callable
    rounds: int = 1


METHODS = {
    "npe": Method(train_npe),
    "nle": Method(train_nle),
    "nre": Method(train_nre),
    "fmpe": Method(train_fmpe),
    "tsnpe": Method(train_npe, 5),
    "snle": Method(train_nle, 5),
    "snre": Method(train_nre, 5),
}
HELD_OUT = 10  # one simulation in so many stops the training
BATCH = 256


def sbi_study(configuration: SBIBenchmarkConfiguration) -> Study:
    """Every task by every method at every budget."""
    cells = [
        _cell(configuration, task, method, budget)
        for budget in configuration.budgets
        for method in configuration.methods
        for task in configuration.tasks
    ]
    return Study(cells, functools.partial(_judge, configuration))


def _cell(configuration, task, method, budget):
    settings = configuration.model_dump(include={"seed", "observations", "draws"})

    def measure(folder: pathlib.Path, progress: Progress) -> Measured:
        key = stream(jax.random.key(configuration.seed), f"{task}/{method}/{budget}")
        start = time.perf_counter()
        draws = infer(task, method, budget, configuration, key, folder, progress)
        seconds = time.perf_counter() - start
        values = {"seconds": seconds}
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
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    n = budget // HELD_OUT
    source, held_out = (
        StoredSimulations(theta[rows], data[rows], batch_size=min(BATCH, budget // HELD_OUT))
        for rows in (slice(n, None), slice(n))
    )
    posterior, _ = chosen.train(
        model.parameters, source, held_out,
        key=stream(key, "training"), checkpoint=folder / "training", progress=progress, stage=f"{method} on {task}",
    )  # fmt: skip
    return draw(posterior, stream(key, "draws"), observed)


def distance(draws: np.ndarray, task: str, number: int, key: jax.Array) -> float:
    """C2ST of draws against as many of the published reference."""
    report = c2st(draws, np.asarray(reference(task, number))[: len(draws)], key=key)
    return float(report.numbers[0].value)


def _judge(configuration: SBIBenchmarkConfiguration, found: Mapping[str, Measured]) -> Report:
    numbers = []
    for name, measured in found.items():
        method, budget, task = name.split("/")
        values = np.array([value for key, value in measured.values.items() if key.startswith("c2st/")])
        comparable = (method, budget) == ("npe", "10000")
        numbers.append(
            Number(
                f"c2st/{name}",
                float(values.mean()),
                float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else None,
                f"<= {BARS[task]:g}" if comparable else None,
                PUBLISHED[task] if comparable else None,
            )
        )
    return Report(tuple(numbers))
