"""The score at the most probable latents, where the marginal score is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.inference.explicit import ReconstructedScore
from fullfield.simulators import BlackBoxModel, LinearGaussian


WORLD = LinearGaussian(n_data=6, n_parameters=2, latent_scale=0.7, noise_scale=0.4)


def test_it_is_the_marginal_score_in_a_linear_gaussian_world():
    """Of Gaussians, profile and marginal differ by a constant: s = Rᵀ C⁻¹ (d - R θ₀), whatever the latents are."""
    theta = jnp.array([0.3, -0.2])
    summary = ReconstructedScore.about(WORLD, key=jax.random.key(0), theta=theta, simulations=500)
    data = WORLD.simulate(jax.random.key(1), 20).data
    found = np.sinh(jax.jit(jax.vmap(summary))(data)) * summary.scale + summary.centre
    exact = (data - WORLD.response @ theta) @ np.linalg.solve(WORLD.covariance, WORLD.response)
    np.testing.assert_allclose(found, exact, rtol=1e-2, atol=1e-2 * float(np.std(exact)))
    # 500 simulations fix a mean to 0.045 and a deviation to 0.032 of the deviation; four of these.
    fisher = np.asarray(WORLD.response.T @ np.linalg.solve(WORLD.covariance, WORLD.response))
    np.testing.assert_allclose(summary.centre / np.sqrt(np.diag(fisher)), 0, atol=4 * 0.045)
    np.testing.assert_allclose(summary.scale / np.sqrt(np.diag(fisher)), 1, atol=4 * 0.032)


def test_a_model_without_a_density_is_refused():
    model = BlackBoxModel(lambda key, theta: theta + jax.random.normal(key, (2,)), WORLD.parameters)
    with pytest.raises(ConfigurationError, match="NPE"):
        ReconstructedScore.about(model, key=jax.random.key(0))
