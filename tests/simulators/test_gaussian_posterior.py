import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.fields import FlatSky, gaussian_field
from fullfield.simulators import GaussianField, GaussianPosterior


MODEL = GaussianField(FlatSky(8, 5.0))
DRAWS = 20_000


@pytest.fixture(scope="module")
def posterior():
    return GaussianPosterior(MODEL)


@pytest.fixture(scope="module")
def data():
    return MODEL.simulate_at(jax.random.key(1), jnp.array([1.6, 1.8]))


def test_parameters_have_the_moments_of_the_density_on_another_grid(posterior, data):
    theta, _ = posterior.sample(jax.random.key(2), data, DRAWS)
    axis = np.linspace(-4.0, 4.0, 81) * 0.5
    grid = jnp.asarray(np.stack(np.meshgrid(axis + 1.0, axis + 2.0, indexing="ij"), axis=-1).reshape(-1, 2), jnp.float32)
    log = jax.vmap(lambda t: MODEL.log_likelihood(t, data) + MODEL.parameters.log_prob(t))(grid)
    weight = np.asarray(jax.nn.softmax(log), np.float64)
    mean = weight @ np.asarray(grid)
    covariance = (np.asarray(grid) - mean).T @ (weight[:, None] * (np.asarray(grid) - mean))
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    scaled = (np.asarray(theta) - mean) @ root.T
    # Five deviations of means and variances of so many draws.
    np.testing.assert_allclose(scaled.mean(0), 0, atol=5 * DRAWS**-0.5)
    np.testing.assert_allclose(np.cov(scaled.T), np.eye(2), atol=5 * (2 / DRAWS) ** 0.5)
    prior = (np.asarray(MODEL.parameters.sample(jax.random.key(3), (DRAWS,))) - mean) @ root.T
    assert abs(prior.mean(0)).max() > 0.1


def test_fields_at_fixed_parameters_are_those_of_linear_algebra(data):
    # Priors of no width hold the parameters, so that mean and covariance are S (S + 1)⁻¹ y and S (S + 1)⁻¹ of pixels.
    narrow = GaussianPosterior(GaussianField(FlatSky(8, 5.0), width=1e-4))
    theta, maps = narrow.sample(jax.random.key(4), data, DRAWS)
    np.testing.assert_allclose(theta, jnp.broadcast_to(jnp.array([1.0, 2.0]), theta.shape), atol=6e-4)
    root = MODEL.root(jnp.array([1.0, 2.0])) * MODEL.sky.side_radians / 8
    response = jax.jacfwd(lambda white: gaussian_field(MODEL.sky, root[None], white.reshape(1, 8, 8)).ravel())(jnp.zeros(64))
    signal = np.asarray(response, np.float64) @ np.asarray(response, np.float64).T
    gain = signal @ np.linalg.inv(signal + np.eye(64))
    mean = gain @ np.asarray(data, np.float64).ravel()
    np.testing.assert_allclose(narrow.wiener(data, jnp.array([1.0, 2.0])).ravel(), mean, atol=2e-3)
    directions = np.random.default_rng(5).normal(size=(64, 20))
    along = (np.asarray(maps).reshape(DRAWS, 64) - mean) @ directions
    variance = np.einsum("id,ij,jd->d", directions, gain, directions)
    np.testing.assert_allclose(along.mean(0) / variance**0.5, 0, atol=5 * DRAWS**-0.5)
    np.testing.assert_allclose(along.var(0) / variance, 1, atol=5 * (2 / DRAWS) ** 0.5)
