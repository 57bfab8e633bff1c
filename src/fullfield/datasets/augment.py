"""Augmentations of stored simulations: every time an example is drawn it is another one with the same parameters."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, ShapeError


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


class Decorrelated(eqx.Module):
    """Turns, mirrors and shifts groups of maps on one periodic patch, each group by itself, so that they no longer correlate.

    Every group keeps its statistics. Cross-correlations are gone on average over draws, for whatever does not find out how the
    groups lie: of nearly equal maps a network may. Maps of one parameter vector and independent universes, a group of each,
    leave it nothing to find. Maps under a mask, which must not move, ask for these as well.

    Args:
        groups: numbers of the maps (last axis) that stay together; every map in one group.

    Raises:
        ConfigurationError: the groups are not all of the maps 0, 1, ..., each once.
    """

    groups: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __check_init__(self):
        members = [i for group in self.groups for i in group]
        if not members or sorted(members) != list(range(len(members))):
            raise ConfigurationError("groups", expected="every map 0, 1, 2, ... in one group", got=self.groups)

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "n n c"]) -> Float[Array, "n n c"]:
        """The maps, groups of them moved at random.

        Raises:
            ShapeError: there are more or fewer maps than in the groups.
        """
        order = np.concatenate([np.array(group, int) for group in self.groups])
        if data.shape[-1] != order.size:
            raise ShapeError("data", expected=f"{order.size} maps, as the groups hold", got=data.shape)
        moved = [
            turn_and_roll(jax.random.fold_in(key, number), theta, data[..., np.array(group)])
            for number, group in enumerate(self.groups)
        ]
        return jnp.concatenate(moved, axis=-1)[..., np.argsort(order)]


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
