"""One cell of the study of gradients: a smooth flow trained on few simulations, with and without their scores."""

import functools
import pathlib
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core import load_module, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import standardising, train_compressor, VMIM
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import Number, Report
from fullfield.inference import AbstractPosterior, sample_many
from fullfield.inference.implicit import Choice, choose, guarded, simulate_with_scores, train_folds
from fullfield.inference.implicit.choose import held_out_log_probs
from fullfield.networks import MLP, smooth_flow
from fullfield.recipes.gradients import GradientsConfiguration, REFERENCE
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.sbi_measure import distance
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import AbstractExplicitModel
from fullfield.simulators.tasks import observation, reference, TASKS


SUMMARY_SIMULATIONS, SUMMARY_EPOCHS = 20_000, 40
FEW, BOOTSTRAPS = 100, 400
LEAST_SEEDS = 5  # below, scatter between sets of simulations decides
DENSITY = "two_moons_density"


class Logarithms(eqx.Module):
    """A compressor of positive data that sees their logarithms.

    Args:
        compressor: of log data.
    """

    compressor: Callable

    def __call__(self, data: Float[Array, " d"]) -> Float[Array, " s"]:
        """Summarise data (d,)."""
        return self.compressor(jnp.log(data))


def gradients_study(configuration: GradientsConfiguration) -> Study:
    """Every task at every budget, with several sets of simulations."""
    cells = [
        Cell(f"summaries/{task}", (task, configuration.seed), functools.partial(_compress, configuration, task))
        for task in configuration.tasks
        if task.startswith("lotka_volterra")
    ]
    cells += [
        _cell(configuration, task, budget, seed)
        for task in configuration.tasks
        for budget in configuration.budgets
        for seed in range(configuration.seeds)
    ]
    return Study(cells, functools.partial(_judge, configuration), functools.partial(_pictures, configuration))


