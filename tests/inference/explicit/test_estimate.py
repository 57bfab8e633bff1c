"""The score at an estimate, where the marginal score is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, DataError, load_module, save_module
from fullfield.inference.explicit import ScoreAtEstimate
from fullfield.inference.explicit.estimate import REACH
from fullfield.simulators import BlackBoxModel, LinearGaussian


WORLD = LinearGaussian(n_data=6, n_parameters=2, latent_scale=0.7, noise_scale=0.4)


class Guess(eqx.Module):
    """A poor estimate, linear in the data."""

    weights: Float[Array, "p d"]

    def __call__(self, data):
        """Estimate."""
        return self.weights @ data


GUESS = Guess(0.3 * jnp.asarray(WORLD.response).T)


def test_it_is_the_marginal_score_in_a_linear_gaussian_world_wherever_the_estimate_is():
    """Of Gaussians, profile and marginal differ by a constant; the prior of the parameters adds -û."""
    summary = ScoreAtEstimate.fitted(WORLD, GUESS, key=jax.random.key(0), steps=20)
    data = WORLD.simulate(jax.random.key(1), 50).data
    found = jax.jit(jax.vmap(summary.raw))(data)
    assert found.shape == (50, 4)
    np.testing.assert_allclose(found[:, :2], jax.vmap(GUESS)(data), rtol=1e-5)
    space = WORLD.parameters
    theta, slopes = jax.vmap(space.to_constrained)(found[:, :2]), jax.vmap(jax.jacfwd(space.to_constrained))(found[:, :2])
    exact = jnp.einsum("nij,ni->nj", slopes, jax.vmap(WORLD.marginal_score)(theta, data) - theta)
    np.testing.assert_allclose(found[:, 2:], exact, rtol=1e-2, atol=1e-2 * float(np.std(exact)))


def test_numbers_are_of_order_one_whatever_their_units():
    summary = ScoreAtEstimate.fitted(WORLD, GUESS, key=jax.random.key(0))
    seen = np.asarray(jax.jit(jax.vmap(summary))(WORLD.simulate(jax.random.key(1), 1000).data))
    # By construction half of all lie within a median deviation; 1000 and 500 simulations fix that to .03, of which three.
    np.testing.assert_allclose((np.abs(seen) < np.arcsinh(1)).mean(axis=0), 0.5, atol=0.09)


def test_a_blank_one_is_loaded_into(tmp_path):
    found = ScoreAtEstimate.fitted(WORLD, GUESS, key=jax.random.key(0))
    save_module(tmp_path / "score.eqx", found)
    loaded = load_module(tmp_path / "score.eqx", ScoreAtEstimate.unit(WORLD, Guess(jnp.zeros((2, 6)))))
    data = WORLD.simulate(jax.random.key(1), 1).data[0]
    np.testing.assert_array_equal(loaded(data), found(data))
    assert loaded.gradients == loaded.steps + 2


def test_a_wild_estimate_is_held_back():
    wild = ScoreAtEstimate.unit(WORLD, Guess(1e6 * jnp.ones((2, 6))))
    raw = wild.raw(jnp.ones(6))
    np.testing.assert_array_equal(raw[:2], REACH)
    assert np.isfinite(raw).all()


def test_a_model_without_a_density_and_too_few_simulations_are_refused():
    model = BlackBoxModel(lambda key, theta: theta + jax.random.normal(key, (2,)), WORLD.parameters)
    with pytest.raises(ConfigurationError, match="NPE"):
        ScoreAtEstimate.unit(model, GUESS)
    with pytest.raises(DataError, match="at least 100"):
        ScoreAtEstimate.fitted(WORLD, GUESS, key=jax.random.key(0), simulations=50)
