"""Gaussian negative log-likelihood: a posterior mean that knows which errors matter."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield.compression.objective import AbstractObjective
from fullfield.networks import MLP


class GaussianLikelihood(AbstractObjective):
    """-log N(u; t, Σ(t)) with the covariance read off the summary; the summary is the mean of the best Gaussian posterior.

    It is VMIM with a companion that can be nothing but a Gaussian about the summary: where posteriors are skewed the summary is
    no posterior mean, and need not be sufficient (Lanzieri et al. 2025, A&A 697, A162).

    Args:
        width: hidden units of the two layers between summary and covariance.
    """

    width: int = 64

    def head(self, p: int, s: int, *, key: Key[Array, ""]) -> MLP:
        """Summary to the Cholesky factor of the precision, its diagonal in logarithm."""
        return MLP(s, p * (p + 1) // 2, key=key, width=self.width)

    def __call__(self, head: MLP, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean of -log N(u; t, Σ(t))."""
        p = u.shape[1]

        def log_normal(u, t):
            log_diagonal, off = jnp.split(head(t), [p])
            root = jnp.diag(jnp.exp(log_diagonal)).at[jnp.tril_indices(p, -1)].set(off)
            return jnp.sum(log_diagonal) - 0.5 * jnp.sum((root @ (u - t[:p])) ** 2) - 0.5 * p * jnp.log(2 * jnp.pi)

        return -jnp.mean(jax.vmap(log_normal)(u, summary))
