"""What all implicit methods share: an estimator standardised by examples, trained, and refused when simulations are unfit."""

import dataclasses
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from fullfield._core import brief_jit, ConfigurationError, DataError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.inference.implicit.mapped import FirstColumns, Mapped, warn_of_constant
from fullfield.inference.implicit.scores import AbstractDensityLoss, LEAST_MEAN_SQUARE, mean_square_target, ScoreLoss
from fullfield.inference.observation import remember, Seen
from fullfield.networks import AbstractDensity
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History, Loss, split_trained


EXAMPLES = 8192
PLENTY = 4  # times as many simulations as the least: the errors of the regression then widen the posterior by a tenth


class FewSimulationsWarning(UserWarning):
    """Simulations are fewer than a network can plausibly be trained on."""


class Begin(eqx.Module):
    """The untrained estimator of examples. A module, since equal ones are compiled once and lambdas every time.

    Args:
        estimator: `(size, condition_size, *, key) -> estimator`.
        of_summaries: whether it is one of summaries given parameters, not of parameters given summaries.
        loss: what says how a density begins from scores; without it scores are not looked at.
    """

    estimator: Callable[..., Any] = eqx.field(static=True)
    of_summaries: bool = eqx.field(static=True, default=False)
    loss: AbstractDensityLoss | None = None

    def __call__(
        self,
        unconstrained: Float[Array, "n p"],
        summaries: Float[Array, "n s"],
        key: Key[Array, ""],
        scores: Float[Array, "n p"] | None = None,
    ) -> Any:
        """The estimator, standardised by examples."""
        x, condition = (summaries, unconstrained) if self.of_summaries else (unconstrained, summaries)
        built = self.estimator(x.shape[-1], condition.shape[-1], key=key).fitted_to(x, condition)
        return (
            built
            if self.loss is None or scores is None
            else self.loss.begun_from_scores(built, unconstrained, summaries, scores)
        )


