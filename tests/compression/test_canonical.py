"""Canonical statistics, where the sufficient ones are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DataError
from fullfield.compression import canonical, compress, projecting
from fullfield.simulators import LinearGaussian


WORLD = LinearGaussian(n_data=12, n_parameters=2, latent_scale=0.5, noise_scale=0.3)


@pytest.fixture(scope="module")
def simulations():
    return WORLD.simulate(jax.random.key(0), 4000)


def test_two_numbers_keep_all_that_twelve_know(simulations):
    """The sufficient statistic of d = R θ + n is Rᵀ C⁻¹ d; the summary must be a linear function of it."""
    compressor = canonical(WORLD.parameters, simulations.theta, simulations.data)
    held_out = WORLD.simulate(jax.random.key(1), 1000).data
    summary = compress(compressor, held_out)
    sufficient = np.asarray(held_out) @ np.linalg.solve(np.asarray(WORLD.covariance), np.asarray(WORLD.response))
    design = np.c_[np.ones(1000), sufficient]
    left = summary - design @ np.linalg.lstsq(design, summary)[0]
    # 4000 simulations fix each of ten wrong directions to 1/√4000 of a scatter of one: .05 together.
    assert left.std(axis=0).max() < 0.1
    assert summary.shape == (1000, 2)


def test_scatter_is_one_and_the_best_stands_first(simulations):
    compressor = canonical(WORLD.parameters, simulations.theta, simulations.data, size=3)
    theta = jnp.broadcast_to(WORLD.parameters.fiducial, (2000, 2))
    keys = jax.random.split(jax.random.key(2), 2000)
    same = compress(compressor, jax.vmap(WORLD.simulate_at)(keys, theta))
    every = compress(compressor, simulations.data)
    # A deviation of 2000 draws has an error of .016.
    np.testing.assert_allclose(same.std(axis=0), 1, atol=0.08)
    assert (np.diff(every.std(axis=0)) < 0).all()
    assert every.std(axis=0)[2] < 1.1, "two parameters move no third number"


def test_a_blank_one_has_the_same_shapes(simulations):
    found = canonical(WORLD.parameters, simulations.theta, simulations.data)
    blank = projecting(12, 2)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, blank)


def test_too_few_simulations_are_refused(simulations):
    with pytest.raises(DataError, match="at least 24"):
        canonical(WORLD.parameters, simulations.theta[:20], simulations.data[:20])


def test_simulations_without_numbers_or_without_change_are_refused(simulations):
    theta, data = np.array(simulations.theta), np.array(simulations.data)
    data[3, 1] = np.nan
    with pytest.raises(DataError, match="1 of 4000"):
        canonical(WORLD.parameters, theta, data)
    theta[:, 1] = 0.5
    with pytest.raises(DataError, match="all vary"):
        canonical(WORLD.parameters, theta, simulations.data)


def test_what_moves_only_with_the_square_is_found():
    key_theta, key_noise = jax.random.split(jax.random.key(3))
    theta = WORLD.parameters.sample(key_theta, (4000,))
    data = jnp.stack([theta[:, 0] ** 2, 0 * theta[:, 0]], axis=1) + jax.random.normal(key_noise, (4000, 2))
    best = compress(canonical(WORLD.parameters, theta, data, size=1), data)[:, 0]
    assert abs(np.corrcoef(best, data[:, 0])[0, 1]) > 0.99
    single = compress(canonical(WORLD.parameters, theta, data[:, :1]), data[:, :1])
    assert single.shape == (4000, 1)
