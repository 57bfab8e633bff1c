"""One cell of the study of gradients: a smooth flow trained on few simulations, with and without their scores."""

import functools
import pathlib
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision, stream
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import Number, Report
from fullfield.inference import AbstractPosterior, sample_many
from fullfield.inference.implicit import train_npe
from fullfield.networks import apply_many, smooth_flow
from fullfield.recipes.gradients import GradientsConfiguration
from fullfield.recipes.sbi_measure import distance
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import AbstractExplicitModel
from fullfield.simulators.tasks import observation, TASKS
from fullfield.training import cosine_adam


HELD_OUT = 5  # one simulation in so many stops the training
SUMMARY_SIMULATIONS = 20_000
FEW = 100
LEAST_SEEDS = 5  # below, scatter between sets of simulations decides


class Regression(eqx.Module):
    """Posterior mean of the unconstrained parameters by linear regression on the logarithm of positive data.

    Args:
        centre, slope: mean of log data (d,) and regression matrix (p, d).
    """

    centre: Float[Array, " d"]
    slope: Float[Array, "p d"]

    @full_precision
    def __call__(self, data: Float[Array, " d"]) -> Float[Array, " p"]:
        """Summarise data (d,)."""
        return self.slope @ (jnp.log(data) - self.centre)


def gradients_study(configuration: GradientsConfiguration) -> Study:
    """Every task at every budget, with several sets of simulations."""
    cells = [
        _cell(configuration, task, budget, seed)
        for task in configuration.tasks
        for budget in configuration.budgets
        for seed in range(configuration.seeds)
    ]
    return Study(cells, functools.partial(_judge, configuration))


def _cell(configuration, task, budget, seed):
    settings = configuration.model_dump(exclude={"recipe", "scale", "tasks", "budgets", "seeds"})

    def measure(folder: pathlib.Path, progress: Progress) -> Measured:
        model, key = TASKS[task](), stream(jax.random.key(configuration.seed), task)
        summarise = _summary(model, task, stream(key, "summaries"))
        test = model.simulate(stream(key, "test"), configuration.test)
        key = jax.random.fold_in(stream(key, f"budget {budget}"), seed)
        theta, rows = _simulate(model, summarise, stream(key, "simulations"), budget)
        values = {}
        for name, weight in (("without", 0.0), ("with", configuration.weight)):
            posterior, held_out = _train(
                model, theta, rows, weight, configuration, key, folder / name, progress, f"{task}, {budget}, {name} scores"
            )
            values[f"held_out/{name}"] = held_out
            values[f"log_prob/{name}"] = _mean_log_prob(posterior, test.theta, jax.vmap(summarise)(test.data))
            distances = _distances(posterior, summarise, task, configuration, key)
            values |= {f"c2st/{name}/{number}": value for number, value in distances}
        values["used"] = float(values["held_out/with"] < values["held_out/without"])
        return Measured(values, simulations=budget, gradients=budget)

    return Cell(f"{task}/{budget}/{seed}", (task, budget, seed, settings), measure)


def _summary(model: AbstractExplicitModel, task: str, key: jax.Array):
    """Data as they are, or where they are many a regression on many simulations, which both sides of the comparison share."""
    if not task.startswith("lotka_volterra"):
        return eqx.nn.Identity()
    simulations = model.simulate(key, SUMMARY_SIMULATIONS)
    logs = np.log(np.asarray(simulations.data, np.float64))
    targets = np.asarray(model.parameters.to_unconstrained(simulations.theta), np.float64)
    centre = logs.mean(0)
    slope = np.linalg.lstsq(logs - centre, targets - targets.mean(0), rcond=None)[0].T
    return Regression(jnp.asarray(centre, jnp.float32), jnp.asarray(slope, jnp.float32))


@eqx.filter_jit
def _simulate(model, summarise, key, n):
    """Parameters (n, p), and rows of summary and joint score side by side (n, s + p)."""

    def one(key):
        theta = model.parameters.sample(stream(key, "prior"))
        latents, data = model.simulate_with_latents(stream(key, "data"), theta)
        return theta, jnp.concatenate([summarise(data), model.score(theta, latents, data)])

    return jax.vmap(one)(jax.random.split(key, n))


