"""Moment networks: the posterior's mean and variances as summaries."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.compression.objective import AbstractObjective


class MomentNetwork(AbstractObjective):
    """Posterior mean, and logarithm of the posterior variance, of each unconstrained parameter: summaries (2 p,).

    The variance is that of residuals r about the mean, which it does not move (Jeffrey & Wandelt 2020, arXiv:2011.05991). It
    is found as the v that minimises r² / v + log v on average; (r² - v)² has its minimum there too, at the mercy of single
    large residuals.
    """

    def least_summaries(self, p: int) -> int:
        """Means and variances."""
        return 2 * p

    def __call__(self, head: None, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean over batch and parameters."""
        p = u.shape[1]
        mean, log_variance = summary[:, :p], summary[:, p : 2 * p]
        square = jax.lax.stop_gradient(u - mean) ** 2
        return jnp.mean((u - mean) ** 2) + jnp.mean(square * jnp.exp(-log_variance) + log_variance)
