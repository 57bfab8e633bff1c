"""Counts, wavelets and scattering coefficients of maps, against closed forms and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from fullfield._core import ConfigurationError
from fullfield.fields import histogram, morlet, peak_counts, peaks, pixel_distribution, scattering, starlet, starlet_l1


N = 32
CENTRES = jnp.linspace(-3.0, 3.0, 13)


@pytest.fixture(scope="module")
def field():
    white = jax.random.normal(jax.random.key(0), (N, N))
    return jnp.asarray(scipy.ndimage.gaussian_filter(np.asarray(white), 1.0, mode="wrap")) * 3.5


def test_shared_counts_keep_number_and_mean(field):
    inside = jnp.clip(field, -3, 3)
    counts = histogram(inside, CENTRES)
    np.testing.assert_allclose(counts.sum(), N * N, rtol=1e-5)
    np.testing.assert_allclose(counts @ CENTRES / N**2, inside.mean(), atol=1e-5)
    np.testing.assert_allclose(histogram(jnp.array([-9.0, 0.1, 9.0]), jnp.arange(3.0) - 1), [1, 0.9, 1.1], atol=1e-6)


def test_distribution_of_a_gaussian_is_that_of_a_normal():
    values = jax.random.normal(jax.random.key(1), (200, 200))
    # A value is shared by a triangle of the spacing's half width, which widens a normal by a sixth of the spacing squared.
    wide = 1 + 0.5**2 / 6
    expected = 0.5 * np.exp(-0.5 * np.asarray(CENTRES) ** 2 / wide) / np.sqrt(2 * np.pi * wide)
    np.testing.assert_allclose(pixel_distribution(values, CENTRES)[1:-1], expected[1:-1], atol=5 * np.sqrt(0.2 / 40_000))


def test_peaks_are_those_of_brute_force(field):
    highest = scipy.ndimage.maximum_filter(np.asarray(field), 3, mode="wrap") == np.asarray(field)
    np.testing.assert_array_equal(peaks(field), highest)
    assert 20 < highest.sum() < 100
    np.testing.assert_allclose(peak_counts(field, CENTRES).sum(), highest.sum(), rtol=1e-5)
    np.testing.assert_array_equal(peak_counts(jnp.zeros((8, 8)), CENTRES), 0)


def test_starlet_planes_add_up_to_the_map_and_have_their_filters(field):
    planes = starlet(field, 3)
    np.testing.assert_allclose(planes.sum(0), field, atol=1e-5)
    np.testing.assert_allclose(planes[:-1].mean((1, 2)), 0, atol=1e-5)
    k = 2 * np.pi * 3 / N
    wave = jnp.cos(k * jnp.arange(N))[None] * jnp.ones((N, 1))
    low = [(6 + 8 * np.cos(2**j * k) + 2 * np.cos(2 ** (j + 1) * k)) / 16 for j in range(3)]
    passed = [1 - low[0], low[0] * (1 - low[1]), low[0] * low[1] * (1 - low[2]), low[0] * low[1] * low[2]]
    np.testing.assert_allclose(starlet(wave, 3), np.multiply.outer(passed, wave), atol=1e-5)


def test_l1_norms_add_up_to_the_mean_absolute_coefficient(field):
    deviations = jnp.array([0.5, 2.0])
    norms = starlet_l1(field, CENTRES, 2, deviations)
    expected = jnp.abs(starlet(field, 2)[:-1]).mean((1, 2)) / deviations
    np.testing.assert_allclose(norms.sum(1), expected, rtol=1e-4)


def test_scattering_of_a_wave_is_half_its_wavelets_gain():
    """Of the wave's two modes one falls where the wavelet is, so that what it sees has a constant modulus."""
    wavelets, m = morlet(N, 3, 4), 6
    wave = jnp.cos(2 * jnp.pi * m * jnp.arange(N) / N)[None] * jnp.ones((N, 1))
    first = scattering(wave, 3)[:3]
    for j in range(3):
        right, left = wavelets[j, :, 0, m], wavelets[j, :, 0, -m]
        phases = np.exp(2j * np.pi * m * np.arange(N) / N)
        seen = 0.5 * np.abs(right[:, None] * phases + left[:, None] * phases.conj()).mean()
        np.testing.assert_allclose(first[j], seen, rtol=1e-4)
    assert wavelets[1, 0, 0, m] > 10 * abs(wavelets[1, 0, 0, -m]), "the wavelet is analytic to a tenth"
    np.testing.assert_allclose(wavelets[:, :, 0, 0], 0, atol=1e-6)


def test_scattering_of_white_noise_is_that_of_complex_normals():
    """|z| of a circular normal of variance V has the mean √(π V / 4), where V is the mean square of the wavelet's modes."""
    maps = jax.random.normal(jax.random.key(2), (64, N, N))
    first = np.asarray(jax.vmap(lambda x: scattering(x, 2))(maps))[:, :2]
    expected = np.sqrt(np.pi / 4 * (morlet(N, 2, 4)[:2] ** 2).mean((2, 3))).mean(1)
    # Scatter of the mean; and the few per cent of a wavelet that lie at negative frequencies.
    np.testing.assert_allclose(first.mean(0), expected, rtol=0.02)


def test_scattering_ignores_shifts_and_quarter_turns(field):
    found = scattering(field, 3)
    assert found.shape == (3 + 3 * 4,)
    np.testing.assert_allclose(scattering(jnp.roll(field, (3, 5), (0, 1)), 3), found, rtol=1e-3)
    turned = jnp.roll(field[::-1].T, 1, axis=1)  # about a pixel, as the grid of modes turns
    np.testing.assert_allclose(scattering(turned, 3), found, rtol=1e-3)
    np.testing.assert_allclose(scattering(2 * field, 3)[3:], found[3:], rtol=1e-3)


def test_too_many_scales_are_refused(field):
    with pytest.raises(ConfigurationError, match="between 1 and 3 for 32 pixels, got 4"):
        starlet(field, 4)
    with pytest.raises(ConfigurationError, match="between 1 and 4 scales for 32 pixels"):
        scattering(field, 5)
