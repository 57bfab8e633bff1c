"""Images of slices: every particle in its pixel, smoothing that keeps the mean, parts and copies in their places."""

import numpy as np
import pytest

from fullfield._core import ConfigurationError, ShapeError
from fullfield.fields import crops, eightfold, slice_counts, strided


RANDOM = np.random.default_rng(0)


def test_every_particle_is_counted_where_it_is():
    positions = RANDOM.uniform(0, 100, (500, 3))
    for axis in range(3):
        counts = slice_counts(positions - 300, 100.0, slices=5, pixels=4, axis=axis)
        assert counts.shape == (5, 4, 4)
        edges = [np.linspace(0, 100, 6 if i == axis else 5) for i in range(3)]
        np.testing.assert_array_equal(counts, np.moveaxis(np.histogramdd(positions, edges)[0], axis, 0))


def test_smoothing_is_that_of_a_gaussian():
    """A wave of 45 pixels falls by exp(-k² σ² / 2), and its phase stays in the middle of the coarse pixels."""
    x = np.arange(90) + 0.5
    wave = np.broadcast_to(np.cos(2 * np.pi * x / 45), (2, 90, 90))
    found = strided(wave, 3)
    assert found.shape == (2, 30, 30)
    coarse = np.arange(30) * 3 + 1.5
    expected = np.exp(-((2 * np.pi / 45 * 3) ** 2) / 2) * np.cos(2 * np.pi * coarse / 45)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-3)


def test_parts_lie_at_even_distances():
    maps = np.arange(2 * 64).reshape(2, 8, 8).astype(float)
    parts = crops(maps, 4, 3)
    assert parts.shape == (18, 4, 4)
    np.testing.assert_array_equal(parts[4], maps[0, 2:6, 2:6])
    np.testing.assert_array_equal(parts[9 + 5], maps[1, 2:6, 4:])


def test_an_image_has_eight_different_copies():
    image = RANDOM.normal(size=(3, 5, 5))
    copies = eightfold(image)
    assert copies.shape == (24, 5, 5)
    np.testing.assert_array_equal(copies[8], image[1])
    assert len({one.tobytes() for one in copies[:8]}) == 8
    np.testing.assert_allclose(copies.sum(axis=(1, 2)), np.repeat(image.sum(axis=(1, 2)), 8))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match="width: expected an odd divisor"):
        strided(np.ones((1, 9, 9)), 2)
    with pytest.raises(ConfigurationError, match="width: expected an odd divisor"):
        strided(np.ones((1, 8, 8)), 3)
    with pytest.raises(ShapeError, match="maps: expected square, of at least 16 pixels"):
        crops(np.ones((1, 8, 8)), 16, 2)
