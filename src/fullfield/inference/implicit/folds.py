"""Few simulations, each of them learned from and held out in turn."""

import functools
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import brief_jit, ConfigurationError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import StoredSimulations
from fullfield.datasets.simulations import check_positive
from fullfield.inference.implicit.choose import guarded, held_out_log_probs
from fullfield.inference.implicit.estimate import Begin, check_enough
from fullfield.inference.implicit.finite import finite_rows
from fullfield.inference.implicit.mapped import warn_of_constant
from fullfield.inference.implicit.npe import NPELoss
from fullfield.inference.implicit.scores import LEAST_MEAN_SQUARE, log_prior, ScoreLoss
from fullfield.inference.observation import remember
from fullfield.inference.posterior import EnsemblePosterior, FlowPosterior
from fullfield.networks import AbstractDensity, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History, Loss


LOOK = 20  # training steps between two looks at the held-out simulations
BATCH = 128


class FoldsLoss(eqx.Module):
    """Mean loss of several estimators, each on simulations of its own.

    Args:
        losses: of each estimator; like those of the estimators, their arrays are stacked.
        folds: number of estimators.
    """

    losses: Loss
    folds: int = eqx.field(static=True)

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b fp"], data: Float[Array, "b fs"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on rows that hold one simulation for each estimator, side by side."""
        theta, data = (jnp.moveaxis(rows.reshape(len(rows), self.folds, -1), 1, 0) for rows in (theta, data))
        keys = jax.random.split(key, self.folds)
        each = eqx.filter_vmap(lambda loss, module, t, x, k: loss(module, t, x, key=k))
        return jnp.mean(each(self.losses, module, theta, data, keys))


