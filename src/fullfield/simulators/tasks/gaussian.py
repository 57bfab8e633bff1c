"""Gaussian tasks: a linear one whose posterior is Gaussian, and a mixture of a wide and a narrow one."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield.parameters import ParameterSpace
from fullfield.simulators.tasks.base import AbstractTask, numbered


class GaussianLinear(AbstractTask):
    """Infer the mean of a Gaussian: x ~ N(θ, 0.1 I), θ ~ N(0, 0.1 I), so that θ | x ~ N(x/2, 0.05 I).

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.1. The published 0.1 are variances.

    Args:
        size: number of parameters, and of data.
    """

    parameters: ParameterSpace
    size: int = eqx.field(static=True)
    variance: float

    def __init__(self, size: int = 10):
        self.size, self.variance = size, 0.1
        self.parameters = numbered(size, dist.Normal(0.0, math.sqrt(self.variance)))

    def likelihood(self, theta: Float[Array, " p"]) -> dist.Distribution:
        """Gaussian about `theta`."""
        return dist.Normal(theta, jnp.sqrt(self.variance)).to_event(1)

    def posterior(self, data: Float[Array, " p"]) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
        """Mean (p,) and covariance (p, p) of the exact, Gaussian posterior."""
        return data / 2, self.variance / 2 * jnp.eye(self.size)


class GaussianMixture(AbstractTask):
    """Infer the common mean of a mixture: x ~ ½ N(θ, I) + ½ N(θ, 0.01 I) in two dimensions, θ ~ U(-10, 10)².

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.7. Each simulation draws its own component. Until version
    1.1 the published simulator gave one component to a whole batch: the paper's numbers for this task are not comparable.
    """

    parameters: ParameterSpace
    scales: tuple[float, float]

    def __init__(self):
        self.parameters = numbered(2, dist.Uniform(-10.0, 10.0))
        self.scales = (1.0, 0.1)

    def likelihood(self, theta: Float[Array, "2"]) -> dist.Distribution:
        """Mixture of a wide and a narrow Gaussian about `theta`."""
        widths = jnp.stack([jnp.full(2, scale) for scale in self.scales])
        components = dist.Normal(jnp.broadcast_to(theta, (2, 2)), widths).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(probs=jnp.full(2, 0.5)), components)
