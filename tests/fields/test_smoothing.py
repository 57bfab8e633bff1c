"""Smoothing against its closed form, and mosaics that lose nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, ShapeError
from fullfield.fields import ARCMIN, FlatSky, mosaic, smoothed


SKY = FlatSky(64, 5.0)


def test_a_wave_is_damped_by_the_gaussian_of_its_multipole():
    x = np.arange(64) / 64
    maps = jnp.asarray(np.stack([np.cos(2 * np.pi * (3 * x[:, None] + 4 * x[None]))] * 3, axis=-1))
    found = np.asarray(smoothed(SKY, maps, (0.0, 6.0, 12.0)))
    factor = np.exp(-0.5 * (5 * SKY.fundamental * np.array([0.0, 6.0, 12.0]) * ARCMIN) ** 2)
    np.testing.assert_allclose(found, maps * factor, atol=1e-5)


def test_a_point_becomes_a_gaussian_that_holds_as_much():
    point = jnp.zeros((64, 64, 1)).at[32, 32].set(1.0)
    found = np.asarray(smoothed(SKY, point, 12.0))[..., 0]
    offset = (np.arange(64) - 32) * SKY.pixel_arcmin
    gaussian = np.exp(-0.5 * (offset[:, None] ** 2 + offset[None] ** 2) / 12.0**2)
    np.testing.assert_allclose(found, gaussian / gaussian.sum(), atol=1e-5)
    assert found.sum() == pytest.approx(1.0, rel=1e-5)


def test_a_mosaic_holds_every_map_once_and_mirrors_half():
    fields = jnp.asarray(np.random.default_rng(0).normal(size=(36, 4, 4, 2)))
    names = {np.asarray(turned).tobytes(): (i, flip) for i, field in enumerate(fields)
             for flip, turned in enumerate((field, field[::-1], field[:, ::-1], field[::-1, ::-1]))}  # fmt: skip
    seen, ways = set(), []
    for trial in range(20):
        made = np.asarray(mosaic(jax.random.key(trial), fields))
        assert made.shape == (24, 24, 2)
        tiles = [made[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] for y in range(6) for x in range(6)]
        which = [names[np.ascontiguousarray(tile).tobytes()] for tile in tiles]
        assert sorted(i for i, _ in which) == list(range(36))
        seen.add(which[0][0])
        ways += [flip for _, flip in which]
    assert len(seen) > 5, "places are random"
    # A quarter each of 720: a binomial error is .016.
    np.testing.assert_allclose(np.bincount(ways, minlength=4) / 720, 0.25, atol=0.07)


def test_what_makes_no_square_is_refused():
    with pytest.raises(ConfigurationError, match="a square number of maps, such as 36, got 35"):
        mosaic(jax.random.key(0), jnp.zeros((35, 4, 4, 2)))
    with pytest.raises(ShapeError, match="square maps"):
        mosaic(jax.random.key(0), jnp.zeros((4, 4, 5, 2)))


def test_masked_maps_average_what_is_observed():
    """A Gaussian average over observed pixels, by a sum over all pairs; constants stay, whatever the mask."""
    n, random = 16, np.random.default_rng(0)
    sky, mask = FlatSky(n, 5.0), random.uniform(size=(n, n)) < 0.7
    maps = random.normal(size=(n, n, 2))
    found = np.asarray(smoothed(sky, jnp.asarray(np.where(mask[..., None], maps, np.nan)), (0.0, 25.0), jnp.asarray(mask)))
    x = np.arange(n)
    apart = np.minimum((x[:, None] - x) % n, (x - x[:, None]) % n) * sky.pixel_arcmin
    images = sum(np.exp(-0.5 * (apart + k * n * sky.pixel_arcmin) ** 2 / 25.0**2) for k in (-1, 0, 1))
    weight = np.einsum("ya,xb->yxab", images, images) * mask
    expected = np.einsum("yxab,ab->yx", weight, maps[..., 1]) / weight.sum((2, 3))
    np.testing.assert_allclose(found[..., 1], np.where(mask, expected, 0.0), atol=1e-4)
    np.testing.assert_allclose(found[..., 0], np.where(mask, maps[..., 0], 0.0), atol=1e-5)
    np.testing.assert_allclose(np.asarray(smoothed(sky, jnp.ones((n, n, 1)), 20.0, jnp.asarray(mask)))[mask], 1.0, rtol=1e-5)
