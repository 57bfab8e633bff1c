"""Two moons: a posterior of two crescents, each a hundredth wide."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from numpyro.distributions import constraints

from fullfield.parameters import ParameterSpace
from fullfield.simulators.tasks.base import AbstractTask, numbered


class Crescent(dist.Distribution):
    """Points of a half ring that opens to the left: angle a ~ U(-π/2, π/2), radius r ~ N(0.1, 0.01) about `centre`.

    In the plane its density is N(r; 0.1, 0.01) / (π r). (The likelihood that the published task evaluates lacks the factor 1/r,
    its simulator and its reference posteriors have it.)

    Args:
        centre: of the ring (2,).
    """

    pytree_data_fields = ("centre",)
    radius, width = 0.1, 0.01

    def __init__(self, centre: Float[Array, "2"]):
        self.centre = centre
        super().__init__(event_shape=(2,))

    @property
    def support(self):
        """The plane; the density is zero left of the centre."""
        return constraints.real_vector

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw points."""
        key_angle, key_radius = jax.random.split(key)
        angle = jax.random.uniform(key_angle, sample_shape, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
        radius = self.radius + self.width * jax.random.normal(key_radius, sample_shape)
        return self.centre + radius[..., None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)

    def log_prob(self, value: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density in the plane."""
        offset = value - self.centre
        radius = jnp.sqrt(jnp.maximum(jnp.sum(offset**2, axis=-1), 1e-12))
        ring = dist.Normal(self.radius, self.width).log_prob(radius) - jnp.log(jnp.pi * radius)
        # Rounding may put the very tip of the half ring on the wrong side.
        return jnp.where(offset[..., 0] > -1e-6, ring, -jnp.inf)


class TwoMoons(AbstractTask):
    """Two parameters that shift a half ring in the plane, one of them by its absolute value.

        x = (r cos a + 1/4, r sin a) + (-|θ₁ + θ₂|, θ₂ - θ₁) / √2,   θ ~ U(-1, 1)²

    with angle a ~ U(-π/2, π/2) and radius r ~ N(0.1, 0.01).

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.8, after Greenberg et al. 2019.
    """

    parameters: ParameterSpace

    def __init__(self):
        self.parameters = numbered(2, dist.Uniform(-1.0, 1.0))

    def likelihood(self, theta: Float[Array, "2"]) -> dist.Distribution:
        """Half ring, moved by `theta`."""
        total, difference = (theta[0] + theta[1]) / jnp.sqrt(2), (theta[1] - theta[0]) / jnp.sqrt(2)
        return Crescent(jnp.stack([0.25 - jnp.abs(total), difference]))
