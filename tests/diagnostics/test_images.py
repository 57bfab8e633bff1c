"""Numbers and curves of density images, against brute force and closed forms."""

import jax
import numpy as np
import pytest
import scipy.ndimage
from boxes import lognormal_boxes, quarters
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.diagnostics import image_curves, image_ruler
from fullfield.diagnostics.groups import error_of_mean, halves, members, one_each, resampled


SIDE = 25.0
IMAGES, BOXES = quarters(lognormal_boxes(100, 1))
RULER = image_ruler(IMAGES, SIDE)
TABLE = RULER.measure(IMAGES, BOXES)


def test_numbers_of_an_image_are_those_of_brute_force():
    image = IMAGES[7].astype(float) / IMAGES.mean(dtype=float)
    logs = np.log10(image)
    assert TABLE.mean[7] == pytest.approx(image.mean(), rel=1e-5)
    np.testing.assert_allclose(TABLE.moments[7], [logs.var(), stats.skew(logs.ravel())], rtol=1e-4)
    peaks = (scipy.ndimage.maximum_filter(image, 3) == image)[1:-1, 1:-1]
    assert TABLE.peaks[7].sum() == pytest.approx(peaks.sum(), rel=1e-5)
    assert TABLE.peaks[7] @ np.asarray(RULER.heights) == pytest.approx(logs[1:-1, 1:-1][peaks].sum(), rel=1e-4)
    assert TABLE.pixels[7].sum() == pytest.approx(1, rel=1e-5)
    assert TABLE.pixels[7] @ np.asarray(RULER.density) == pytest.approx(logs.mean(), rel=1e-4)
    power = np.abs(np.fft.fft2(image)) ** 2 * SIDE**2 / 32**4
    number = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32))))
    np.testing.assert_allclose(TABLE.power[7], [power[number == ring].mean() for ring in range(1, 17)], rtol=1e-4)


def test_the_unit_of_density_does_not_matter_but_the_mean_does():
    same = image_ruler(7 * IMAGES, SIDE).measure(7 * IMAGES)
    np.testing.assert_allclose(same.power, TABLE.power, rtol=1e-4)
    np.testing.assert_allclose(same.summaries, TABLE.summaries, rtol=1e-3, atol=1e-3)
    denser = RULER.measure(1.1 * IMAGES)
    np.testing.assert_allclose(denser.power, 1.21 * TABLE.power, rtol=1e-4)
    assert TABLE.mean.mean() == pytest.approx(1, rel=1e-5)


def test_summaries_do_not_see_turns():
    turned = RULER.measure(np.ascontiguousarray(np.swapaxes(IMAGES[:, ::-1], 1, 2)))
    np.testing.assert_allclose(turned.summaries, TABLE.summaries, rtol=1e-3, atol=1e-3)
    assert TABLE.summaries.shape == (400, 10)


def test_pixels_of_a_lognormal_field_are_normal_in_the_logarithm():
    curve = image_curves(TABLE, resamples=50, key=jax.random.key(0)).pixels
    deviation = 0.8 * np.log10(np.e)
    centre = -(0.8**2) / 2 * np.log10(np.e) - np.log10(RULER.mean)
    expected = stats.norm.pdf(curve.at, centre, deviation)
    inner = expected > 0.1 * expected.max()
    assert (np.abs(curve.values - expected)[inner] < 5 * curve.errors[inner] + 0.01 * expected.max()).all()


def test_curves_of_means_and_medians():
    curves = image_curves(TABLE, resamples=20, key=jax.random.key(0))
    np.testing.assert_allclose(curves.power.values, np.median(TABLE.power, 0))
    np.testing.assert_allclose(curves.scatter.values, stats.median_abs_deviation(TABLE.power))
    np.testing.assert_allclose(curves.peaks.values, TABLE.peaks.mean(0))
    width = curves.means.at[1] - curves.means.at[0]
    edges = np.append(curves.means.at - width / 2, curves.means.at[-1] + width / 2)
    np.testing.assert_allclose(curves.means.values, np.histogram(TABLE.mean, edges, density=True)[0], rtol=1e-5)
    assert (curves.power.errors[1:] > 0).all()


def test_errors_are_those_of_groups():
    """Four copies of every image tell no more than one, and a quarter as many images of a set tell half as much."""
    copies = np.tile(IMAGES[:100], (4, 1, 1))
    labels = np.tile(np.arange(100), 4)
    tables = RULER.measure(copies, labels), RULER.measure(copies), RULER.measure(IMAGES[:100])
    grouped, apart, once = (image_curves(table, resamples=200, key=jax.random.key(0)).pixels.errors for table in tables)
    middle = slice(20, 40)
    assert grouped[middle].mean() == pytest.approx(once[middle].mean(), rel=0.1)
    assert apart[middle].mean() == pytest.approx(once[middle].mean() / 2, rel=0.1)
    values = np.random.default_rng(0).normal(size=(50, 3))
    single, stacked = np.arange(50), np.tile(np.arange(50), 4)
    np.testing.assert_allclose(error_of_mean(np.tile(values, (4, 1)), stacked), error_of_mean(values, single))
    np.testing.assert_allclose(error_of_mean(values, single), stats.sem(values))


def test_choices_keep_groups_together():
    random, groups = np.random.default_rng(0), np.random.default_rng(1).permutation(np.repeat(np.arange(20), 3))
    assert all(len(rows) == 3 and len(set(groups[rows])) == 1 for rows in members(groups))
    assert set(np.bincount(groups[resampled(members(groups), random)]) % 3) == {0}
    first, second = halves(groups, random)
    assert len(first) + len(second) == 60
    assert not set(groups[first]) & set(groups[second])
    assert sorted(groups[one_each(groups, 100, random)]) == list(range(20))
    assert len(one_each(groups, 7, random)) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.where(x < 0.2, 0, x), "positive densities, got empty pixels in .* numpy.maximum"),
        (lambda x: np.where(np.arange(400)[:, None, None] == 3, np.nan, x), r"NaN or infinity in 1 of 400 images \(3\)"),
        (
            lambda x: np.where(np.arange(400)[:, None, None] < 9, 1, x),
            r"equal pixels only in 9 of 400 .*, …\)\. A generator that c",
        ),
    ],
)
def test_what_no_set_may_hold_is_named(change, message):
    with pytest.raises(DataError, match=message):
        RULER.measure(change(IMAGES), name="generated")


def test_other_shapes_are_refused(unchecked):
    with pytest.raises(ShapeError, match="square"):
        image_ruler(IMAGES[:, :, :30], SIDE)
    with pytest.raises(ShapeError, match="32 x 32 pixels"):
        RULER.measure(IMAGES[:, :16, :16])
    with pytest.raises(ShapeError, match="a label for each of 400"):
        RULER.measure(IMAGES, BOXES[:7])
    with pytest.raises(ConfigurationError, match="even number"):
        image_ruler(IMAGES[:, :31, :31], SIDE)
