"""Few simulations, each of them learned from and held out in turn."""

import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import brief_jit, ConfigurationError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import StoredSimulations
from fullfield.inference.implicit.choose import guarded, held_out_log_probs
from fullfield.inference.implicit.estimate import Begin, check_enough
from fullfield.inference.implicit.npe import NPELoss
from fullfield.inference.implicit.scores import log_prior, ScoreLoss
from fullfield.inference.posterior import EnsemblePosterior, FlowPosterior
from fullfield.networks import AbstractDensity, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History, Loss


LOOK = 20  # training steps between two looks at the held-out simulations
BATCH = 128


class FoldsLoss(eqx.Module):
    """Mean loss of several estimators, each on simulations of its own.

    Args:
        loss: of one estimator.
        folds: number of estimators, whose arrays are stacked.
    """

    loss: Loss
    folds: int = eqx.field(static=True)

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b fp"], data: Float[Array, "b fs"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on rows that hold one simulation for each estimator, side by side."""
        theta, data = (jnp.moveaxis(rows.reshape(len(rows), self.folds, -1), 1, 0) for rows in (theta, data))
        keys = jax.random.split(key, self.folds)
        return jnp.mean(eqx.filter_vmap(lambda *each: self.loss(*each[:3], key=each[3]))(module, theta, data, keys))


class GuardedLoss(eqx.Module):
    """Mean of -log q of held-out simulations, a share of the prior mixed in (`guarded`).

    Args:
        loss: the posterior's own.
        n: number of simulations.
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
    rows: Float[Array | np.ndarray, "n columns"],
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
) -> tuple[EnsemblePosterior, Float[np.ndarray, " m"], History]:
    """Fit the posterior to few simulations, several times, each time with another part held out, and mix what was found.

    No simulation is lost to the held-out part. All trainings go on together, and end where the held-out simulations of all are
    predicted best: the few of a single training would choose an epoch by accident, look better than what follows, and be no
    fair judge between two ways of training (`choose`). Nor would one that a sharp density misses (`guarded`).

    Args:
        parameters: the parameters.
        theta: their values.
        rows: summaries (s,), or summary and score (p,) side by side with `score_weight`.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
        score_weight: weight of the score term, if rows carry scores (`fullfield.inference.implicit.scores`).
        folds: number of parts, of equal length; up to `folds - 1` simulations that are left over train and never judge.
        steps: most training steps.
        learning_rate: highest learning rate of Adam.
        checkpoint: file to continue from.
        progress: told after every epoch.
        stage: what `progress` calls it.

    Returns:
        The equal mixture; the guarded log-probability of each simulation under the training that did not see it, without
        those that are left over; and the history.

    Raises:
        ConfigurationError: there are fewer simulations than parts.
        DataError: there are fewer simulations than the density's linear regression needs.
        ShapeError: there is a weight, and rows are too short to carry a score.
    """
    theta, rows = np.asarray(theta), np.asarray(rows)
    if not 2 <= folds <= len(theta):
        raise ConfigurationError("folds", expected=f"between 2 and the number of simulations, {len(theta)}", got=folds)
    size = rows.shape[1] - (0 if score_weight is None else parameters.size)
    if size < 1:
        raise ShapeError("rows", expected=f"summary and score, longer than {parameters.size}", got=rows.shape[1])
    each = np.arange(len(theta) - len(theta) % folds).reshape(-1, folds)
    others = np.stack([np.setdiff1d(np.arange(len(theta)), each[:, fold]) for fold in range(folds)], axis=1)
    check_enough(len(others), parameters.size, size)
    loss = NPELoss(parameters)
    begin = Begin(density, loss=loss if score_weight else None)
    started, mean_square = _start(begin, loss, theta[others], rows[others], size, stream(key, "start"))
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
        FoldsLoss(loss if score_weight is None else ScoreLoss(loss, jnp.asarray(score_weight, float), mean_square), folds),
        source,
        validation=validation,
        measure=FoldsLoss(GuardedLoss(loss, len(theta)), folds),
        key=stream(key, "training"),
        # The gradient of a mean over trainings that share nothing.
        optimiser=cosine_adam(learning_rate, epochs * source.steps_per_epoch, clip=folds**-0.5),
        max_epochs=epochs,
        patience=max(20, epochs // 4),
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    members, found = [], np.zeros(each.size)
    for fold in range(folds):
        one = jax.tree.map(lambda leaf, fold=fold: leaf[fold] if eqx.is_array(leaf) else leaf, fitted)
        members.append(FlowPosterior(parameters, one, eqx.nn.Identity(), (size,)))
        unseen = each[:, fold]
        found[unseen] = held_out_log_probs(members[-1], theta[unseen], rows[unseen, :size])
    prior = np.asarray(jax.vmap(parameters.log_prob)(jnp.asarray(theta[: each.size])))
    return EnsemblePosterior(tuple(members)), np.asarray(guarded(found, prior, len(theta)), np.float64), history


@brief_jit
def _start(begin, loss, theta, rows, size, key):
    """The untrained densities of all folds, stacked, and the mean square of what their gradients should be."""
    u = jax.vmap(jax.vmap(loss.parameters.to_unconstrained))(jnp.moveaxis(theta, 1, 0))
    rows = jnp.moveaxis(rows, 1, 0)
    keys, summaries, scores = jax.random.split(key, len(u)), rows[..., :size], rows[..., size:]
    if scores.shape[-1] == 0:
        return eqx.filter_vmap(begin)(u, summaries, keys), None
    targets = jax.vmap(jax.vmap(loss.target))(u, scores)
    return eqx.filter_vmap(begin)(u, summaries, keys, scores), jnp.maximum(jnp.mean(targets**2, axis=(0, 1)), 1e-12)
