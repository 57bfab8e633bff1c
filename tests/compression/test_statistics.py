import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, ShapeError
from fullfield.compression import PeakCounts, PixelDistributions, ScatteringCoefficients, SpectraAndMoments, StarletNorms
from fullfield.fields import band_powers, FlatSky, logarithmic_bands, pairs_within


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


NOISE = (0.5, 2.0)


@pytest.mark.parametrize(
    "statistic", [PixelDistributions(NOISE), PeakCounts(NOISE), StarletNorms(NOISE, scales=3), ScatteringCoefficients(scales=3)]
)
def test_statistics_treat_bins_alike_and_ignore_where_on_the_sky(statistic):
    white = jax.random.normal(jax.random.key(0), (32, 32, 2))
    seen = jax.jit(statistic)(white * jnp.array(NOISE))
    assert seen.ndim == 1
    assert bool(jnp.all(jnp.isfinite(seen)))
    # Shifts by whole blocks.
    np.testing.assert_allclose(
        jax.jit(statistic)(jnp.roll(white, (4, 8), (0, 1)) * jnp.array(NOISE)), seen, rtol=1e-3, atol=1e-3
    )
    if not isinstance(statistic, ScatteringCoefficients):
        swapped = jax.jit(statistic)(white[..., ::-1] * jnp.array(NOISE))
        assert sorted(np.round(np.asarray(swapped), 3)) == sorted(np.round(np.asarray(seen), 3)), (
            "noise is the unit of each bin"
        )


def test_white_noise_has_unit_starlet_coefficients_and_normal_pixels():
    noise = 3.0 * jax.random.normal(jax.random.key(1), (64, 64, 1))
    norms = np.asarray(StarletNorms((3.0,), scales=2)(noise) ** 2).reshape(2, -1)
    # Mean |x| of a unit normal; neighbours at the second scale are correlated over some 30 pixels.
    np.testing.assert_allclose(norms.sum(1), np.sqrt(2 / np.pi), atol=5 * 0.6 * np.sqrt(30) / 64)
    shares = np.asarray(PixelDistributions((3.0,), smoothings=(4,))(noise)) ** 2
    values = np.linspace(-5, 5, 21)
    assert abs(shares @ values**2 - (1 + 0.5**2 / 6)) < 5 * np.sqrt(2 / 256), (
        "an average over 16 pixels has a quarter of the noise"
    )


def test_pairs_of_bins_are_left_out(maps):
    """What is kept is what it was, in the order asked for; groups that do not correlate leave the pairs within them."""
    bands = logarithmic_bands(FlatSky(PIXELS, 10.0), 4)
    four = jnp.concatenate([maps, maps + 1.0], axis=-1)
    everything = SpectraAndMoments(bands, ())(four).reshape(10, -1)
    order = [(i, j) for i in range(4) for j in range(i, 4)]
    groups = pairs_within(((0, 2), (3, 1)))
    assert groups == ((0, 0), (0, 2), (1, 1), (1, 3), (2, 2), (3, 3))
    assert pairs_within(((0, 1, 2, 3),)) == tuple(order)
    assert pairs_within(tuple((i,) for i in range(4))) == ((0, 0), (1, 1), (2, 2), (3, 3))
    for pairs in (groups, ((1, 3), (0, 0)), tuple(pair for pair in order if pair != (1, 2))):
        found = SpectraAndMoments(bands, (), pairs)(four).reshape(len(pairs), -1)
        np.testing.assert_array_equal(found, everything[np.array([order.index(pair) for pair in pairs])])
    for pairs in ((), ((1, 0),), ((0, 1), (0, 1))):
        with pytest.raises(ConfigurationError, match="different pairs"):
            SpectraAndMoments(bands, (), pairs)
    with pytest.raises(ShapeError, match=r"at least 3 bins, of which \(0, 2\) is a pair, got 2"):
        SpectraAndMoments(bands, (), groups)(maps)
