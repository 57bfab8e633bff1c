"""SLCP: a simple likelihood with a complex posterior of four symmetric modes."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import transforms

from fullfield.parameters import ParameterSpace
from fullfield.simulators.tasks.base import AbstractTask, numbered


JITTER = 1e-6  # added to both variances by the published simulator


class SLCP(AbstractTask):
    """Four points of a two-dimensional Gaussian whose mean and covariance are non-linear in five parameters.

        x_k ~ N((θ₁, θ₂), S),  k = 1..4,   S = [[s₁² , ρ s₁ s₂], [ρ s₁ s₂, s₂²]] + 10⁻⁶ I,
        s₁ = θ₃²,  s₂ = θ₄²,  ρ = tanh θ₅,   θ ~ U(-3, 3)⁵

    The signs of θ₃ and θ₄ do not matter. Data are (x_1, ..., x_4) in a row, (8,).

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.3, after Papamakarios et al. 2019.
    """

    parameters: ParameterSpace

    def __init__(self):
        self.parameters = numbered(5, dist.Uniform(-3.0, 3.0))

    def likelihood(self, theta: Float[Array, "5"]) -> dist.Distribution:
        """Four independent points, in a row."""
        point = dist.MultivariateNormal(theta[:2], scale_tril=_root(theta[2] ** 2, theta[3] ** 2, theta[4]))
        return dist.TransformedDistribution(point.expand([4]).to_event(1), transforms.ReshapeTransform((8,), (4, 2)))


def _root(s_1, s_2, angle):
    # The last element without the difference of nearly equal numbers that a factorisation in single precision takes.
    correlation, variance = jnp.tanh(angle), s_1**2 + JITTER
    residual = s_2**2 * (1 / jnp.cosh(angle) ** 2 + correlation**2 * JITTER / variance) + JITTER
    first = jnp.sqrt(variance)
    return jnp.stack(
        [jnp.stack([first, jnp.zeros_like(first)]), jnp.stack([correlation * s_1 * s_2 / first, jnp.sqrt(residual)])]
    )
