"""Emulated forward models: densities against what they are made of, gradients against finite differences."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest

from fullfield._core import ConfigurationError, ShapeError
from fullfield.fields import FlatSky, Plane
from fullfield.generative import CoupledSimulations, EmulatedModel, EmulatedSimulator, Midpoint, TransferFunction, Transport
from fullfield.inference.explicit import Target
from fullfield.networks import UNetBranch
from fullfield.simulators import (
    GaussianField,
    LinearGaussian,
    LognormalOverdensity,
    lsst_y10_model,
    Noiseless,
    NoisyPixels,
    Simulations,
    WhiteNoise,
)


FIELD = GaussianField(FlatSky(8, 5.0))
SMALL = functools.partial(UNetBranch, widths=(8,))
KEY = jax.random.key(0)


class Bent(eqx.Module):
    """A transport whose every number is known."""

    def __call__(self, theta, maps):
        return maps + 0.2 * theta[0] * maps**2


def learnt(shape, parameters, seed=0):
    """A transport with nothing learnt and all weights awake, of maps of unit power."""
    theta = parameters.sample(jax.random.key(seed), (2, 100))
    maps = jax.random.normal(jax.random.key(seed + 1), (2, 100, *shape)) * jnp.asarray([1.0, 1.2]).reshape(2, 1, 1, 1, 1)
    pairs = CoupledSimulations(*(Simulations(theta[i], maps[i]) for i in range(2)), batch_size=16)
    settings = {"branch": SMALL, "width": 16, "integrator": Midpoint(1)}
    transport = Transport.begun(pairs, key=jax.random.key(seed + 2), **settings)
    arrays, rest = eqx.partition(transport.branch, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    drawn = [leaf + 0.1 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return eqx.tree_at(lambda t: t.branch, transport, eqx.combine(jax.tree.unflatten(tree, drawn), rest))


def test_noiseless_maps_lie_beneath_the_data():
    theta = FIELD.parameters.fiducial
    latents, data = FIELD.simulate_with_latents(KEY, theta)
    maps = Noiseless(FIELD).simulate_at(KEY, theta)
    np.testing.assert_allclose(maps, FIELD.field(theta, latents["white"]), rtol=1e-5)
    np.testing.assert_array_equal(Noiseless(FIELD).of_latents(theta, latents), maps)
    assert float(jnp.std(data - maps)) == pytest.approx(1.0, abs=0.4)  # unit noise of 64 pixels, four standard errors


def test_the_joint_density_is_that_of_its_parts():
    model, theta = EmulatedModel(FIELD, Bent()), jnp.asarray([1.3, 1.8])
    latents, data = model.simulate_with_latents(KEY, theta)
    base = FIELD.field(theta, latents["white"])
    carried = base + 0.2 * theta[0] * base**2
    np.testing.assert_allclose(model.convergence(theta, latents["white"]), carried, rtol=1e-5, atol=1e-6)
    parts = (
        FIELD.parameters.log_prob(theta)
        + WhiteNoise((1, 8, 8)).log_prob(latents["white"])
        + NoisyPixels(carried, jnp.ones(1)).log_prob(data)
    )
    assert float(model.log_joint(theta, latents, data)) == pytest.approx(float(parts), rel=1e-5)
    assert abs(float(FIELD.log_joint(theta, latents, data) - parts)) > 1, "the base is another model"
    # The same seeds: the same latents and the same noise.
    own, other = FIELD.simulate_with_latents(KEY, theta)
    np.testing.assert_array_equal(own["white"], latents["white"])
    np.testing.assert_allclose(data - other, carried - base, atol=1e-5)


def test_gradients_are_those_of_finite_differences():
    model = EmulatedModel(FIELD, learnt((8, 8, 1), FIELD.parameters))
    theta = jnp.asarray([1.3, 1.8])
    latents, data = model.simulate_with_latents(KEY, theta)
    joint = jax.jit(lambda theta, white: model.log_joint(theta, {"white": white}, data))
    by_theta, by_white = jax.jit(jax.grad(joint, argnums=(0, 1)))(theta, latents["white"])
    direction = jax.random.normal(jax.random.key(5), latents["white"].shape) / 8
    step = 0.02  # float32 densities of about -200 resolve 2e-5
    for change, slope in (
        ((jnp.asarray([step, 0.0]), 0.0), by_theta[0]),
        ((jnp.asarray([0.0, step]), 0.0), by_theta[1]),
        ((jnp.zeros(2), step * direction), jnp.sum(by_white * direction)),
    ):
        ahead, behind = (joint(theta + sign * change[0], latents["white"] + sign * change[1]) for sign in (1, -1))
        assert float(slope) == pytest.approx(float(ahead - behind) / (2 * step), rel=0.02, abs=0.02)
    score = eqx.filter_jit(model.score)(theta, latents, data)
    prior = jax.grad(FIELD.parameters.log_prob)(theta)
    np.testing.assert_allclose(score, by_theta - prior, rtol=1e-3, atol=1e-3)
    target = Target(model, data)
    change = FIELD.parameters.log_det_unconstrained(theta)
    assert float(target(target.join(theta, latents))) == pytest.approx(float(joint(theta, latents["white"]) - change), rel=1e-4)


def test_an_exact_rescaling_makes_the_other_gaussian_model_of_it():
    # P₁ = 2 P₀ at all parameters, so that ln A is ln 2 higher: densities of the emulated model and of the true one agree.
    theta = FIELD.parameters.sample(KEY, (2, 200))
    maps = jax.vmap(jax.vmap(Noiseless(FIELD).simulate_at))(jax.random.split(jax.random.key(1), (2, 200)), theta)
    transfer = TransferFunction.of_suites(Simulations(theta[0], maps[0]), Simulations(theta[0], np.sqrt(2) * maps[0]))
    model, at = EmulatedModel(FIELD, transfer), jnp.asarray([0.8, 2.2])
    latents, data = model.simulate_with_latents(KEY, at)
    truth = FIELD.field(at + jnp.asarray([np.log(2), 0.0]), latents["white"])
    np.testing.assert_allclose(model.convergence(at, latents["white"]), truth, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(data, truth + (data - model.convergence(at, latents["white"])), atol=2e-3)


def test_lensing_maps_of_several_bins_are_carried_and_have_scores():
    base = lsst_y10_model(16)
    shape = base.data_shape
    transport = learnt(shape, base.parameters)
    transport = eqx.tree_at(lambda t: t.size, transport, paramax.NonTrainable(jnp.full(shape[-1], 0.01)))
    model, theta = EmulatedModel(base, transport), base.parameters.fiducial
    latents, data = eqx.filter_jit(model.simulate_with_latents)(KEY, theta)
    assert data.shape == shape
    assert model.hartley == base.hartley
    score = eqx.filter_jit(model.score)(theta, latents, data)
    assert score.shape == (6,)
    assert bool(jnp.all(jnp.isfinite(score)))


def test_a_simulator_without_density_is_carried_too():
    base = LognormalOverdensity(Plane(8, 1000.0))
    model = EmulatedSimulator(base, Bent())
    theta = base.parameters.fiducial
    maps = base.simulate_at(KEY, theta)
    np.testing.assert_allclose(model.simulate_at(KEY, theta), maps + 0.2 * theta[0] * maps**2, rtol=1e-5, atol=1e-7)
    assert model.simulate(KEY, 3).data.shape == (3, 8, 8, 1)


@pytest.mark.usefixtures("unchecked")
def test_models_that_cannot_be_emulated_are_refused_in_words():
    with pytest.raises(ConfigurationError, match="NoisyPixels"):
        EmulatedModel(LinearGaussian(), Bent())
    transport = learnt((8, 8, 1), FIELD.parameters)
    with pytest.raises(ShapeError, match="learnt from"):
        EmulatedModel(GaussianField(FlatSky(16, 5.0)), transport)
    with pytest.raises(ShapeError, match="as the base has"):
        EmulatedSimulator(Noiseless(FIELD), lambda theta, maps: maps[..., 0])
