"""Marginal scores learnt from joint scores by regression.

The joint score depends on the latents and scatters about the marginal score, which is its mean over all latents that could
have made the data. A network that is fitted to joint scores by least squares becomes that mean (Brehmer et al. 2020, PNAS 117,
5242, eq. 16).
"""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.estimate import columns, train_estimator
from fullfield.inference.implicit.scores import likelihood_gradient
from fullfield.networks import apply_many, moments, ResidualMLP, Standardise
from fullfield.parameters import ParameterSpace
from fullfield.training import History


class MarginalScore(eqx.Module):
    """Network of the score ∂ log p(summary | theta) / ∂ theta.

    Args:
        network: from standardised (u, summary) to the gradient in u, in units of `scale`.
        standardise: of u and summary together.
        scale: root mean square (p,) of the joint scores in u.
        parameters: the parameters.
    """

    network: ResidualMLP
    standardise: Standardise
    scale: paramax.NonTrainable | Float[Array, " p"]
    parameters: ParameterSpace

    def scaled(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, " p"]:
        """Score in u over `scale`."""
        return self.network(self.standardise(jnp.concatenate([unconstrained, summary])))

    def __call__(self, theta: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, " p"]:
        """Score (p,) in theta."""
        u = self.parameters.to_unconstrained(theta)
        in_u = self.scaled(u, summary) * paramax.unwrap(self.scale)
        return jax.vjp(self.parameters.to_unconstrained, theta)[1](in_u)[0]


class ScoreRegression(eqx.Module):
    """Mean squared distance between predicted and joint scores in unconstrained coordinates, over the scores' mean square.

    Args:
        parameters: the parameters.
    """

    parameters: ParameterSpace

    def __call__(
        self, module: MarginalScore, theta: Float[Array, "b p"], data: Float[Array, "b columns"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on rows of summary and score side by side; `key` is ignored."""
        summary, score = data[:, : -theta.shape[1]], data[:, -theta.shape[1] :]
        u = self.parameters.to_unconstrained(theta)
        target = jax.vmap(lambda u, s: likelihood_gradient(self.parameters, u, s))(u, score)
        return jnp.mean((jax.vmap(module.scaled)(u, summary) - target / paramax.unwrap(module.scale)) ** 2)


def train_score(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    width: int = 128,
    blocks: int = 2,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    patience: int = 15,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "score",
) -> tuple[MarginalScore, History]:
    """Fit the marginal score of summaries.

    Args:
        parameters: the parameters.
        simulations, validation: rows of summary and joint score (p,) side by side.
        key: scalar key.
        width, blocks: of the network.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs, patience, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The score network and the history; its loss is the fraction of the joint scores' mean square left unexplained.
    """
    size = columns(simulations, key) - parameters.size
    shard = next(simulations.shards(stream(key, "scale")))
    scale = _scale(parameters, shard, stream(key, "scale"))

    def make(u, summary, key, scores):
        del scores
        network = ResidualMLP(parameters.size + size, parameters.size, key=key, width=width, blocks=blocks)
        return MarginalScore(network, moments(jnp.hstack([u, summary])), paramax.NonTrainable(scale), parameters)

    fitted, history, _ = train_estimator(
        make,
        ScoreRegression(parameters),
        parameters,
        simulations,
        validation,
        key=key,
        summary_size=size,
        optimiser=optimiser,
        learning_rate=1e-3,
        max_epochs=max_epochs,
        patience=patience,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return fitted, history


@eqx.filter_jit
def _scale(parameters, shard, key):
    def add(i, total):
        theta, data = shard.draw(jax.random.fold_in(key, i), i)
        u = parameters.to_unconstrained(theta)
        target = jax.vmap(lambda u, s: likelihood_gradient(parameters, u, s))(u, data[:, -parameters.size :])
        return total + jnp.mean(target**2, axis=0)

    total = jax.lax.fori_loop(jnp.zeros((), jnp.int32), shard.steps.astype(jnp.int32), add, jnp.zeros(parameters.size))
    return jnp.sqrt(jnp.maximum(total / shard.steps, 1e-12))


def with_marginal_scores(
    score: MarginalScore, theta: Float[Array | np.ndarray, "n p"], summary: Float[Array | np.ndarray, "n s"]
) -> Float[np.ndarray, "n columns"]:
    """Rows of summary and learnt marginal score side by side, as the score term takes them."""
    scores = apply_many(score, theta, summary, batch_size=1024)
    return np.concatenate([np.asarray(summary), scores], axis=1)
