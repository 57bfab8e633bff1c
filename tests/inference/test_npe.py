"""NPE against the exact posterior of the linear-Gaussian world."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.datasets import OnlineSimulations, StoredSimulations
from fullfield.inference import FlowPosterior, sample_many, train_npe
from fullfield.networks import spline_flow
from fullfield.simulators import LinearGaussian


WORLD = LinearGaussian(n_data=6, n_parameters=2)
SMALL = functools.partial(spline_flow, layers=2, width=16)


@pytest.fixture(scope="module")
def trained():
    simulations = WORLD.simulate(jax.random.key(10), 8192, batch_size=1024)
    train = StoredSimulations(simulations.theta[:7168], simulations.data[:7168], batch_size=256)
    held_out = StoredSimulations(simulations.theta[7168:], simulations.data[7168:], batch_size=1024)
    return train_npe(WORLD.parameters, train, held_out, key=jax.random.key(11), density=SMALL, max_epochs=8)


@pytest.fixture(scope="module")
def truth():
    return WORLD.simulate(jax.random.key(12), 2000, batch_size=1000)


def excess(posterior, truth, shuffle=0):
    """Mean of log p - log q at true parameters and its standard error: the expected KL divergence from the exact posterior."""

    @jax.jit
    def difference(theta, data):
        mean, covariance = WORLD.posterior(data)
        return jax.scipy.stats.multivariate_normal.logpdf(theta, mean, covariance) - posterior.log_prob(theta, data)

    values = np.asarray(jax.vmap(difference)(truth.theta, jnp.roll(truth.data, shuffle, axis=0)))
    return values.mean(), values.std() / np.sqrt(len(values))


def test_reaches_the_exact_posterior(trained, truth):
    posterior, history = trained
    value, error = excess(posterior, truth)
    # A Gaussian off by 0.1 σ in its mean, or by 7 % in its width, has a divergence of 0.005 nats per parameter.
    assert -4 * error < value < 0.01 + 4 * error
    assert error < 0.01
    assert history.epochs > 1


def test_a_posterior_of_wrong_width_would_be_noticed(trained, truth):
    posterior, _ = trained
    root = posterior.density.root.tree
    for factor in (0.7, 1.4):
        wrong = eqx.tree_at(lambda p: p.density.root.tree, posterior, factor * root)
        value, error = excess(wrong, truth)
        assert value > 0.01 + 4 * error


def test_draws_have_the_exact_moments(trained):
    posterior, _ = trained
    observations = WORLD.simulate(jax.random.key(13), 20, batch_size=20).data
    draws = sample_many(posterior, jax.random.key(14), observations, 4000)
    exact = [WORLD.posterior(x) for x in observations]
    for drawn, (mean, covariance) in zip(draws, exact, strict=True):
        sigma = np.sqrt(np.diag(covariance))
        assert np.abs((drawn.mean(0) - mean) / sigma).max() < 0.25
        np.testing.assert_allclose(drawn.std(0) / sigma, 1, atol=0.15)
        assert abs(np.corrcoef(drawn.T)[0, 1] - covariance[0, 1] / sigma.prod()) < 0.15


def test_same_key_same_posterior(truth):
    train = StoredSimulations(truth.theta, truth.data, batch_size=500)
    runs = [train_npe(WORLD.parameters, train, train, key=jax.random.key(1), density=SMALL, max_epochs=1) for _ in range(2)]
    assert runs[0][1].held_out == runs[1][1].held_out
    assert isinstance(runs[0][0], FlowPosterior)


def test_trains_on_simulations_drawn_on_the_fly(truth):
    online = OnlineSimulations(WORLD, batch_size=256, steps_per_epoch=20)
    posterior, history = train_npe(WORLD.parameters, online, online, key=jax.random.key(1), density=SMALL, max_epochs=2)
    value, error = excess(posterior, truth)
    # The linear regression alone is exact here up to its 8192 examples and the flow's small random start.
    assert value < 0.05 + 4 * error
    assert history.simulations == 3 * 20 * 256
