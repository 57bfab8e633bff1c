"""Smoothing of maps, and mosaics of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, ShapeError, stream
from fullfield.fields.grid import ARCMIN, FlatSky


def smoothed(
    sky: FlatSky, maps: Float[Array, "n n bins"], widths: float | tuple[float, ...] | Float[Array, " bins"]
) -> Float[Array, "n n bins"]:
    """Periodic maps convolved with a Gaussian of unit integral.

    Args:
        sky: patch of the maps.
        maps: axes (y, x, bin).
        widths: standard deviation in arcminutes, one for all bins or one for each; 0 leaves a map as it is.
    """
    squares = (jnp.asarray(widths, float) * ARCMIN) ** 2
    beam = jnp.exp(-0.5 * jnp.asarray(sky.multipoles() ** 2, float)[..., None] * squares)
    return jnp.fft.irfft2(beam * jnp.fft.rfft2(maps, axes=(0, 1)), s=maps.shape[:2], axes=(0, 1))


def mosaic(key: Key[Array, ""], fields: Float[Array, "k n width bins"]) -> Float[Array, "m m bins"]:
    """A square of square maps, each in a random place and mirrored at random along either axis.

    Args:
        key: scalar key.
        fields: maps, their number a square.

    Returns:
        One map of √k n pixels on a side.

    Raises:
        ConfigurationError: the number of maps is not a square.
        ShapeError: the maps are not square.
    """
    k, n, width, bins = fields.shape
    side = round(np.sqrt(k))
    if side**2 != k:
        raise ConfigurationError("fields", expected="a square number of maps, such as 36", got=k)
    if n != width:
        raise ShapeError("fields", expected="square maps (k, n, n, bins)", got=fields.shape)
    ways = jax.random.bernoulli(stream(key, "mirrors"), shape=(2, k, 1, 1, 1))
    fields = jnp.where(ways[0], fields[:, ::-1], fields)
    fields = jnp.where(ways[1], fields[:, :, ::-1], fields)
    placed = jax.random.permutation(stream(key, "places"), fields).reshape(side, side, n, n, bins)
    return jnp.swapaxes(placed, 1, 2).reshape(side * n, side * n, bins)
