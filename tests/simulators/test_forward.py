"""Users' own models: what is refused, and what stays right."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import BlackBoxModel, even_batch, NumPyroModel
from fullfield.simulators.sites import NoisyPixels


SPACE = ParameterSpace({"mean": Parameter(dist.Normal(1.0, 1.0)), "scale": Parameter(dist.Uniform(0.5, 1.5))})


def with_jax(key, theta):
    return theta[0] + theta[1] * jax.random.normal(key, (5,))


def with_numpy(key, theta):
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return theta[0] + theta[1] * random.normal(size=5)


@pytest.mark.parametrize(("simulator", "traceable"), [(with_jax, True), (with_numpy, False)])
def test_black_box_simulates_as_its_callable_with_fresh_noise(simulator, traceable, key):
    model = BlackBoxModel(simulator, SPACE)
    assert model.traceable == traceable
    assert model.data_shape == (5,)
    theta = SPACE.fiducial
    np.testing.assert_allclose(eqx.filter_jit(model.simulate_at)(key, theta), simulator(key, np.asarray(theta)), rtol=1e-5)
    data = model.simulate(key, 4).data
    assert len(np.unique(data)) == data.size


def test_black_box_with_randomness_of_its_own_is_refused():
    # JAX can trace it, and would compile the first draw of the noise in as a constant.
    random = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"differ between two calls.*key_data\(key\)"):
        BlackBoxModel(lambda key, theta: theta[0] + theta[1] * random.normal(size=5), SPACE)


def test_black_box_may_be_deterministic_and_may_fail_at_the_fiducial_parameters():
    assert BlackBoxModel(lambda key, theta: theta * jnp.array([1.0, jnp.nan]), SPACE).traceable


def test_black_box_that_raises_says_where(key):
    def simulator(key, theta):
        if np.asarray(theta)[0] > 2.0:
            raise RuntimeError("no solution")
        return np.asarray(theta)

    model = BlackBoxModel(simulator, SPACE)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"no solution.* at theta = \[2\.25, 1\.0\]\. Return NaN there"):
        jax.block_until_ready(model.simulate_at(key, jnp.array([2.25, 1.0])))


def test_black_box_that_traces_to_something_else_is_called_from_the_host(key):
    def simulator(key, theta):
        return theta * (2.0 if isinstance(theta, jax.core.Tracer) else 1.0)

    model = BlackBoxModel(simulator, SPACE)
    assert not model.traceable
    np.testing.assert_array_equal(eqx.filter_jit(model.simulate_at)(key, SPACE.fiducial), SPACE.fiducial)


@pytest.mark.parametrize("name", ["simulate_with_latents", "log_joint", "score", "potential"])
def test_black_box_says_that_it_has_no_density(name):
    with pytest.raises(ConfigurationError, match=f"{name}: expected an explicit model"):
        getattr(BlackBoxModel(with_jax, SPACE), name)


def program_with(latent):
    def program():
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.sample("data", dist.Normal(mean + jnp.sum(numpyro.sample("z", latent)), 1.0))

    return program


@pytest.mark.parametrize("latent", [dist.LogNormal(), dist.Uniform().expand([3]).to_event(1), dist.Poisson(3.0)])
def test_latents_that_are_not_real_are_refused(latent):
    with pytest.raises(ParameterError, match=r"z: expected a latent whose support is the real numbers.*Reparametrise"):
        NumPyroModel(program_with(latent), ("mean",))


@pytest.mark.parametrize(
    "latent", [dist.Normal(), dist.Normal().expand([2, 3]).to_event(2), dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))]
)
def test_real_latents_are_accepted(latent):
    assert NumPyroModel(program_with(latent), ("mean",)).parameters.names == ("mean",)


def with_a_likelihood_from_elsewhere():
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("elsewhere", dist.Normal(mean, 0.1), obs=1.0)
    numpyro.factor("volume", 2.0 * mean)
    numpyro.sample("data", dist.Normal(mean + numpyro.sample("z", dist.Normal()), 0.5))


def test_observed_sites_are_likelihoods_and_no_latents(key):
    model = NumPyroModel(with_a_likelihood_from_elsewhere, ("mean",))
    theta, data = jnp.array([0.3]), jnp.array(0.9)
    latents, _ = model.simulate_with_latents(key, theta)
    assert list(latents) == ["z"]
    terms = [dist.Normal(0.0, 1.0).log_prob(0.3), dist.Normal(0.3, 0.1).log_prob(1.0), 2 * 0.3]
    terms += [dist.Normal(0.0, 1.0).log_prob(0.2), dist.Normal(0.5, 0.5).log_prob(0.9)]
    np.testing.assert_allclose(model.log_joint(theta, {"z": jnp.array(0.2)}, data), sum(map(float, terms)), rtol=1e-5)
    # Simulations come from the model alone, and so do their scores: (0.9 - 0.3 - 0.2) / 0.5².
    np.testing.assert_allclose(model.score(theta, {"z": jnp.array(0.2)}, data), [1.6], rtol=1e-5)


def test_what_is_observed_is_neither_parameter_nor_data():
    def observed():
        numpyro.sample("data", dist.Normal(numpyro.sample("mean", dist.Normal()), 1.0), obs=0.3)

    with pytest.raises(ParameterError, match="free sites of the program, got 'elsewhere'"):
        NumPyroModel(with_a_likelihood_from_elsewhere, ("mean", "elsewhere"))
    with pytest.raises(ShapeError, match="without `obs`"):
        NumPyroModel(observed, ("mean",))


def test_nan_under_the_mask_stays_out_of_density_and_gradient():
    mask = jnp.array([[True, False], [True, True]])
    scale = jnp.ones(1)
    maps, loc = jnp.arange(4.0).reshape(2, 2, 1), jnp.full((2, 2, 1), 0.5)

    def density(loc, maps):
        return NoisyPixels(loc, scale, mask[..., None]).log_prob(maps)

    spoiled = maps.at[0, 1].set(jnp.nan)
    value, gradients = jax.value_and_grad(density, (0, 1))(loc, spoiled)
    expected = jax.grad(density, (0, 1))(loc, maps)
    np.testing.assert_allclose(value, density(loc, maps))
    np.testing.assert_array_equal(gradients, expected)
    np.testing.assert_array_equal(gradients[0][0, 1], 0.0)


def test_batches_are_even_where_that_costs_little():
    assert [even_batch(n, 16) for n in (250, 256, 5, 251, 1000)] == [10, 16, 5, 16, 10]
