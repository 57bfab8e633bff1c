"""Summaries that estimate the parameters, and say no more: regression.

The network that minimises the mean square of u - t is the posterior mean of u, the one that minimises the mean absolute
difference its median, parameter by parameter. Neither need be sufficient: what data say about a posterior's width and shape is
lost (Lanzieri et al. 2025, A&A 697, A162). Numbers of a summary beyond the first p are not trained.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.compression.objective import AbstractObjective


class MeanSquaredError(AbstractObjective):
    """Mean of |u - t|²; the summary becomes the posterior mean of the unconstrained parameters."""

    def __call__(self, head: None, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean over batch and parameters."""
        return jnp.mean((u - summary[:, : u.shape[1]]) ** 2)


class MeanAbsoluteError(AbstractObjective):
    """Mean of |u - t| by component; the summary becomes the posterior median of each unconstrained parameter."""

    def __call__(self, head: None, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean over batch and parameters."""
        return jnp.mean(jnp.abs(u - summary[:, : u.shape[1]]))
