"""The score at the most probable latents, where the marginal score is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, load_module, save_module
from fullfield.inference.explicit import ReconstructedScore
from fullfield.inference.explicit.precondition import expected
from fullfield.inference.explicit.reconstruct import LINEAR, most_probable
from fullfield.inference.explicit.target import Target
from fullfield.simulators import BlackBoxModel, LinearGaussian, lsst_y10_model, NumPyroModel


WORLD = LinearGaussian(n_data=6, n_parameters=2, latent_scale=0.7, noise_scale=0.4)


def test_it_is_the_marginal_score_in_a_linear_gaussian_world():
    """Of Gaussians, profile and marginal differ by a constant: s = Rᵀ C⁻¹ (d - R θ₀), whatever the latents are."""
    theta = jnp.array([0.3, -0.2])
    summary = ReconstructedScore.about(WORLD, key=jax.random.key(0), theta=theta, simulations=500)
    data = WORLD.simulate(jax.random.key(1), 20).data
    found = jax.jit(jax.vmap(summary.scores))(data)[:, 0]
    exact = (data - WORLD.response @ theta) @ np.linalg.solve(WORLD.covariance, WORLD.response)
    np.testing.assert_allclose(found, exact, rtol=1e-2, atol=1e-2 * float(np.std(exact)))
    # Simulations at θ₀ have a score of mean zero and of the Fisher matrix's covariance, so that the summary's are 0 and 1:
    # 500 simulations fix a mean to 0.045 and a covariance to 0.063; four of these.
    keys = jax.random.split(jax.random.key(2), 2000)
    there = jax.jit(jax.vmap(lambda key: summary(WORLD.simulate_at(key, theta))))(keys)
    white = LINEAR * np.sinh(there / LINEAR)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=4 * 0.05)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(2), atol=4 * 0.07)


def test_a_blank_one_is_loaded_into(tmp_path):
    points = jnp.array([[0.3, -0.2], [0.0, 0.1]])
    found = ReconstructedScore.about(WORLD, key=jax.random.key(0), theta=points)
    save_module(tmp_path / "score.eqx", found)
    loaded = load_module(tmp_path / "score.eqx", ReconstructedScore.unit(WORLD, jnp.zeros((2, 2))))
    data = WORLD.simulate(jax.random.key(1), 1).data[0]
    np.testing.assert_array_equal(loaded(data), found(data))
    assert loaded.gradients == 2 * (found.steps + 2)


def test_several_points_are_several_scores():
    points = jnp.array([[0.3, -0.2], [0.0, 0.1], [-0.4, 0.4]])
    data = WORLD.simulate(jax.random.key(1), 1).data[0]
    together = ReconstructedScore.about(WORLD, key=jax.random.key(0), theta=points)
    assert together(data).shape == (6,)
    for row, point in zip(together.scores(data), points, strict=True):
        exact = (data - WORLD.response @ point) @ np.linalg.solve(WORLD.covariance, WORLD.response)
        np.testing.assert_allclose(row, exact, rtol=2e-2, atol=0.05)
    with pytest.raises(DataError, match="at least 4"):
        ReconstructedScore.about(WORLD, key=jax.random.key(0), simulations=3)


def test_one_parameter_is_enough_and_one_without_effect_is_refused():
    world = LinearGaussian(n_data=3, n_parameters=1, latent_scale=0.2, noise_scale=0.2)
    summary = ReconstructedScore.about(world, key=jax.random.key(0))
    assert summary(world.simulate(jax.random.key(1), 1).data[0]).shape == (1,)

    def deaf():
        a, _ = (numpyro.sample(name, dist.Normal()) for name in "ab")
        latent = numpyro.sample("latent", dist.Normal().expand([3]).to_event(1))
        numpyro.sample("data", dist.Normal(a + latent, 0.5).to_event(1))

    with pytest.raises(DataError, match="full rank"):
        ReconstructedScore.about(NumPyroModel(deaf, ("a", "b")), key=jax.random.key(0))


def test_a_model_without_a_density_is_refused():
    model = BlackBoxModel(lambda key, theta: theta + jax.random.normal(key, (2,)), WORLD.parameters)
    with pytest.raises(ConfigurationError, match="NPE"):
        ReconstructedScore.about(model, key=jax.random.key(0))


def test_twenty_steps_reach_the_most_probable_latents_all_over_the_prior():
    """As a fraction of its median deviation over the prior, what the score still lacks against that after ten times as many."""
    model = lsst_y10_model(16)
    target = Target(model, jnp.zeros(model.data_shape))
    preconditioner, _ = expected(target, key=jax.random.key(0))

    @eqx.filter_jit
    def score(key, theta, steps):
        data, u = model.simulate_at(key, theta), model.parameters.to_unconstrained(theta)
        latents = most_probable(target, preconditioner, u, data, steps=steps)
        return jax.grad(model.potential)(u, target.split(jnp.concatenate([u, latents]))[1], data)

    theta, keys = model.parameters.sample(jax.random.key(1), (60,)), jax.random.split(jax.random.key(2), 60)
    few, many = (np.stack([score(*pair, steps) for pair in zip(keys, theta, strict=True)]) for steps in (20, 200))
    deviation = np.median(np.abs(many - np.median(many, axis=0)), axis=0)
    lacking = np.quantile(np.abs(few - many), 0.9, axis=0) / deviation
    assert (lacking < 0.5).all(), lacking
