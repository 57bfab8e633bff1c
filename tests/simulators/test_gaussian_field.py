import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ParameterError
from fullfield.fields import FlatSky
from fullfield.simulators import GaussianField


MODEL = GaussianField(FlatSky(16, 5.0))
THETA = jnp.array([1.3, 1.7])
N = 4000


@pytest.fixture(scope="module")
def maps():
    return jax.jit(jax.vmap(MODEL.simulate_at, in_axes=(0, None)))(jax.random.split(jax.random.key(0), N), THETA)


def test_every_mode_has_the_power_that_it_should(maps):
    ratio = np.asarray(jnp.mean(jax.vmap(MODEL.modes)(maps), axis=0) / MODEL.power(THETA))
    # |mode|² scatters by its mean, or √2 of it where the mode is real.
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / N)
    assert abs(ratio.mean() - 1) < 5 * np.sqrt(2 / N / ratio.size)


def test_scores_have_mean_zero_and_the_fisher_matrix_for_a_covariance(maps):
    scores = np.asarray(jax.vmap(lambda data: jax.grad(MODEL.log_likelihood)(THETA, data))(maps))
    fisher = np.asarray(MODEL.fisher(THETA))
    root = np.linalg.inv(np.linalg.cholesky(fisher))
    np.testing.assert_allclose(root @ scores.mean(0), 0, atol=5 / np.sqrt(N))
    np.testing.assert_allclose(root @ np.cov(scores.T) @ root.T, np.eye(2), atol=5 * np.sqrt(3 / N))


def test_marginal_and_joint_density_agree():
    """Of a Gaussian field under Gaussian noise, -log p(data | theta) is the joint density's minimum up to its curvature."""
    latents, data = MODEL.simulate_with_latents(jax.random.key(1), THETA)
    other = THETA + jnp.array([0.4, -0.3])

    def laplace(theta):
        joint = lambda white: MODEL.log_joint(theta, {"white": white}, data) - MODEL.parameters.log_prob(theta)  # noqa: E731
        flat = lambda z: joint(z.reshape(latents["white"].shape))  # noqa: E731
        hessian = -jax.hessian(flat)(jnp.zeros(256))
        mode = jnp.linalg.solve(hessian, jax.grad(flat)(jnp.zeros(256)))
        return flat(mode) - 0.5 * jnp.linalg.slogdet(hessian)[1]

    with jax.enable_x64():
        expected = jax.jit(laplace)(THETA) - jax.jit(laplace)(other)
    found = MODEL.log_likelihood(THETA, data) - MODEL.log_likelihood(other, data)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_joint_scores_are_finite_and_those_of_finite_differences():
    latents, data = MODEL.simulate_with_latents(jax.random.key(2), THETA)
    found = MODEL.score(THETA, latents, data)
    with jax.enable_x64():
        at = lambda theta: MODEL.log_joint(theta, latents, data) - MODEL.parameters.log_prob(theta)  # noqa: E731
        theta = THETA.astype(float)
        expected = [(at(theta + step) - at(theta - step)) / 2e-3 for step in 1e-3 * np.eye(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)


def test_an_impossible_pivot_is_refused():
    with pytest.raises(ParameterError, match="pivot"):
        GaussianField(pivot=0.0)
