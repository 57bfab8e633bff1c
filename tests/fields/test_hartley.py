import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.fields import band_powers, FlatSky, hartley, inverse_hartley, logarithmic_bands, unitary_hartley


SKY = FlatSky(12, 4.0)


@pytest.fixture(scope="module")
def maps():
    return jax.random.normal(jax.random.key(0), (3, 12, 12, 2))


def test_coefficients_are_the_sum_that_defines_them(maps):
    k = np.fft.fftfreq(12, 1 / 12)
    phase = 2 * np.pi / 12 * k[:, None] * np.arange(12)
    angle = phase[:, None, :, None] + phase[None, :, None, :]
    expected = np.einsum("klyx,syxc->sklc", np.cos(angle) + np.sin(angle), np.asarray(maps)) * SKY.side_radians / 144
    np.testing.assert_allclose(hartley(SKY, maps), expected, atol=1e-6)
    np.testing.assert_allclose(inverse_hartley(SKY, hartley(SKY, maps)), maps, atol=1e-5)


def test_bands_of_the_plane_give_the_same_spectra_as_the_half_plane(maps):
    bands = logarithmic_bands(SKY, 3)
    modes = hartley(SKY, maps[0])
    products = jnp.stack([modes[..., 0] ** 2, modes[..., 0] * modes[..., 1], modes[..., 1] ** 2])
    found = np.einsum("byx,pyx->pb", bands.plane, products) / bands.modes
    np.testing.assert_allclose(found, band_powers(bands, maps[0]), rtol=1e-4, atol=1e-8)
    np.testing.assert_array_equal(bands.plane.sum((1, 2)), bands.modes)


def test_the_transform_without_units_is_its_own_inverse_and_keeps_white_noise_white():
    maps = jax.random.normal(jax.random.key(5), (16, 16, 2))
    modes = unitary_hartley(maps)
    np.testing.assert_allclose(unitary_hartley(modes), maps, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(modes**2, (0, 1)), jnp.sum(maps**2, (0, 1)), rtol=1e-5)
