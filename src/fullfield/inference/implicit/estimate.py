"""What all implicit methods share: an estimator standardised by examples, trained, and refused when simulations are unfit."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import brief_jit, DataError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.inference.implicit.mapped import FirstColumns, Mapped
from fullfield.inference.implicit.scores import AbstractDensityLoss, LEAST_MEAN_SQUARE, mean_square_target, ScoreLoss
from fullfield.networks import AbstractDensity
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History, Loss


EXAMPLES = 8192


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
) -> tuple[Any, History]:
    """Build an estimator from examples and train it.

    Args:
        make: `(unconstrained parameters (n, p), summaries (n, s), key) -> estimator`, called once inside one program; with
            `summary_size` the other columns come as a fourth argument.
        loss: what to minimise.
        parameters: the parameters, in the order of the simulations' theta.
        simulations, validation: pairs to train on, and held-out ones.
        key: scalar key.
        summary_size: how many columns of the data are summaries, if not all.
        varying: whether every summary must vary.
        optimiser: optax transformation; `cosine_adam(learning_rate, all steps)` if not given.
        learning_rate: used without `optimiser`.
        max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The trained estimator and its history.

    Raises:
        DataError: there are too few simulations for the regression that every estimator starts from (says how many are
            needed), or a summary does not vary (says which).
    """
    shard = next(simulations.shards(stream(key, "examples")))
    batches = min(int(shard.steps), math.ceil(min(EXAMPLES, simulations.cost(1)) / simulations.batch_size))
    check_enough(batches * simulations.batch_size, parameters.size, summary_size or columns(simulations, key))
    built, varies = _build(make, parameters, shard, batches, summary_size, key)
    if varying and not bool(np.all(varies)):
        raise DataError(
            "simulations",
            expected="summaries that vary",
            got=f"the same value in every simulation in columns {np.flatnonzero(~np.asarray(varies)).tolist()}",
            remedy="Leave these columns out: a density cannot be fitted to a constant.",
        )
    return fit(
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


def train_density(
    loss: AbstractDensityLoss,
    make: Begin,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    score_weight: float | None = None,
    **settings: Any,
) -> tuple[AbstractDensity, History]:
    """Train a density, with the score term where a weight is given; early stopping looks at the density alone.

    Args:
        loss: the density's own loss.
        make: as for `train_estimator`.
        simulations, validation: rows of summaries, or with `score_weight` of summary and score side by side.
        key: scalar key.
        score_weight: weight of the score term.
        settings: further arguments of `train_estimator`.

    Raises:
        ShapeError: there is a weight, and rows are too short to carry a score.
    """
    if score_weight is None:
        return train_estimator(make, loss, loss.parameters, simulations, validation, key=key, **settings)
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
    """Number of columns of the simulations' data."""
    shard = next(simulations.shards(key))
    return jax.eval_shape(lambda: shard.draw(key, jnp.zeros((), jnp.int32)))[1].shape[-1]


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


@brief_jit
def _build(
    make: Callable, parameters: ParameterSpace, shard: AbstractShard, batches: int, width: int | None, key: Key[Array, ""]
) -> tuple[Any, Bool[Array, " s"]]:
    """The untrained estimator from some batches of examples; in one program, since eager steps compile one by one."""
    examples_key = stream(key, "examples")
    draw = lambda i: shard.draw(jax.random.fold_in(examples_key, i), i)  # noqa: E731
    theta, data = jax.lax.map(draw, jnp.arange(batches, dtype=jnp.int32))
    theta, rows = theta.reshape(-1, theta.shape[-1]), data.reshape(-1, data.shape[-1])
    summary = rows[:, :width]
    others = () if width is None else (rows[:, width:],)
    built = make(parameters.to_unconstrained(theta), summary, stream(key, "weights"), *others)
    return built, jnp.max(summary, axis=0) > jnp.min(summary, axis=0)
