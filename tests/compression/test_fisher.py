"""Compressors that maximise Fisher information, and those computed from derivatives, against exact Fisher matrices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.compression import (
    Composed,
    compress,
    fisher_of_summaries,
    information_kept,
    moped,
    summary_moments,
    Tangents,
    train_imnn,
)
from fullfield.datasets import OnlineSimulations, StoredSimulations
from fullfield.networks import MLP
from fullfield.simulators import LinearGaussian
from fullfield.training import cosine_adam


WORLD = LinearGaussian(n_data=8, n_parameters=3, latent_scale=0.5, noise_scale=0.3)
FISHER = np.asarray(WORLD.fisher(WORLD.parameters.fiducial))
POINTS = jnp.array([[0.0, 0.0, 0.0], [0.5, -0.5, 1.0]])
N = 4000


@pytest.fixture(scope="module")
def tangents():
    return Tangents(WORLD, POINTS).simulate(jax.random.key(0), N)


def kept(fisher, exact):
    """Volume of confidence regions, in the sense that 1 is lossless: √(det F / det exact)."""
    return information_kept(fisher, exact) ** (len(exact) / 2)


def test_tangents_are_data_and_their_derivatives(tangents):
    data = np.asarray(tangents.data)
    assert data.shape == (N, 2, 4, 8)
    # Data are linear in the parameters, so that every simulation has the same derivatives.
    np.testing.assert_allclose(data[:5, :, 1:], np.broadcast_to(WORLD.response.T, (5, 2, 3, 8)), atol=1e-5)
    expected = np.asarray(WORLD.response @ POINTS[1])
    np.testing.assert_allclose(data[:, 1, 0].mean(0), expected, atol=5 * np.sqrt(np.diag(WORLD.covariance).max() / N))


def test_summaries_of_an_imnn_keep_the_fisher_information(tangents):
    source = StoredSimulations(tangents.theta[:2000], tangents.data[:2000], batch_size=250)
    held_out = StoredSimulations(tangents.theta[2000:], tangents.data[2000:], batch_size=2000)
    linear = MLP((8,), 3, key=jax.random.key(1), depth=0)
    optimiser = cosine_adam(2e-2, 400)
    compressor, _ = train_imnn(linear, source, held_out, key=jax.random.key(2), optimiser=optimiser, max_epochs=50)
    for fisher in fisher_of_summaries(compressor, tangents.data[2000:]):
        # Of three summaries the covariance of 2000 is known to √(3 / 2 / 2000) = 3 % in volume, and not better than the truth.
        assert 0.98 < kept(fisher, FISHER) < 1.08
    covariance = summary_moments(compressor, tangents.data[2000:])[1][0]
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.3)


def test_a_blind_network_keeps_far_less(tangents):
    blind = Composed((lambda x: x[:3],))
    assert kept(fisher_of_summaries(blind, tangents.data)[0], FISHER) < 0.6


def test_too_few_outputs_or_simulations_are_refused(tangents):
    source = StoredSimulations(tangents.theta[:64], tangents.data[:64], batch_size=8)
    with pytest.raises(ConfigurationError, match="at least 3 outputs, for the Fisher matrix of 3 parameters"):
        train_imnn(MLP((8,), 2, key=jax.random.key(0)), source, source, key=jax.random.key(1))
    with pytest.raises(DataError, match="batches of at least 10 for the covariance of 5 summaries, got 8"):
        train_imnn(MLP((8,), 5, key=jax.random.key(0)), source, source, key=jax.random.key(1))


class Blind(LinearGaussian):
    """Whose data do not follow the second parameter."""

    def simulate_at(self, key, theta):
        return super().simulate_at(key, theta.at[1].set(0.0))


def test_simulations_without_derivatives_and_parameters_without_effect_are_refused(tangents):
    network, key = MLP((8,), 3, key=jax.random.key(0)), jax.random.key(1)
    plain = WORLD.simulate(key, 64)
    source = StoredSimulations(plain.theta, plain.data, batch_size=32)
    with pytest.raises(ShapeError, match=r"derivatives in 3 parameters, shape \(points, 4, \.\.\.\) each, got \(8,\)"):
        train_imnn(network, source, source, key=key)
    maps = StoredSimulations(plain.theta, jax.random.normal(key, (64, 8, 8, 2)), batch_size=32)
    with pytest.raises(ShapeError, match="Tangents"):
        train_imnn(network, maps, maps, key=key)
    blind = np.array(tangents.data[:64])
    blind[:, :, 2] = 0
    source = StoredSimulations(tangents.theta[:64], blind, batch_size=32)
    with pytest.raises(DataError, match="depend on every parameter, got none on number 1"):
        train_imnn(network, source, source, key=key)
    world = Blind(n_data=8, n_parameters=3, latent_scale=0.5, noise_scale=0.3)
    source = OnlineSimulations(Tangents(world, POINTS), batch_size=32, steps_per_epoch=1)
    with pytest.raises(DataError, match="got none on theta_2"):
        train_imnn(network, source, source, key=key)


def test_constant_data_are_refused_by_imnn(tangents):
    source = StoredSimulations(tangents.theta[:64], np.zeros_like(tangents.data[:64]), batch_size=32)
    with pytest.raises(DataError, match="expected simulations that differ, got equal ones"):
        train_imnn(MLP((8,), 3, key=jax.random.key(0)), source, source, key=jax.random.key(1))


def test_score_compression_is_exact_for_gaussian_statistics():
    compressor = moped(WORLD, eqx.nn.Identity(), key=jax.random.key(3), simulations=N)
    data = WORLD.simulate(jax.random.key(4), 500).data
    summary = compress(compressor, data)
    root = np.linalg.inv(np.linalg.cholesky(FISHER))
    exact = np.asarray(jax.vmap(WORLD.optimal_summary)(data)) @ root.T
    # The weights are those of a covariance from 4000 simulations: off by √(8 / 4000) of the scatter of each summary.
    scatter = np.sqrt(np.diag(root @ (FISHER + FISHER @ FISHER) @ root.T))
    assert np.all(np.std(summary - summary.mean(0) - exact + exact.mean(0), axis=0) < 3 * np.sqrt(8 / N) * scatter)


def test_hardened_scores_do_not_follow_the_nuisance():
    hard = moped(WORLD, eqx.nn.Identity(), key=jax.random.key(5), simulations=N, nuisance=["theta_2"])
    assert hard.summary_size == 2
    response = np.asarray(jax.vmap(lambda a: hard(a) - hard(jnp.zeros(8)))(WORLD.response.T))
    # One unit of any other parameter moves the summaries by several of their deviations.
    assert np.linalg.norm(response[1]) < 0.05 * np.linalg.norm(response[[0, 2]], axis=1).min()
    covariance = np.linalg.inv(np.linalg.inv(FISHER)[np.ix_([0, 2], [0, 2])])
    np.testing.assert_allclose(response[[0, 2]] @ response[[0, 2]].T, covariance, rtol=0.1, atol=0.05 * covariance.max())


def test_impossible_statistics_and_nuisances_are_refused():
    key = jax.random.key(6)
    with pytest.raises(DataError, match="at least 16"):
        moped(WORLD, eqx.nn.Identity(), key=key, simulations=15)
    with pytest.raises(DataError, match=r"statistics that vary, got others: \[8\]"):
        moped(WORLD, lambda x: jnp.append(x, 1.0), key=key, simulations=50)
    with pytest.raises(DataError, match="singular"):
        moped(WORLD, lambda x: x[:2], key=key, simulations=50)
    with pytest.raises(ParameterError, match="theta_4"):
        moped(WORLD, eqx.nn.Identity(), key=key, nuisance=["theta_4"])
    with pytest.raises(ConfigurationError, match="at least one parameter that is none"):
        moped(WORLD, eqx.nn.Identity(), key=key, nuisance=WORLD.parameters.names)


def test_information_of_dead_or_too_many_summaries_is_refused(tangents):
    with pytest.raises(DataError, match=r"others: \[0, 1\]"):
        fisher_of_summaries(lambda x: jnp.zeros(2), tangents.data[:100])
    with pytest.raises(DataError, match="at least 16"):
        fisher_of_summaries(lambda x: x, tangents.data[:10])