def train_estimator(
    make: Callable[..., Any],
    loss: Loss,
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    summary_size: int | None = None,
    varying: bool = False,
    optimiser: optax.GradientTransformation | None = None,
    learning_rate: float = 3e-3,
    max_epochs: int = 60,
    patience: int = 15,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "training",
) -> tuple[Any, History, Seen]:
    """Build an estimator from examples and train it.

    Args:
        make: `(unconstrained parameters (n, p), summaries (n, s), key) -> estimator`, called once inside one program; with
            `summary_size` the other columns come as a fourth argument.
        loss: what to minimise.
        parameters: the parameters, in the order of the simulations' theta.
        simulations, validation: pairs to train on, and held-out ones.
        key: scalar key.
        summary_size: how many columns of the data are summaries, if not all.
        varying: whether every summary must vary; else those that do not are warned of.
        optimiser: optax transformation; `cosine_adam(learning_rate, all steps)` if not given.
        learning_rate: used without `optimiser`.
        max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The trained estimator, its history, and where the summaries lay.

    Raises:
        DataError: there are too few simulations for the regression that every estimator starts from (says how many are
            needed), parameters lie outside the prior, or a summary does not vary (says which).
        ShapeError: the data of a simulation are not a vector.

    Warns:
        FewSimulationsWarning: there are fewer simulations than a network needs (says how many that is).
        ConstantSummaryWarning: a summary does not vary (says which).
    """
    shard = next(simulations.shards(stream(key, "examples")))
    batches = min(int(shard.steps), math.ceil(min(EXAMPLES, simulations.cost(1)) / simulations.batch_size))
    n, size = batches * simulations.batch_size, summary_size or columns(simulations, key)
    check_enough(n, parameters.size, size)
    built, outside, summaries = _build(make, parameters, shard, batches, summary_size, key)
    if int(outside):
        raise DataError(
            "simulations", expected="parameters inside the prior", got=f"{outside} of {n} outside it",
            remedy="Widen the prior, or leave these simulations out.",
        )  # fmt: skip
    _check_varying(np.asarray(summaries), refuse=varying)
    if jax.tree.leaves(split_trained(built)[0]):
        _warn_of_few(n, parameters.size, size)
    fitted, history = fit(
        built,
        loss,
        simulations,
        validation=validation,
        key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(learning_rate, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return fitted, history, remember(summaries)


def train_density(
    loss: AbstractDensityLoss,
    make: Begin,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    score_weight: float | None = None,
    **settings: Any,
) -> tuple[AbstractDensity, History, Seen]:
    """Train a density, with the score term where a weight is given; early stopping looks at the density alone.

    Args:
        loss: the density's own loss.
        make: as for `train_estimator`.
        simulations, validation: rows of summaries, or with `score_weight` of summary and score side by side.
        key: scalar key.
        score_weight: weight of the score term.
        settings: further arguments of `train_estimator`.

    Raises:
        ConfigurationError: the weight is negative.
        ShapeError: there is a weight, and rows are too short to carry a score.
    """
    if score_weight is None:
        return train_estimator(make, loss, loss.parameters, simulations, validation, key=key, **settings)
    if not score_weight >= 0:
        raise ConfigurationError("score_weight", expected="no negative number", got=score_weight)
    size = columns(simulations, key) - loss.parameters.size
    if size < 1:
        raise ShapeError(
            "simulations", expected=f"rows of summary and score, longer than {loss.parameters.size}",
            got=size + loss.parameters.size, remedy="Put the scores (n, p) behind the summaries (n, s).",
        )  # fmt: skip
    mean_square = mean_square_target(loss, simulations, size, key=stream(key, "scores"))
    with_scores = ScoreLoss(loss, jnp.asarray(score_weight, float), jnp.maximum(mean_square, LEAST_MEAN_SQUARE))
    held_out = Mapped(validation, FirstColumns(size)) if columns(validation, key) > size else validation

    begin = dataclasses.replace(make, loss=loss) if score_weight > 0 else make
    return train_estimator(begin, with_scores, loss.parameters, simulations, held_out, key=key, summary_size=size, **settings)


def columns(simulations: AbstractSimulations, key: Key[Array, ""]) -> int:
    """Number of columns of the simulations' data.

    Raises:
        ShapeError: the data of a simulation are not a vector.
    """
    shard = next(simulations.shards(key))
    shape = jax.eval_shape(lambda: shard.draw(key, jnp.zeros((), jnp.int32)))[1].shape[1:]
    check_vector("simulations", shape)
    return shape[0]


def check_vector(argument: str, shape: tuple[int, ...], remedy: str = "Summarise each simulation before training.") -> None:
    """Refuse a shape of what should be a summary (s,).

    Raises:
        ShapeError: says what to do about maps, and about single numbers.
    """
    if len(shape) != 1:
        remedy = remedy if shape else "Make a single number a vector of length one."
        raise ShapeError(argument, expected="a summary (s,) for each simulation", got=f"shape {shape}", remedy=remedy)


def check_enough(n: int, p: int, s: int) -> None:
    """Refuse fewer simulations than the linear regression of p numbers on s numbers can be measured with.

    Raises:
        DataError: says how many are needed.
    """
    needed = p + s + 2
    if n < needed:
        raise DataError(
            "simulations",
            expected=f"at least {needed} to train on, for {p} parameters and {s} summaries",
            got=n,
            remedy="Simulate more, or compress the summaries.",
        )


def _warn_of_few(n, p, s):
    """Every network begins with a linear regression, whose errors raise the variance that it finds by (s + 1) / n.

    Where that is more than a quarter, a network, which has more to learn from the same simulations, learns their accidents.
    """
    plenty = PLENTY * (p + s + 2)
    if n < plenty:
        warnings.warn(
            f"simulations: expected at least {plenty} to train a network on, for {p} parameters and {s} summaries, got {n}. "
            "Simulate more, compress the summaries, or take what is made for few: "
            "density=fullfield.networks.regression, or train_folds.",
            FewSimulationsWarning,
            stacklevel=5,
        )


def _check_varying(summaries, *, refuse):
    if not refuse:
        warn_of_constant(summaries, "say nothing about the parameters", stacklevel=5)
    elif not (varies := np.ptp(summaries, axis=0) > 0).all():
        raise DataError(
            "simulations",
            expected="summaries that vary",
            got=f"the same value in every simulation in columns {np.flatnonzero(~varies).tolist()}",
            remedy="Leave these columns out: a density cannot be fitted to a constant.",
        )


@brief_jit
def _build(
    make: Callable, parameters: ParameterSpace, shard: AbstractShard, batches: int, width: int | None, key: Key[Array, ""]
) -> tuple[Any, Int[Array, ""], Float[Array, "n s"]]:
    """The untrained estimator from some batches of examples, how many have parameters outside the prior, and their summaries.

    In one program, since eager steps compile one by one.
    """
    examples_key = stream(key, "examples")
    draw = lambda i: shard.draw(jax.random.fold_in(examples_key, i), i)  # noqa: E731
    theta, data = jax.lax.map(draw, jnp.arange(batches, dtype=jnp.int32))
    theta, rows = theta.reshape(-1, theta.shape[-1]), data.reshape(-1, data.shape[-1])
    summary = rows[:, :width]
    others = () if width is None else (rows[:, width:],)
    unconstrained = parameters.to_unconstrained(theta)
    built = make(unconstrained, summary, stream(key, "weights"), *others)
    return built, jnp.sum(~jnp.isfinite(unconstrained).all(axis=1)), summary
