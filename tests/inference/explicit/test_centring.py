"""Latents in coordinates that data hold in place, and the sampler for them, against a posterior that is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from blackjax.mcmc.integrators import IntegratorState
from scipy import stats

from fullfield._core import ConfigurationError
from fullfield.diagnostics import ess_mean, rhat
from fullfield.inference.explicit import PartlyCentred, sample_field, SplitHMC
from fullfield.inference.explicit.samplers import kick_and_turn
from fullfield.simulators import LinearGaussian, NoisyPixels, NumPyroModel, WhiteNoise


LATENTS, PIXELS, NOISE = 300, 12, 0.25
RESPONSE = jnp.asarray(np.random.default_rng(0).normal(size=(PIXELS, LATENTS)) / np.sqrt(LATENTS), jnp.float32)


def field():
    """Few pixels of a field of many latents, of unknown amplitude."""
    amplitude = jnp.asarray(numpyro.sample("amplitude", dist.Uniform(0.5, 1.5)))
    white = jnp.asarray(numpyro.sample("white", WhiteNoise((LATENTS,))))
    numpyro.sample("data", NoisyPixels(amplitude * (RESPONSE @ white), jnp.asarray(NOISE)))


MODEL = NumPyroModel(field, ("amplitude",))


@pytest.fixture(scope="module")
def centred():
    return PartlyCentred.of(MODEL)


def test_directions_and_information_are_those_of_the_response(centred):
    amplitude = float(MODEL.parameters.fiducial[0])
    _, values, rows = np.linalg.svd(amplitude / NOISE * np.asarray(RESPONSE), full_matrices=False)
    np.testing.assert_allclose(centred.information, values**2, rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(np.asarray(centred.directions) * rows, axis=1)), 1, atol=1e-4)
    # The information grows as the amplitude squared; the slope is that between the ends of one deviation of the prior.
    space = MODEL.parameters
    low, high = (float(space.to_constrained(space.to_unconstrained(space.fiducial) + sign)[0]) for sign in (-1, 1))
    np.testing.assert_allclose(centred.slope, 2 * np.log(high / low) / (high - low), rtol=1e-4)


@pytest.mark.parametrize("amplitude", [0.6, 1.4])
def test_the_joint_density_is_the_model_s_in_other_coordinates(centred, amplitude):
    theta, white = jnp.asarray([amplitude]), jax.random.normal(jax.random.key(0), (LATENTS,))
    data, x = jnp.ones(PIXELS), centred.centred(theta, white)
    np.testing.assert_allclose(centred.white(theta, x), white, atol=1e-5)
    volume = np.linalg.slogdet(np.asarray(jax.jacobian(lambda z: centred.centred(theta, z))(white)))[1]
    expected = MODEL.log_joint(theta, {"white": white}, data) - volume
    np.testing.assert_allclose(centred.log_joint(theta, {"white": x}, data), expected, rtol=1e-5)
    assert volume > 1, "a density without the volume would be seen"


def test_chains_start_where_data_allow(centred):
    """About the posterior's mean along the directions, but for the pull of the prior, with its scatter; elsewhere like it."""
    theta, data = MODEL.parameters.fiducial, MODEL.simulate_at(jax.random.key(2), jnp.asarray([1.2]))
    points = jax.vmap(lambda key: centred.near(key, theta, data))(jax.random.split(jax.random.key(3), 4000))
    amplitude, response = float(theta[0]), np.asarray(RESPONSE, float)
    precision = np.eye(LATENTS) + (amplitude / NOISE) ** 2 * response.T @ response
    white = np.linalg.solve(precision, amplitude / NOISE**2 * response.T @ np.asarray(data, float))
    mean = np.asarray(centred.directions, float) @ np.asarray(centred.centred(theta, jnp.asarray(white, jnp.float32)))
    pull = np.sqrt(1 + 1 / np.asarray(centred.information))
    along = np.asarray(points[:, 1:], float) @ np.asarray(centred.directions, float).T
    np.testing.assert_allclose(along.mean(0), pull * mean, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(points[:, 1:].std(0), 1, atol=0.06)
    np.testing.assert_allclose(points[0, :1], MODEL.parameters.to_unconstrained(theta))


def test_simulations_are_the_model_s(centred):
    theta = jnp.asarray([1.3])
    keys = jax.random.split(jax.random.key(1), 4000)
    latents, data = jax.jit(jax.vmap(lambda key: centred.simulate_with_latents(key, theta)))(keys)
    white = np.asarray(jax.vmap(lambda x: centred.white(theta, x))(latents["white"]))
    assert stats.kstest(white[:, :5].ravel(), "norm").pvalue > 1e-3
    noise = (np.asarray(data) - 1.3 * white @ np.asarray(RESPONSE).T) / NOISE
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_others_than_pixels_of_one_field_are_refused():
    with pytest.raises(ConfigurationError, match="expected one"):
        PartlyCentred.of(LinearGaussian())


def test_turns_are_exact_on_white_noise_and_reversible_elsewhere():
    q, p = jax.random.normal(jax.random.key(0), (2, 50))

    def state(density, q, p):
        return IntegratorState(q, p, *jax.value_and_grad(density)(q))

    def energy(state):
        return float(-state.logdensity + jnp.sum(state.momentum**2) / 2)

    def white(q):
        return -0.5 * jnp.sum(q**2)

    begun = state(white, q, p)
    turned = kick_and_turn(white, None)(begun, jnp.asarray(1.2))
    np.testing.assert_allclose(energy(turned), energy(begun), rtol=1e-5)
    np.testing.assert_allclose(turned.position, np.cos(1.2) * q + np.sin(1.2) * p, atol=1e-5)

    def other(q):
        return white(q) - jnp.sum(jnp.cosh(q[:5]))

    begun = state(other, q, p)
    there = kick_and_turn(other, None)(begun, jnp.asarray(0.3))
    back = kick_and_turn(other, None)(there._replace(momentum=-there.momentum), jnp.asarray(0.3))
    np.testing.assert_allclose(back.position, q, atol=1e-5)
    assert abs(energy(there) - energy(begun)) > 1e-4, "no exact turn, or the test shows nothing"


def test_a_trajectory_out_of_bounds_is_rejected_and_not_evaluated_there():
    def walled(q):
        value = -0.5 * jnp.sum(q**2) - 1e6 * q[0] ** 4
        return eqx.error_if(value, jnp.any(jnp.abs(q) > 1e4), "evaluated out of bounds")

    sampler, start = SplitHMC(), jnp.full(3, 2.0)
    state = sampler.start(walled, start, jax.random.key(0))
    state, transition = jax.jit(lambda s, k: sampler.step(walled, s, jnp.asarray(0.5), k))(state, jax.random.key(1))
    assert float(transition.acceptance) == 0
    np.testing.assert_array_equal(state.position, start)


def test_chains_have_the_exact_posterior_of_amplitude_and_field(centred):
    """Of the amplitude, whose latents are integrated out in closed form; moments to 4 standard errors."""
    theta = jnp.asarray([1.1])
    _, data = MODEL.simulate_with_latents(jax.random.key(5), theta)
    chains = sample_field(
        centred, data, key=jax.random.key(6), sampler=SplitHMC(), draws=1000, chains=2, warmup=200, block=50
    )  # fmt: skip
    grid, response = np.linspace(0.5, 1.5, 2001), np.asarray(RESPONSE, float)
    covariances = grid[:, None, None] ** 2 * (response @ response.T) + NOISE**2 * np.eye(PIXELS)
    logs = np.array([stats.multivariate_normal(np.zeros(PIXELS), one).logpdf(np.asarray(data)) for one in covariances])
    weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    draws = chains.theta[..., 0]
    assert chains.step_size > 0.3, "as few directions ask for, not three hundred"
    assert rhat(draws) < 1.02
    assert ess_mean(draws) > 400
    for power in (1, 2):
        mean, size = np.sum(weights * grid**power), ess_mean(draws**power)
        assert abs((draws**power).mean() - mean) < 4 * (draws**power).std() / np.sqrt(size)
    # The product is the x of every draw: along the directions that data tell its scatter is about one, whatever the amplitude.
    told = np.asarray(centred.directions, float) @ np.asarray(chains.product_mean, float)
    best = np.linalg.solve(covariances, np.asarray(data, float)[:, None] * np.ones((2001, 1, 1)))[..., 0]
    white = grid[:, None] * (best @ response)
    gained = np.exp(float(centred.slope[0]) * (grid - float(MODEL.parameters.fiducial[0])))
    stretch = np.sqrt(1 + gained[:, None] * np.asarray(centred.information))
    expected = np.sum(weights[:, None] * stretch * (white @ np.asarray(centred.directions, float).T), axis=0)
    np.testing.assert_allclose(told, expected, atol=4 * 1.5 / np.sqrt(400))
