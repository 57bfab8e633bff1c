"""Gaussian negative log-likelihood: a posterior mean that knows which errors matter.

The precision Λ = RᵀR of the errors comes as the p (p + 1) / 2 numbers of the lower triangular R, the logarithms of its diagonal
first: whatever they are, Λ is positive definite, and no two of them mean the same.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield.compression.base import Composed, Compressor, Projection
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
            square, half_log_det = _measured(u - t[:p], head(t))
            return half_log_det - 0.5 * square - 0.5 * p * jnp.log(2 * jnp.pi)

        return -jnp.mean(jax.vmap(log_normal)(u, summary))


class PredictedPrecision(AbstractObjective):
    """(u - t)ᵀ Λ (u - t) - ln |Λ|, where the network itself predicts the estimate t and its precision Λ, side by side.

    Its best t is the posterior mean, and its best Λ⁻¹ the posterior's covariance, of the unconstrained parameters; neither ½
    nor 2π is in it. `estimates` keeps t alone, the summary of the paper; the outputs behind it say what a Gaussian posterior
    would be (`predicted_precision`). Source: Kacprzak & Fluri 2022 (arXiv:2203.09616), eq. 14, where p = 7 parameters are 35
    outputs. Their code lets the diagonal of R have either sign, and the loss a pole between them; here it is positive.
    """

    def least_summaries(self, p: int) -> int:
        """Estimates and precision: p + p (p + 1) / 2."""
        return p + p * (p + 1) // 2

    def __call__(self, head: None, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean over the batch."""
        p, end = u.shape[1], self.least_summaries(u.shape[1])
        squares, half_log_dets = jax.vmap(_measured)(u - summary[:, :p], summary[:, p:end])
        return jnp.mean(squares - 2 * half_log_dets)


def estimates(compressor: Compressor, p: int) -> Compressor:
    """The compressor to its first p numbers alone.

    Args:
        compressor: trained with `PredictedPrecision`, or another whose summary begins with estimates.
        p: number of parameters.
    """
    first = Projection(jnp.eye(p, compressor.summary_size))
    return Compressor(compressor.standardise, Composed((compressor.network, first)), compressor.data_shape)


def predicted_precision(summary: Float[Array, " s"], p: int) -> Float[Array, "p p"]:
    """Λ of the unconstrained parameters, from all outputs of a network that was trained with `PredictedPrecision`."""
    root = _root(summary[p : p + p * (p + 1) // 2], p)
    return root.T @ root


def _root(numbers, p):
    log_diagonal, off = jnp.split(numbers, [p])
    return jnp.diag(jnp.exp(log_diagonal)).at[jnp.tril_indices(p, -1)].set(off)


def _measured(residual, numbers):
    """Residual squared in units of its error, and half the logarithm of the precision's determinant."""
    p = residual.size
    return jnp.sum((_root(numbers, p) @ residual) ** 2), jnp.sum(numbers[:p])
