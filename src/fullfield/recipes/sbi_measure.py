"""One cell of the sbibm benchmark: train on simulations of a task, draw at its observations, compare with the references."""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import c2st, Number, Report
from fullfield.inference import sample_many, train_npe
from fullfield.recipes.sbi_benchmark import BARS, PUBLISHED, SBIBenchmarkConfiguration
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators.tasks import observation, reference, TASKS


METHODS: Mapping[str, Callable] = {"npe": train_npe}
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
        return Measured(values, simulations=budget)

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
    """Posterior draws (observations, draws, p) of a task by an amortised method trained on `budget` simulations."""
    model = TASKS[task]()
    simulations = model.simulate(stream(key, "simulations"), budget)
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    n = budget // HELD_OUT
    source, held_out = (
        StoredSimulations(theta[rows], data[rows], batch_size=min(BATCH, budget // HELD_OUT))
        for rows in (slice(n, None), slice(n))
    )
    posterior, _ = METHODS[method](
        model.parameters, source, held_out,
        key=stream(key, "training"), checkpoint=folder / "training", progress=progress, stage=f"{method} on {task}",
    )  # fmt: skip
    observed = jnp.stack([observation(task, number) for number in configuration.observations])
    return sample_many(posterior, stream(key, "draws"), observed, configuration.draws, progress=progress, stage="drawing")


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
