"""Running mean and variance, so that draws of fields need not be kept."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Moments(eqx.Module):
    """Mean and sum of squared deviations of what was added, Welford 1962 (Technometrics 4, 419).

    Args:
        count: how many were added.
        mean: their mean.
        squares: sum of their squared deviations from it.
    """

    count: Float[Array, "*c"]
    mean: Float[Array, "..."]
    squares: Float[Array, "..."]

    @classmethod
    def zero(cls, shape: tuple[int, ...], chains: int) -> "Moments":
        """Nothing yet, for each of some chains."""
        return cls(jnp.zeros((chains,)), jnp.zeros((chains, *shape)), jnp.zeros((chains, *shape)))

    def add(self, value: Float[Array, "..."]) -> "Moments":
        """Add one value (of one chain)."""
        count = self.count + 1
        step = value - self.mean
        mean = self.mean + step / count
        return Moments(count, mean, self.squares + step * (value - mean))

    def pooled(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Mean and standard deviation over all chains, which added equally many."""
        mean = jnp.mean(self.mean, axis=0)
        within = jnp.sum(self.squares, axis=0)
        between = jnp.sum(self.count) / len(self.count) * jnp.sum((self.mean - mean) ** 2, axis=0)
        return mean, jnp.sqrt((within + between) / jnp.maximum(jnp.sum(self.count), 1.0))
