"""The Gaussian head against the exact posterior of a linear-Gaussian world."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.datasets import OnlineSimulations
from fullfield.inference.implicit import train_gaussian
from fullfield.networks import MLP
from fullfield.simulators import LinearGaussian


WORLD = LinearGaussian(n_data=4, n_parameters=2, latent_scale=0.4, noise_scale=0.4)


def test_moments_are_those_of_the_exact_posterior():
    source = OnlineSimulations(WORLD, batch_size=256, steps_per_epoch=100)
    held_out = OnlineSimulations(WORLD, batch_size=4096, steps_per_epoch=1)
    posterior, history = train_gaussian(
        WORLD.parameters, MLP(4, 5, key=jax.random.key(0), width=32), source, held_out, key=jax.random.key(1), max_epochs=15
    )
    tested = WORLD.simulate(jax.random.key(2), 200)
    mean, root = jax.vmap(posterior.moments)(tested.data)
    exact = [WORLD.posterior(data) for data in tested.data]
    covariance = np.asarray(exact[0][1])
    # The network is wrong by a few percent of the posterior's width.
    missed = (mean - np.stack([one[0] for one in exact])) / np.sqrt(np.diagonal(covariance))
    assert np.sqrt(np.mean(missed**2)) < 0.15
    found = np.mean(np.asarray(root @ jnp.swapaxes(root, 1, 2)), axis=0)
    np.testing.assert_allclose(found, covariance, rtol=0.15, atol=0.05 * covariance.max())
    assert np.isfinite(history.best)
    # Density and draws are of these moments.
    draws = posterior.sample(jax.random.key(3), tested.data[0], 4000)
    white = np.linalg.solve(root[0], np.asarray(draws - mean[0]).T)
    np.testing.assert_allclose(np.cov(white), np.eye(2), atol=0.1)
    pull = np.linalg.solve(root[0], np.asarray(tested.theta[0] - mean[0]))
    density = -np.log(2 * np.pi) - np.sum(np.log(np.diagonal(root[0]))) - 0.5 * pull @ pull
    assert float(posterior.log_prob(tested.theta[0], tested.data[0])) == pytest.approx(density, rel=1e-4)


def test_a_network_of_other_outputs_is_refused():
    source = OnlineSimulations(WORLD, batch_size=16, steps_per_epoch=1)
    with pytest.raises(ConfigurationError, match="5 outputs for 2 parameters"):
        train_gaussian(WORLD.parameters, MLP(4, 4, key=jax.random.key(0)), source, source, key=jax.random.key(1))
