"""Pixel windows and averages: the matrix against direct sums, and coarse lattices against averaged fine ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.fields import FlatSky, Lattice, PixelAveraged, PointSampled


def spectrum(multipole):
    return 1e-9 * (multipole / 1000) ** -1.2 / (1 + multipole / 3000)


def power(lattice):
    return np.asarray(lattice.power(spectrum(lattice.multipoles)[None])[0])


def test_point_sampled_power_is_the_spectrum_itself():
    sky = FlatSky(32, 10.0)
    mode = sky.fundamental * np.hypot(*np.indices((17, 17)))
    mode[0, 0] = np.inf
    np.testing.assert_allclose(power(Lattice(sky, PointSampled())), spectrum(mode), rtol=1e-4)


def test_correlation_is_the_fourier_series_and_power_of_inverts_it():
    lattice = Lattice(FlatSky(16, 5.0))
    octant = power(lattice)
    index = np.minimum(np.arange(16), 16 - np.arange(16))
    direct = np.fft.ifft2(octant[np.ix_(index, index)]).real * 16**2 / lattice.sky.side_radians**2
    ours = lattice.correlation(spectrum(lattice.multipoles)[None])
    np.testing.assert_allclose(ours[0], direct[:9, :9], rtol=1e-4, atol=1e-7 * direct[0, 0])
    np.testing.assert_allclose(lattice.power_of(ours)[0], octant, rtol=1e-3, atol=1e-6 * octant.max())


def test_average_of_fine_pixels_is_one_coarse_pixel():
    # Both sum the same sinc-windowed aliases; they are truncated differently, which the largest |k| feels at 2 %.
    direct, averaged = power(Lattice(FlatSky(16, 10.0))), power(Lattice(FlatSky(16, 10.0), PixelAveraged(), 4))
    np.testing.assert_allclose(averaged[1:, 1:], direct[1:, 1:], rtol=0.02)
    np.testing.assert_allclose(averaged[:4, 1:4], direct[:4, 1:4], rtol=2e-3)


@pytest.mark.parametrize("window", [PointSampled(), PixelAveraged()])
def test_averaging_real_maps_gives_the_averaged_power(window):
    fine, coarse = Lattice(FlatSky(32, 10.0), window), Lattice(FlatSky(8, 10.0), window, 4)
    index = np.minimum(np.arange(32), 32 - np.arange(32))
    amplitude = np.sqrt(power(fine)[np.ix_(index, index)])
    # A field with the exact power in every mode and random phases; powers of the average are summed over many.
    rng, total = np.random.default_rng(0), 0
    for _ in range(4000):
        modes = np.fft.fft2(rng.normal(size=(32, 32))) / 32 * amplitude
        field = np.fft.ifft2(modes).real.reshape(8, 4, 8, 4).mean((1, 3))
        total = total + np.abs(16 * np.fft.fft2(field)) ** 2
    ratio = (total / 4000)[:5, :5] / np.where(power(coarse) > 0, power(coarse), 1)
    # 24 ratios, each of at least 4000 one-degree-of-freedom powers: standard error at most sqrt(2 / 4000) = 2.2 %.
    assert np.abs(ratio.ravel()[1:] - 1).max() < 4.2 * np.sqrt(2 / 4000)
    assert np.abs(1.12 * ratio.ravel()[1:] - 1).max() > 4.2 * np.sqrt(2 / 4000)


def test_block_correlation_is_the_correlation_at_small_separations():
    fine, coarse = Lattice(FlatSky(32, 10.0)), Lattice(FlatSky(8, 10.0), PixelAveraged(), 4)
    np.testing.assert_allclose(
        coarse.block_correlation(spectrum(coarse.multipoles)[None])[0],
        fine.correlation(spectrum(fine.multipoles)[None])[0, :4, :4],
        rtol=1e-4,
    )


@pytest.mark.parametrize("bad", [{"pixels": 33, "side": 10.0}, {"pixels": 32, "side": 90.0}])
def test_impossible_patches_are_refused(bad):
    with pytest.raises(ConfigurationError):
        FlatSky(**bad)


def test_coarsening_needs_a_divisor():
    assert FlatSky(32, 10.0).coarsened(4) == FlatSky(8, 10.0)
    with pytest.raises(ConfigurationError, match="divisor of 32"):
        FlatSky(32, 10.0).coarsened(5)


def test_total_power_is_the_pixel_variance():
    lattice = Lattice(FlatSky(16, 5.0))
    octant = power(lattice)
    index = np.minimum(np.arange(16), 16 - np.arange(16))
    variance = octant[np.ix_(index, index)].sum() / lattice.sky.side_radians**2
    correlation = lattice.correlation(spectrum(lattice.multipoles)[None])
    np.testing.assert_allclose(correlation[0, 0, 0], variance, rtol=1e-5)
    assert jnp.argmax(correlation[0].ravel()) == 0