def _train(model, theta, rows, weight, configuration, key, checkpoint, progress, stage):
    n = len(theta) // HELD_OUT
    batch = min(128, len(theta) - n)
    theta, rows = np.asarray(theta), np.asarray(rows)
    source, held_out = (StoredSimulations(theta[part], rows[part], batch_size=batch) for part in (slice(n, None), slice(n)))
    epochs = max(1, configuration.steps // source.steps_per_epoch)
    posterior, history = train_npe(
        model.parameters, source, held_out,
        key=stream(key, "training"), density=smooth_flow, score_weight=weight,
        optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs, patience=max(20, epochs // 4),
        checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return posterior, history.best


def _mean_log_prob(posterior: AbstractPosterior, theta: Float[Array, "n p"], summaries: Float[Array, "n s"]) -> float:
    return float(np.mean(apply_many(posterior.log_prob, np.asarray(theta), np.asarray(summaries), batch_size=256)))


def _distances(posterior, summarise, task, configuration, key):
    if task.endswith("_latent"):  # no reference is published
        return
    observed = jnp.stack([summarise(observation(task, number)) for number in configuration.observations])
    draws = sample_many(posterior, stream(key, "draws"), observed, configuration.draws)
    for row, number in enumerate(configuration.observations):
        yield number, distance(draws[row], task, number, stream(key, "c2st"))


def _judge(configuration: GradientsConfiguration, found: Mapping[str, Measured]) -> Report:
    numbers = []
    for task in configuration.tasks:
        sides = {}
        for side in ("without", "with", "chosen"):
            values = np.array(
                [
                    [_log_prob(found[f"{task}/{budget}/{seed}"].values, side) for seed in range(configuration.seeds)]
                    for budget in configuration.budgets
                ]
            )
            sides[side] = values
            numbers += [
                Number(f"log_prob/{task}/{side}/{budget}", float(row.mean()), _error(row))
                for budget, row in zip(configuration.budgets, values, strict=True)
            ]
        enough = configuration.seeds >= LEAST_SEEDS
        for budget, saved in zip(configuration.budgets, _saved(configuration.budgets, sides), strict=True):
            numbers.append(Number(f"saved/{task}/{budget}", saved, bar=">= 2" if budget <= FEW and enough else None))
        worst = (sides["chosen"] - sides["without"]).mean(axis=1).min()
        numbers.append(Number(f"never_worse/{task}", float(worst), bar=">= 0" if enough else None))
        numbers += _c2st(configuration, found, task)
    return Report(tuple(numbers))


def _log_prob(values, side):
    """Of the training that the check on held-out simulations chose, if `side` is "chosen"."""
    return values[f"log_prob/{('with' if values['used'] else 'without') if side == 'chosen' else side}"]


def _c2st(configuration, found, task):
    for side in ("without", "with"):
        for budget in configuration.budgets:
            cells = [found[f"{task}/{budget}/{seed}"].values for seed in range(configuration.seeds)]
            means = [[v for k, v in values.items() if k.startswith(f"c2st/{side}/")] for values in cells]
            if means[0]:
                row = np.mean(means, axis=1)
                yield Number(f"c2st/{task}/{side}/{budget}", float(row.mean()), _error(row))


def _saved(budgets, sides):
    """How many times more simulations training without scores needs for the log probability that scores reach at each budget.

    Interpolated in the logarithm of the budget; beyond the largest one it is a lower limit.
    """
    logs, plain = np.log(budgets), np.maximum.accumulate(sides["without"].mean(axis=1))
    return [float(ratio) for ratio in np.exp(np.interp(sides["chosen"].mean(axis=1), plain, logs) - logs)]


def _error(row: np.ndarray) -> float | None:
    return float(row.std(ddof=1) / row.size**0.5) if row.size > 1 else None