def _compress(configuration: GradientsConfiguration, task: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Many data are compressed by a network trained on many simulations, which both sides of the comparison share."""
    model, key = TASKS[task](), stream(jax.random.key(configuration.seed), f"{task} summaries")
    simulations = model.simulate(stream(key, "simulations"), SUMMARY_SIMULATIONS)
    theta, logs, n = np.asarray(simulations.theta), np.log(np.asarray(simulations.data)), SUMMARY_SIMULATIONS // 10
    source, held_out = (StoredSimulations(theta[part], logs[part], batch_size=250) for part in (slice(n, None), slice(n)))
    compressor, history = train_compressor(
        VMIM(), _network(model), model.parameters, source, held_out,
        key=stream(key, "training"), max_epochs=SUMMARY_EPOCHS, checkpoint=folder / "training", progress=progress,
    )  # fmt: skip
    save_module(folder / "compressor.eqx", compressor)
    return Measured({"held_out": history.best}, simulations=SUMMARY_SIMULATIONS)


def _network(model: AbstractExplicitModel) -> MLP:
    return MLP(model.data_shape, model.parameters.size, key=jax.random.key(0))


def _cell(configuration, task, budget, seed):
    settings = configuration.model_dump(exclude={"recipe", "scale", "tasks", "budgets", "seeds"})

    def measure(folder: pathlib.Path, progress: Progress) -> Measured:
        parameters, sets, observed = _sets(configuration, task, budget, seed, folder)
        (theta, rows), test = sets
        key = jax.random.fold_in(stream(jax.random.key(configuration.seed), f"{task} budget {budget}"), seed)
        values, checked = {}, []
        for name, weight in (("without", 0.0), ("with", configuration.weight)):
            posterior, held_out, _ = train_folds(
                parameters, theta, rows,
                key=key, density=smooth_flow, score_weight=weight, steps=configuration.steps,
                checkpoint=folder / name, progress=progress, stage=f"{task}, {budget}, {name} scores",
            )  # fmt: skip
            values[f"held_out/{name}"] = float(held_out.mean())
            checked.append(held_out)
            values[f"log_prob/{name}"] = _mean_log_prob(posterior, test, budget)
            distances = _distances(posterior, observed, task, configuration, key)
            values |= {f"c2st/{name}/{number}": value for number, value in distances}
        choice = choose(*checked)
        values |= {"gain": choice.gain, "gain_error": choice.error}
        return Measured(values, simulations=budget, gradients=budget)

    return Cell(f"{task}/{budget}/{seed}", (task, budget, seed, settings), measure)


def _sets(configuration, task, budget, seed, folder):
    """The parameters; training pairs whose rows are summary and score side by side; test pairs; observed summaries."""
    key = stream(jax.random.key(configuration.seed), task)
    key_train = jax.random.fold_in(stream(key, f"budget {budget}"), seed)
    if task == DENSITY:
        return _density_sets(configuration, budget, key_train)
    model, summarise = TASKS[task](), None
    if task.startswith("lotka_volterra"):
        skeleton = standardising(_network(model), jnp.zeros((1, *model.data_shape)))
        summarise = Logarithms(load_module(folder.parent / f"summaries.{task}" / "compressor.eqx", skeleton))
    train = simulate_with_scores(model, stream(key_train, "simulations"), budget, summarise)
    test = model.simulate(stream(key, "test"), configuration.test)
    see = summarise or eqx.nn.Identity()
    known = [] if task.endswith("_latent") else [see(observation(task, n)) for n in configuration.observations]
    return model.parameters, (train, (test.theta, jax.vmap(see)(test.data))), known


def _density_sets(configuration, budget, key):
    """One posterior of two moons, known by draws and the gradients of its log density there: nothing is conditioned on."""
    model, number = TASKS["two_moons"](), configuration.observations[0]
    draws = jax.random.permutation(stream(key, "draws"), jnp.asarray(reference("two_moons", number)[REFERENCE // 2 :]))
    theta, test = draws[:budget], draws[-configuration.test :]
    scores = jax.vmap(lambda t: model.score(t, {}, observation("two_moons", number)))(theta)
    rows = jnp.concatenate([jnp.zeros((budget, 1)), scores], axis=1)
    return model.parameters, ((theta, rows), (test, jnp.zeros((len(test), 1)))), [jnp.zeros(1)]


def _mean_log_prob(posterior: AbstractPosterior, test: tuple[Float[Array, "n p"], Float[Array, "n s"]], budget: int) -> float:
    """Mean log density of test pairs under the posterior, a share of one in `budget` of the prior mixed in."""
    theta, summaries = (np.asarray(array) for array in test)
    values = held_out_log_probs(posterior, theta, summaries)
    prior = np.asarray(jax.vmap(posterior.parameters.log_prob)(jnp.asarray(theta)), np.float64)
    return float(np.mean(guarded(values, prior, budget)))


def _distances(posterior, observed, task, configuration, key):
    if not observed:  # no reference is published
        return
    draws = sample_many(posterior, stream(key, "draws"), jnp.stack(observed), configuration.draws)
    most = REFERENCE // 2 if task == DENSITY else REFERENCE
    for row, number in enumerate(configuration.observations[: len(observed)]):
        yield number, distance(draws[row][:most], task.removesuffix("_density"), number, stream(key, "c2st"))


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
        enough, largest = configuration.seeds >= LEAST_SEEDS, configuration.budgets[-1]
        # What the largest budget reaches with scores, no budget at hand reaches without.
        for budget, saved, error in list(zip(configuration.budgets, *_saved(configuration.budgets, sides), strict=True))[:-1]:
            barred = enough and budget <= FEW and 2 * budget <= largest
            numbers.append(Number(f"saved/{task}/{budget}", saved, error, bar=">= 2" if barred else None))
        gains = sides["chosen"] - sides["without"]
        worst = gains[gains.mean(axis=1).argmin()]
        numbers.append(Number(f"never_worse/{task}", float(worst.mean()), _error(worst), bar=">= 0" if enough else None))
        numbers += _c2st(configuration, found, task)
    return Report(tuple(numbers))


def _pictures(
    configuration: GradientsConfiguration, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """Log probability against simulations, task by task."""
    figures = []
    for task in configuration.tasks:
        curves = {}
        for name, side in (("without scores", "without"), ("with scores", "with")):
            rows = np.array(
                [
                    [found[f"{task}/{budget}/{seed}"].values[f"log_prob/{side}"] for seed in range(configuration.seeds)]
                    for budget in configuration.budgets
                ]
            )
            costs = [float(budget) for budget in configuration.budgets]
            curves[name] = (costs, rows.mean(axis=1).tolist(), [_error(row) for row in rows])
        figure = plots.accuracy_curves({"simulations": curves}, label="mean log probability of test pairs", exact=None)
        figures.append(
            Illustration(
                task.replace("_", " "), task, figure,
                f"Higher is better. Mean over {configuration.seeds} sets of simulations, with its standard error.",
            )
        )  # fmt: skip
    return figures


def _log_prob(values, side):
    return values[f"log_prob/{_trained(values, side)}"]


def _trained(values, side):
    """The training that the check on held-out simulations chose, if `side` is "chosen"."""
    if side != "chosen":
        return side
    return "with" if Choice(values["gain"], values["gain_error"]).used else "without"


def _c2st(configuration, found, task):
    for side in ("without", "with", "chosen"):
        for budget in configuration.budgets:
            cells = [found[f"{task}/{budget}/{seed}"].values for seed in range(configuration.seeds)]
            means = [[v for k, v in values.items() if k.startswith(f"c2st/{_trained(values, side)}/")] for values in cells]
            if means[0]:
                row = np.mean(means, axis=1)
                spent = 0 if side == "without" else budget
                name = f"c2st/{task}/{side}/{budget}"
                yield Number(name, float(row.mean()), _error(row), simulations=budget, gradients=spent)


def _saved(budgets, sides):
    """How many times more simulations training without scores needs for the log probability that scores reach at each budget.

    Interpolated in the logarithm of the budget, and continued straight below the smallest one; beyond the largest it is a lower
    limit. The errors are those of sets of simulations drawn anew from those at hand.
    """

    def ratios(sets):
        plain = np.maximum.accumulate(sides["without"][:, sets].mean(axis=1))
        rises = np.r_[True, np.diff(plain) > 0]  # more simulations that reach no more are never needed
        reached, plain, at = sides["chosen"][:, sets].mean(axis=1), plain[rises], logs[rises]
        needed = np.interp(reached, plain, at)
        if len(at) > 1:
            needed += np.minimum(reached - plain[0], 0) * (at[1] - at[0]) / (plain[1] - plain[0])
        return np.exp(needed - logs)

    logs, seeds = np.log(budgets), sides["without"].shape[1]
    again = np.random.default_rng(0).integers(seeds, size=(BOOTSTRAPS, seeds))
    errors = np.std([ratios(sets) for sets in again], axis=0) if seeds > 1 else [None] * len(budgets)
    return [float(ratio) for ratio in ratios(np.arange(seeds))], [None if e is None else float(e) for e in errors]


def _error(row: np.ndarray) -> float | None:
    return float(row.std(ddof=1) / row.size**0.5) if row.size > 1 else None