class GuardedLoss(eqx.Module):
    """Mean of -log q of held-out simulations, a share of the prior mixed in (`guarded`).

    Args:
        loss: the posterior's own.
        n: number of simulations that each density is trained on.
    """

    loss: NPELoss
    n: int = eqx.field(static=True)

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters and summaries; `key` is ignored."""
        u = self.loss.parameters.to_unconstrained(theta)
        values = jax.vmap(lambda u, summary: self.loss.log_density(module, u, summary))(u, data)
        return -jnp.mean(guarded(values, jax.vmap(lambda u: log_prior(self.loss.parameters, u))(u), self.n))


def train_folds(
    parameters: ParameterSpace,
    theta: Float[Array | np.ndarray, "n p"],
    rows: Float[Array | np.ndarray, "m columns"],
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = spline_flow,
    score_weight: float | None = None,
    folds: int = 5,
    steps: int = 2000,
    learning_rate: float = 5e-3,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "posterior",
) -> tuple[EnsemblePosterior, Float[np.ndarray, " k"], History]:
    """Fit the posterior to few simulations, several times, each time with another part held out, and mix what was found.

    No simulation is lost to the held-out part. All trainings go on together, and end where the held-out simulations of all are
    predicted best: the few of a single training would choose an epoch by accident and look better than what follows. All of
    them still do so a little, and of two ways of training (`choose`) the one whose quality hardly changes between epochs gains
    more by it. They are judged with a share of the prior (`guarded`), the posterior that is returned has none.

    Args:
        parameters: the parameters.
        theta: their values, dealt to the parts in turn.
        rows: for each a summary (s,), or summary and score (p,) side by side with `score_weight`.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
        score_weight: weight of the score term, if rows carry scores (`fullfield.inference.implicit.scores`).
        folds: number of parts, of equal length; up to `folds - 1` simulations that are left over train and never judge.
        steps: most training steps, but at least the 20 between two looks at what is held out.
        learning_rate: highest learning rate of Adam.
        checkpoint: file to continue from.
        progress: told after every epoch.
        stage: what `progress` calls it.

    Returns:
        The equal mixture; the guarded log-probability of each simulation under the training that did not see it, without
        those that are left over; and the history.

    Raises:
        ConfigurationError: there are fewer simulations than parts, or no steps.
        ParameterError: parameters lie outside the prior.
        DataError: there are fewer simulations than the density's linear regression needs, or they are not finite.
        DivergenceError: a loss is not finite.
        ShapeError: rows are not as many as parameters, or with a weight too short to carry a score.

    Warns:
        ConstantSummaryWarning: a summary never varies, and others do; says which.
    """
    theta, rows = np.asarray(theta), np.asarray(rows)
    check_positive(steps=steps)
    if rows.ndim != 2 or len(rows) != len(theta):
        raise ShapeError("rows", expected=f"({len(theta)}, columns), as many as theta", got=rows.shape)
    finite_rows(theta, rows)
    if not 2 <= folds <= len(theta):
        raise ConfigurationError("folds", expected=f"between 2 and the number of simulations, {len(theta)}", got=folds)
    size = rows.shape[1] - (0 if score_weight is None else parameters.size)
    if size < 1:
        raise ShapeError(
            "rows", expected=f"summary and score, longer than {parameters.size}", got=rows.shape[1],
            remedy="Put the scores (n, p) behind the summaries (n, s).",
        )  # fmt: skip
    parameters.check(jnp.asarray(theta))
    if np.ptp(rows[:, :size], axis=0).any():  # a density that is conditioned on nothing has constant summaries alone
        warn_of_constant(rows[:, :size], "say nothing about the parameters", stacklevel=3)
    each = np.arange(len(theta) - len(theta) % folds).reshape(-1, folds)
    others = np.stack([np.setdiff1d(np.arange(len(theta)), each[:, fold]) for fold in range(folds)], axis=1)
    check_enough(len(others), parameters.size, size)
    parts = jnp.moveaxis(theta[others], 1, 0), jnp.moveaxis(rows[others], 1, 0)
    started, losses, judges = _start(density, parameters, *parts, size, score_weight, stream(key, "start"))
    batch = min(BATCH, len(others))
    source, validation = (
        StoredSimulations(
            theta[part].reshape(len(part), -1), columns[part].reshape(len(part), -1), batch_size=batch, passes=passes
        )
        for part, columns, passes in ((others, rows, -(-LOOK * batch // len(others))), (each, rows[:, :size], 1))
    )
    epochs = max(1, steps // source.steps_per_epoch)
    fitted, history = fit(
        started,
        FoldsLoss(losses, folds),
        source,
        validation=validation,
        measure=FoldsLoss(judges, folds),
        key=stream(key, "training"),
        optimiser=_each_by_itself(learning_rate, epochs * source.steps_per_epoch, folds),
        max_epochs=epochs,
        patience=max(20, epochs // 4),
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    members, found, seen = [], np.zeros(each.size), remember(rows[:, :size])
    for fold in range(folds):
        one = jax.tree.map(lambda leaf, fold=fold: leaf[fold] if eqx.is_array(leaf) else leaf, fitted)
        members.append(FlowPosterior(parameters, one, eqx.nn.Identity(), (size,), seen))
        unseen = each[:, fold]
        found[unseen] = held_out_log_probs(members[-1], theta[unseen], rows[unseen, :size])
    prior = np.asarray(jax.vmap(parameters.log_prob)(jnp.asarray(theta[: each.size])))
    return EnsemblePosterior(tuple(members)), np.asarray(guarded(found, prior, len(others)), np.float64), history


@functools.lru_cache(maxsize=64)
def _each_by_itself(learning_rate: float, steps: int, folds: int) -> optax.GradientTransformation:
    """Adam on stacked weights. The gradient is that of a mean over folds, and a large one in one of them clips no other."""
    one = cosine_adam(learning_rate, steps, clip=1 / folds)

    def update(updates, state, params=None):
        return jax.vmap(one.update)(updates, state, params)

    return optax.GradientTransformation(jax.vmap(one.init), update)


@brief_jit
def _start(density, parameters, theta, rows, size, weight, key):
    """The untrained densities of all folds, and what trains and judges each, stacked."""

    def one(theta, rows, key):
        loss, u = NPELoss(parameters), jax.vmap(parameters.to_unconstrained)(theta)
        summaries, scores = rows[:, :size], rows[:, size:]
        judge = GuardedLoss(loss, len(theta))
        if weight is None:
            return Begin(density)(u, summaries, key), loss, judge
        begin = Begin(density, loss=loss if weight > 0 else None)
        mean_square = jnp.mean(jax.vmap(loss.target)(u, scores) ** 2, axis=0)
        scored = ScoreLoss(loss, jnp.asarray(weight, float), jnp.maximum(mean_square, LEAST_MEAN_SQUARE))
        return begin(u, summaries, key, scores), scored, judge

    return eqx.filter_vmap(one)(theta, rows, jax.random.split(key, len(theta)))
