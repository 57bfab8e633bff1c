"""Stacking weights, logarithms of summaries, and the emulator that teaches a posterior."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from fullfield.datasets import StoredSimulations
from fullfield.inference import AbstractPosterior
from fullfield.inference.implicit import stack, train_amortised
from fullfield.inference.implicit.amortised import Emulated, LearnedModel
from fullfield.inference.implicit.mapped import logarithms
from fullfield.networks import gaussian
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import LinearGaussian


SPACE = ParameterSpace({"a": Parameter(dist.Normal(0.0, 1.0))})


class Normal(AbstractPosterior):
    """θ ~ N(x, scale)."""

    scale: float
    parameters: ParameterSpace = SPACE
    data_shape: tuple[int, ...] = eqx.field(default=(1,), static=True)

    def sample(self, key, observation, n):
        return observation + self.scale * jax.random.normal(key, (n, 1))

    def log_prob(self, theta, observation):
        return jnp.sum(jax.scipy.stats.norm.logpdf(theta, observation, self.scale))


def test_weights_are_those_of_the_mixture_that_made_the_data(key):
    random, n = np.random.default_rng(0), 4000
    x = random.normal(size=(n, 1))
    scale = np.where(random.random((n, 1)) < 0.3, 0.1, 1.0)
    theta = (x + scale * random.normal(size=(n, 1))).astype(np.float32)
    held_out = StoredSimulations(theta, x.astype(np.float32), batch_size=1000)
    mixture = stack((Normal(0.1), Normal(1.0), Normal(10.0)), held_out, key=key)
    # The scales lie far apart, so that weights are nearly counts: four binomial errors, and a little for what overlaps.
    np.testing.assert_allclose(np.exp(mixture.log_weights), [0.3, 0.7, 0.0], atol=0.05)


def test_logarithms_are_taken_where_they_make_a_column_straight():
    quantiles = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    counts = np.floor(np.exp(quantiles + 1))
    data = np.stack([quantiles, np.exp(quantiles), counts, 5 + 0.1 * quantiles, np.zeros(1000)], axis=1).astype(np.float32)
    assert (counts == 0).any()
    rescale = logarithms(data)
    np.testing.assert_array_equal(rescale.chosen, [False, True, True, False, False])
    seen = jax.vmap(rescale)(jnp.asarray(data))
    np.testing.assert_allclose(seen[:, 1], quantiles, atol=1e-4)
    np.testing.assert_allclose(seen[:, 2], np.log(counts + 0.5), atol=1e-5)
    np.testing.assert_array_equal(seen[:, [0, 3, 4]], data[:, [0, 3, 4]])
    assert bool(jnp.all(jnp.isfinite(rescale(jnp.array([-9.0, 0.0, 0.0, -1.0, 1.0])))))


def test_emulated_data_follow_the_density_and_cost_nothing(key):
    random = jax.random.normal(key, (5000, 2))
    density = gaussian(1, 1, key=key, width=4).fitted_to(2 * random[:, :1] + 0.5 * random[:, 1:], random[:, :1])
    source = Emulated(LearnedModel(SPACE, density), 4096, 1, 123)
    assert source.cost(50) == 123
    theta, data = jax.jit(lambda k: next(source.shards(k)).draw(k, jnp.zeros((), jnp.int32)))(key)
    u = SPACE.to_unconstrained(theta)
    # Prior and noise of 4096 draws: errors of about 0.01.
    assert abs(float(jnp.mean(data * u) / jnp.mean(u**2)) - 2) < 0.1
    assert abs(float(jnp.std(data - 2 * u)) - 0.5) < 0.05


@pytest.mark.slow
def test_amortised_mixture_reaches_the_exact_posterior(tmp_path):
    world = LinearGaussian(n_data=3, n_parameters=2, latent_scale=0.4, noise_scale=0.4)
    simulations = world.simulate(jax.random.key(0), 4000)
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    train, held_out = (StoredSimulations(theta[part], data[part], batch_size=200) for part in (slice(1000, None), slice(1000)))
    small = functools.partial(gaussian, width=8, depth=1)
    posterior, _ = train_amortised(
        world.parameters, train, held_out, key=jax.random.key(1), density=small, likelihood=small, members=1, max_epochs=5,
        emulated_steps=400, checkpoint=tmp_path / "amortised",
    )  # fmt: skip
    truth = world.simulate(jax.random.key(2), 1000)
    exact = jax.vmap(lambda t, x: jax.scipy.stats.multivariate_normal.logpdf(t, *world.posterior(x)))(truth.theta, truth.data)
    values = np.asarray(exact - jax.vmap(posterior.log_prob)(truth.theta, truth.data))
    assert abs(values.mean()) < 0.02 + 4 * values.std() / np.sqrt(len(values))
