"""Powers in rings, of white noise, of fields of known power, and of images cut out of them; peaks inside a border."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from fullfield._core import ShapeError
from fullfield.fields import GaussianModes, inner_peaks, peaks, Plane, ring_powers, Rings


PLANE = Plane(32, 25.0)
RINGS = Rings(PLANE)


def mean_power(rings, maps):
    """Mean over maps, and its standard error."""
    powers = jax.jit(lambda fields: jax.lax.map(lambda field: ring_powers(rings, field), fields, batch_size=64))(maps)
    return np.asarray(powers.mean(0)), np.asarray(powers.std(0)) / len(maps) ** 0.5


def fields(plane, power, count):
    draw = lambda key: plane.field(GaussianModes().draw(key, plane.pixels), power)  # noqa: E731
    return jax.jit(lambda keys: jax.lax.map(draw, keys))(jax.random.split(jax.random.key(1), count))


def steep(plane):
    k = np.where(plane.wavenumbers > 0, plane.wavenumbers, np.inf)
    return jnp.asarray(3.0 * k**-3, jnp.float32)


def test_a_wave_is_in_its_ring():
    wave = 2.0 * jnp.cos(2 * jnp.pi * 5 * jnp.arange(32) / 32)[:, None] * jnp.ones(32) + 7.0
    powers = ring_powers(RINGS, wave)
    # |δ(k)|² / L² is amplitude² L² / 4 in each of two modes.
    np.testing.assert_allclose(powers[4], 2 * 25.0**2 / RINGS.modes[4], rtol=1e-5)
    np.testing.assert_allclose(np.delete(powers, 4), 0, atol=1e-6 * powers[4])


def test_rings_are_about_multiples_of_the_fundamental():
    fundamental = 2 * np.pi / 25.0
    assert RINGS.modes[0] == 8, "four along the axes and four diagonal ones"
    assert RINGS.k[0] / fundamental == pytest.approx((1 + 2**0.5) / 2)
    np.testing.assert_allclose(RINGS.k[1:] / fundamental, np.arange(2, 17), atol=0.2)
    assert RINGS.membership.sum(0).max() == 1
    assert not RINGS.membership[:, 0, 0].any()
    assert RINGS.nyquist == pytest.approx(16 * fundamental)


def test_white_noise_has_its_variance_times_the_area_of_a_pixel():
    mean, error = mean_power(RINGS, 1.5 * jax.random.normal(jax.random.key(0), (2000, 32, 32)))
    assert np.abs(mean - 1.5**2 * (25 / 32) ** 2).max() < 4.5 * error.max()


def test_power_of_a_periodic_field_is_what_it_was_drawn_with():
    expected = (RINGS.membership * np.asarray(steep(PLANE))).sum((1, 2)) / RINGS.modes
    mean, error = mean_power(RINGS, fields(PLANE, steep(PLANE), 2000))
    assert (np.abs(mean - expected) < 4.5 * error).all()


def test_power_of_an_image_is_that_of_the_field_seen_through_its_square():
    """⟨|δ(k)|²⟩ / L² = Δ² Σ ξ(r) (1 - |x| / n) (1 - |y| / n) exp(-i k·r) over the lags r within the image."""
    box, n = Plane(64, 50.0), 32
    correlation = np.fft.ifft2(steep(box)).real * (64 / 50.0) ** 2
    lags = np.arange(1 - n, n)
    seen = correlation[np.ix_(lags, lags)] * np.multiply.outer(1 - np.abs(lags) / n, 1 - np.abs(lags) / n)
    phases = np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(n, 1 / n), lags) / n)
    power = (phases @ seen @ phases.T).real * (25.0 / n) ** 2
    expected = (RINGS.membership * power).sum((1, 2)) / RINGS.modes
    mean, error = mean_power(RINGS, fields(box, steep(box), 3000)[:, :n, :n])
    assert (np.abs(mean - expected) < 4.5 * error).all()
    periodic = (RINGS.membership * np.asarray(steep(PLANE))).sum((1, 2)) / RINGS.modes
    assert expected[-1] > 1.5 * periodic[-1], "the leak is there to be seen"


def test_peaks_inside_the_border_are_those_of_brute_force():
    field = scipy.ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(32, 32)), 1.0).astype(np.float32)
    expected = (scipy.ndimage.maximum_filter(field, 3) == field)[1:-1, 1:-1]
    found = np.array(inner_peaks(jnp.asarray(field)))
    np.testing.assert_array_equal(found[1:-1, 1:-1], expected)
    assert found.sum() == expected.sum() > 15
    assert np.asarray(peaks(jnp.asarray(field))).sum() > found.sum(), "a periodic map has peaks on its border"
    assert not inner_peaks(jnp.zeros((8, 8))).any()


def test_other_pixels_are_refused(unchecked):
    with pytest.raises(ShapeError, match="32 x 32"):
        ring_powers(RINGS, jnp.zeros((32, 30)))
