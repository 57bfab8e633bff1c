"""Overlap of the densest pixels, where it is known."""

import jax
import numpy as np
import pytest
from boxes import lognormal_boxes, quarters

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.diagnostics import overlap


RANDOM = np.random.default_rng(0)
WHITE = RANDOM.normal(size=(2, 400, 32, 32))
SHARE = np.arange(5, 100, 5) / 100
KEY = jax.random.key(0)


def test_independent_images_overlap_by_the_share_of_their_dense_pixels():
    found = overlap(*WHITE, key=KEY)
    np.testing.assert_array_equal(found.top, np.arange(5, 100, 5))
    for curve in (found.dice, found.random):
        assert (np.abs(curve.values - SHARE) < 4.5 * curve.errors + 1e-3).all()
        # Deviation of 2 Σ ab / Σ (a + b) over N pixels with a and b of probability n: ((1 - n) (1 - n / 2) / N)^½.
        np.testing.assert_allclose(curve.scatter, np.sqrt((1 - SHARE) * (1 - SHARE / 2) / 32**2), rtol=0.15)
    np.testing.assert_allclose(found.dice.errors, found.dice.scatter / 20, rtol=0.01)
    assert (np.abs(found.normalised.values) < 4.5 * found.normalised.errors).all()
    assert (np.abs(found.significance.values) < 4.5 * found.significance.errors).all()
    assert found.report["overlap/normalised/top_10"].verdict == "fail"


def test_equal_images_overlap_wholly():
    found = overlap(WHITE[0], np.exp(2 * WHITE[0]) + 5, key=KEY)
    np.testing.assert_allclose(found.dice.values, 1)
    np.testing.assert_allclose(found.normalised.values, 1)
    np.testing.assert_allclose(found.normalised.errors, 0, atol=1e-9)
    np.testing.assert_allclose(found.significance.values, (1 - found.random.values) / found.random.scatter)
    assert found.report.verdict == "pass"


def test_images_that_share_half_of_their_pixels_have_half_of_the_normalised_overlap():
    half = np.where(np.arange(32) < 16, WHITE[0], WHITE[1])
    found = overlap(WHITE[0], half, key=KEY)
    np.testing.assert_allclose(found.dice.values, (1 + SHARE) / 2, atol=0.005)
    assert (np.abs(found.normalised.values - 0.5) < 4.5 * found.normalised.errors + 1e-3).all()


def test_errors_of_the_normalised_overlap_are_its_scatter_over_sets():
    """Over 60 sets of 50 pairs, of which the deviation is known to ten percent."""
    sets = RANDOM.normal(size=(60, 2, 50, 16, 16))
    found = [overlap(first, first + second, top=(20,), key=jax.random.key(i)) for i, (first, second) in enumerate(sets)]
    scatter = np.std([one.normalised.values[0] for one in found])
    assert np.mean([one.normalised.errors[0] for one in found]) == pytest.approx(scatter, rel=0.35)


def test_random_pairs_are_never_of_one_group():
    copies, groups = np.tile(WHITE[0, :100], (4, 1, 1)), np.tile(np.arange(100), 4)
    apart = overlap(copies, copies, groups, key=KEY)
    assert (np.abs(apart.random.values - SHARE) < 0.01).all()
    assert overlap(copies[:200], copies[:200], np.repeat([0, 1], 100), key=KEY).random.values.shape == (19,)


def test_boxes_that_differ_in_density_have_thresholds_in_common():
    """An image without dense pixels overlaps with nothing; a pair without any is left out."""
    images = WHITE[0] + np.where(np.arange(400) < 200, 100.0, 0.0)[:, None, None]
    found = overlap(images, images, top=(20, 60), key=KEY)
    np.testing.assert_allclose(found.dice.values, 1)
    # Two of the dense half overlap by 0.4 of their pixels, a dense and a thin one not at all: a third of what is left.
    assert found.random.values[0] == pytest.approx(0.4 / 3, abs=0.03)


def test_lognormal_images_are_told_from_shifted_ones():
    images, boxes = quarters(lognormal_boxes(100, 1))
    near, far = (overlap(images, np.roll(images, shift, 1), boxes, key=KEY) for shift in (1, 16))
    assert near.report["overlap/normalised/top_20"].verdict == "pass"
    assert far.report["overlap/normalised/top_20"].verdict == "fail"
    assert near.significance.values[3] > 5


def test_what_is_refused(unchecked):
    with pytest.raises(ConfigurationError, match="1 to 99"):
        overlap(*WHITE, top=(0, 50), key=KEY)
    with pytest.raises(ShapeError, match="an image for each"):
        overlap(WHITE[0], WHITE[1, :7], key=KEY)
    with pytest.raises(ShapeError, match="square"):
        overlap(*WHITE[:, :, :30], key=KEY)
    with pytest.raises(ShapeError, match="300 of 400 in one"):
        overlap(*WHITE, np.maximum(np.arange(400) - 299, 0), key=KEY)
    with pytest.raises(DataError, match="equal pixels only"):
        overlap(WHITE[0], np.ones_like(WHITE[0]), key=KEY)
