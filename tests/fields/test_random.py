import jax
import numpy as np
import pytest
import scipy.stats

from fullfield.fields import normal
from fullfield.fields.random import _inverse_normal, _random_bits, _symmetric_uniform


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_bits_are_those_of_jax(size, key):
    with jax.threefry_partitionable(False):
        expected = jax.random.bits(key, (size,))
    np.testing.assert_array_equal(_random_bits(jax.random.key_data(key), size), expected)


def test_inverse_normal_equals_scipy():
    u = np.concatenate([np.linspace(-0.999, 0.999, 1001), 1 - np.geomspace(1e-7, 1e-3, 50)]).astype(np.float32)
    exact = scipy.stats.norm.ppf(0.5 * (1 + u.astype(float)))
    np.testing.assert_allclose(_inverse_normal(u), exact, rtol=3e-4, atol=1e-6)


def test_deviates_are_normal_and_a_wider_twin_is_not(key):
    draws = np.asarray(normal(key, (100_000,)))
    assert scipy.stats.kstest(draws, "norm").pvalue > 1e-4
    assert scipy.stats.kstest(1.03 * draws, "norm").pvalue < 1e-4


def test_other_generators_are_used_as_they_are():
    key = jax.random.key(0, impl="rbg")
    np.testing.assert_array_equal(normal(key, (5,)), jax.random.normal(key, (5,)))


def test_the_extreme_bits_give_finite_symmetric_deviates():
    extremes = _inverse_normal(_symmetric_uniform(np.array([0, 2**32 - 1], np.uint32)))
    np.testing.assert_allclose(extremes, np.array([-1, 1]) * scipy.stats.norm.ppf(1 - 2.0**-24), rtol=1e-3)
