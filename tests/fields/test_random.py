import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fullfield.fields import normal
from fullfield.fields.random import _pair, _threefry


def test_bits_are_those_of_jax(key):
    with jax.threefry_partitionable(True):
        expected = jax.random.bits(key, (4096,))
    first, second = _threefry(jax.random.key_data(key), jnp.arange(4096, dtype=jnp.uint32))
    np.testing.assert_array_equal(first ^ second, expected)


def test_pair_is_the_polar_transform_of_its_bits():
    """Radius from the first word, quadrant and angle from the second; the extremes are finite."""
    words = np.random.default_rng(0).integers(0, 2**32, (2, 10_000), dtype=np.uint32)
    words[:, :4] = [[0, 2**32 - 1, 0, 2**32 - 1], [0, 2**32 - 1, 2**32 - 1, 0]]
    pair = np.asarray(_pair(jnp.asarray(words[0]), jnp.asarray(words[1])), complex)
    radius = np.sqrt(-2 * np.log((words[0].astype(float) + 0.5) / 2**32))
    np.testing.assert_allclose(abs(pair), radius, rtol=1e-6, atol=3e-4)  # 1 - u is rounded where the radius vanishes
    offset = (words[1].view(np.int32) >> 2) / 2**29
    quarter = np.where(words[1] & 1, -1, 1) * np.cos(np.pi / 4 * (1 + offset)) + 1j * (
        np.where(words[1] & 2, -1, 1) * np.sin(np.pi / 4 * (1 + offset))
    )
    np.testing.assert_allclose(pair, abs(pair) * quarter, rtol=1e-6, atol=3e-6)
    assert abs(pair).max() == pytest.approx(np.sqrt(2 * np.log(2.0**33)), rel=1e-6)


@pytest.mark.parametrize("shape", [(1,), (7,), (100_000,), (3, 5, 1001)])
def test_deviates_are_normal_and_a_wider_twin_is_not(shape, key):
    draws = np.asarray(normal(key, shape))
    assert draws.shape == shape
    assert scipy.stats.kstest(draws.ravel(), "norm").pvalue > 1e-4
    if draws.size >= 15_000:
        assert scipy.stats.kstest(1.08 * draws.ravel(), "norm").pvalue < 1e-4


def test_tails_and_neighbours(key):
    """Numbers beyond 3, 4 and 5 sigma among ten million, and no correlation of neighbours, partners or their squares."""
    draws = np.asarray(normal(key, (10_000_000,)), float)
    for level in (3, 4, 5):
        expected = draws.size * 2 * scipy.stats.norm.sf(level)
        assert abs((np.abs(draws) > level).sum() - expected) < 4.5 * np.sqrt(expected)
    for values in (draws, draws**2 - 1):
        for lag in (1, 2, 3):
            assert abs(np.mean(values[lag:] * values[:-lag])) < 4.5 * values.var() / np.sqrt(draws.size)


def test_keys_are_vectorised_and_independent(key):
    keys = jax.random.split(key, 3)
    many = jax.vmap(lambda k: normal(k, (4, 1000)))(keys)
    np.testing.assert_array_equal(many[1], normal(keys[1], (4, 1000)))
    assert np.abs(np.corrcoef(many.reshape(3, -1))[np.triu_indices(3, 1)]).max() < 4.5 / np.sqrt(4000)


def test_other_generators_are_used_as_they_are():
    key = jax.random.key(0, impl="rbg")
    np.testing.assert_array_equal(normal(key, (5,)), jax.random.normal(key, (5,)))
