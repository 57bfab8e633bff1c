"""The closed forms of the linear-Gaussian world against brute force, and what a forward model derives against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ParameterError
from fullfield.simulators import LinearGaussian


@pytest.fixture(scope="module")
def model():
    return LinearGaussian(n_data=5, n_parameters=2)


@pytest.fixture(scope="module")
def event(model):
    theta = jnp.array([0.3, -1.1])
    latents, data = model.simulate_with_latents(jax.random.key(1), theta)
    return theta, latents, data


def grid(model, data):
    """Posterior and evidence by summing over a grid of parameters wide enough for 1e-4."""
    axis = np.linspace(-5, 5, 161)
    theta = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    inverse = np.linalg.inv(np.asarray(model.covariance, float))
    residual = np.asarray(data, float) - theta @ np.asarray(model.response, float).T
    log_likelihood = (
        -0.5 * np.einsum("ni,ij,nj->n", residual, inverse, residual)
        - 0.5 * np.linalg.slogdet(2 * np.pi * np.asarray(model.covariance, float))[1]
    )
    density = np.exp(log_likelihood - 0.5 * (theta**2).sum(-1)) / (2 * np.pi)
    evidence = density.sum() * (axis[1] - axis[0]) ** 2
    weight = density / density.sum()
    mean = weight @ theta
    return mean, (weight[:, None] * (theta - mean)).T @ (theta - mean), np.log(evidence)


def test_posterior_and_evidence_equal_a_grid_sum(model, event):
    mean, covariance, log_evidence = grid(model, event[2])
    ours_mean, ours_covariance = model.posterior(event[2])
    np.testing.assert_allclose(ours_mean, mean, atol=2e-4)
    np.testing.assert_allclose(ours_covariance, covariance, atol=2e-4)
    np.testing.assert_allclose(model.log_evidence(event[2]), log_evidence, atol=1e-3)


def test_joint_score_is_that_of_the_white_noise(model, event):
    theta, latents, data = event
    mean = model.response @ theta + model.latent_scale * model.latent_root @ latents["z"]
    expected = model.response.T @ (data - mean) / model.noise_scale**2
    np.testing.assert_allclose(model.score(theta, latents, data), expected, rtol=1e-4)


def test_mean_joint_score_over_the_latents_posterior_is_the_marginal_score(model, event):
    theta, _, data = event
    root = model.latent_scale * model.latent_root
    gain = root.T @ jnp.linalg.inv(model.covariance)
    latent_mean = gain @ (data - model.response @ theta)  # the joint score is linear in z
    score = model.score(theta, {"z": latent_mean}, data)
    np.testing.assert_allclose(score, model.marginal_score(theta, data), rtol=1e-3)


def test_simulations_have_the_stated_covariance(model):
    n = 20_000
    keys = jax.random.split(jax.random.key(2), n)
    data = np.asarray(jax.vmap(lambda k: model.simulate_at(k, model.parameters.fiducial))(keys))
    expected = np.asarray(model.covariance)
    deviation = np.cov(data.T) - expected
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / n)  # Wishart
    assert np.abs(deviation / error).max() < 4.5  # 15 numbers: false alarm 1e-4
    assert np.abs(np.cov(1.05 * data.T) - expected).max() > 4.5 * error.max()  # a 5 % wider twin fails


def test_potential_differs_from_log_joint_by_the_jacobian_only(model, event):
    theta, latents, data = event
    unconstrained = model.parameters.to_unconstrained(theta)
    other = unconstrained + 0.1
    change = model.potential(other, latents, data) - model.potential(unconstrained, latents, data)
    expected = model.log_joint(theta, latents, data) - model.log_joint(model.parameters.to_constrained(other), latents, data)
    np.testing.assert_allclose(change, expected, rtol=1e-3)  # the bijection is linear here, its Jacobian constant


def test_too_few_data_are_refused():
    with pytest.raises(ParameterError, match="at least 3"):
        LinearGaussian(n_data=2)
