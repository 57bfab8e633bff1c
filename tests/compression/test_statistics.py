import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield.compression import SpectraAndMoments
from fullfield.fields import band_powers, FlatSky, logarithmic_bands


PIXELS, BINS = 16, 2


@pytest.fixture(scope="module")
def statistic():
    return SpectraAndMoments(logarithmic_bands(FlatSky(PIXELS, 10.0), 4), smoothings=(1, 2))


@pytest.fixture
def maps(key):
    return jnp.exp(0.5 * jax.random.normal(key, (PIXELS, PIXELS, BINS)))


def test_moments_are_those_of_scipy(statistic, maps):
    values = np.sinh(np.asarray(statistic(maps), float))[-8:]
    coarse = np.asarray(maps, float).reshape(8, 2, 8, 2, BINS).mean((1, 3))
    expected = [f(np.reshape(m, (-1, BINS))) for m in (np.asarray(maps, float), coarse) for f in (stats.skew, stats.kurtosis)]
    np.testing.assert_allclose(values, np.concatenate(expected), rtol=2e-3, atol=1e-3)


def test_powers_are_ratios_to_the_floor(statistic, maps):
    powers = np.asarray(band_powers(statistic.bands, maps))
    ratios = np.sinh(np.asarray(statistic(maps)))[: powers.size].reshape(powers.shape)
    np.testing.assert_allclose(ratios / ratios[0, -1], powers / powers[0, -1], rtol=1e-4, atol=1e-5)
    # Pairs are (0, 0), (0, 1), (1, 1): the autos' highest bands average to one by definition of the floor.
    np.testing.assert_allclose((ratios[0, -1] + ratios[2, -1]) / 2, 1, rtol=1e-4)


def test_blind_to_position_and_units_but_not_to_sign(statistic, maps):
    reference = statistic(maps)
    np.testing.assert_allclose(statistic(3 * jnp.roll(maps, (4, 8), axis=(0, 1))), reference, atol=2e-3)
    flipped = statistic(-maps)
    np.testing.assert_allclose(flipped[-8:-6], -reference[-8:-6], rtol=1e-3)
    assert float(jnp.abs(reference[-8:-6]).min()) > 0.1
