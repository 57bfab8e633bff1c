"""Augmentations of stored simulations: every time an example is drawn it is another one with the same parameters."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError


def turn_and_roll(key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "n n c"]) -> Float[Array, "n n c"]:
    """Turn, mirror and shift a periodic map at random: symmetries of models on a periodic patch, so the parameters stay."""
    shift = jax.random.randint(key, (2,), 0, data.shape[0])
    return turn(jax.random.fold_in(key, 1), theta, jnp.roll(data, shift, (0, 1)))


def turn(key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "n n c"]) -> Float[Array, "n n c"]:
    """Turn and mirror a map at random, which need not be periodic."""
    del theta
    ways = jax.random.randint(key, (3,), 0, 2)
    data = jnp.where(ways[0], data[::-1], data)
    data = jnp.where(ways[1], data[:, ::-1], data)
    return jnp.where(ways[2], jnp.swapaxes(data, 0, 1), data)


class FreshNoise(eqx.Module):
    """Adds independent normal noise to simulations that were stored without it.

    Args:
        scale: deviation, of the shape of the data or one that broadcasts to it, such as (bins,).

    Raises:
        ConfigurationError: a deviation is negative or not finite.
    """

    scale: Float[Array, "..."]

    def __init__(self, scale: Float[Array | np.ndarray, "..."]):
        values = np.asarray(scale)
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ConfigurationError("scale", expected="finite deviations of at least zero", got=values.tolist())
        self.scale = jnp.asarray(scale, jnp.float32)

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "..."]) -> Float[Array, "..."]:
        """The data under noise of this draw alone."""
        del theta
        return data + self.scale * jax.random.normal(key, data.shape)


class InTurn(eqx.Module):
    """Several augmentations, one behind the other, each with a key of its own.

    Args:
        augmentations: `(key, theta, data) -> data` each.
    """

    augmentations: tuple[Callable, ...]

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "..."]) -> Float[Array, "..."]:
        """The data behind all of them."""
        for number, augment in enumerate(self.augmentations):
            data = augment(jax.random.fold_in(key, number), theta, data)
        return data
