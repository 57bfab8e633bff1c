"""Smoothing of maps, and mosaics of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import ConfigurationError, ShapeError, stream
from fullfield.fields.grid import ARCMIN, FlatSky


def smoothed(
    sky: FlatSky,
    maps: Float[Array, "n n bins"],
    widths: float | tuple[float, ...] | Float[Array, " bins"],
    mask: Bool[Array, "n n"] | None = None,
) -> Float[Array, "n n bins"]:
    """Periodic maps convolved with a Gaussian of unit integral.

    Args:
        sky: patch of the maps.
        maps: axes (y, x, bin).
        widths: standard deviation in arcminutes, one for all bins or one for each; 0 leaves a map as it is.
        mask: True where a pixel is observed. Given one, the average over observed neighbours alone, and zero in other pixels:
            nothing is darkened at edges and holes, where fewer neighbours average less noise away.
    """
    squares = (jnp.asarray(widths, float) * ARCMIN) ** 2
    beam = jnp.exp(-0.5 * jnp.asarray(sky.multipoles() ** 2, float)[..., None] * squares)
    convolved = lambda some: jnp.fft.irfft2(beam * jnp.fft.rfft2(some, axes=(0, 1)), s=maps.shape[:2], axes=(0, 1))  # noqa: E731
    if mask is None:
        return convolved(maps)
    observed = mask[..., None]
    share = convolved(jnp.broadcast_to(observed, maps.shape).astype(maps.dtype))
    return jnp.where(observed, convolved(jnp.where(observed, maps, 0.0)) / jnp.where(observed, share, 1.0), 0.0)


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
