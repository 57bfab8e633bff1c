"""Densities as images: both ways are each other's inverse, and nothing is clipped on either."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import LogScale


PUBLISHED = [LogScale(0.01, 600.0), LogScale(0.0, 2632.0, 0.001)]


@pytest.mark.parametrize("scale", PUBLISHED)
@pytest.mark.parametrize("numbers", [np, jnp])
def test_images_become_the_densities_that_they_were(scale, numbers):
    density = numbers.asarray(np.geomspace(max(scale.least, 1e-4), scale.most, 64).reshape(8, 8))
    image = scale(density)
    assert jnp.abs(image).max() <= 1 + 1e-6
    np.testing.assert_allclose(scale.inverse(image), density, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(jax.jit(scale)(density), image, atol=1e-6)


def test_ends_of_the_range_are_minus_one_and_one():
    for scale in PUBLISHED:
        ends = np.array([[scale.least, scale.most], [scale.most, scale.least]])
        np.testing.assert_allclose(scale(ends), [[-1, 1], [1, -1]], atol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 4), 700.0), r"density: expected numbers from 0\.01 to 600, got 16 of 16 outside.*Widen the range"),
        (np.eye(4) + 0.0, r"12 of 16 outside.*12 of them empty\. Give empty pixels an offset"),
        (np.full((4, 4), np.nan), "16 of 16 outside or not finite"),
    ],
)
def test_densities_outside_the_range_are_refused(images, message):
    with pytest.raises(DataError, match=message):
        PUBLISHED[0](images)


def test_images_outside_the_range_are_refused_on_the_way_back():
    with pytest.raises(DataError, match=r"image: expected numbers from -1 to 1, got 1 of 4 outside"):
        PUBLISHED[0].inverse(np.array([[0.0, 1.01], [0.5, -1.0]]))


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ShapeError, match=r"density: expected square images, got \(2, 4, 5\)"):
        PUBLISHED[0](np.ones((2, 4, 5)))


@pytest.mark.parametrize(
    ("settings", "name"), [((1.0, 1.0), "least, most"), ((0.0, 1.0), "offset"), ((0.0, 1.0, -1.0), "least")]
)
def test_impossible_ranges_are_refused(settings, name):
    with pytest.raises(ConfigurationError, match=name):
        LogScale(*settings)
