"""Lensing of structure that forms by gravity, as a forward model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, ParameterError
from fullfield.simulators import (
    column_lensing_model,
    evolved_lensing_model,
    Noiseless,
    perturbed_lensing_model,
    published_structure_model,
    structure_parameters,
    StructureModel,
)
from fullfield.simulators.gravity import ParticleMesh


CHEAP, COSTLY = perturbed_lensing_model(16, pixels=8), evolved_lensing_model(16, pixels=8)
THETA = jnp.asarray([0.25, 0.8])


@pytest.fixture(scope="module")
def maps():
    white = jax.random.normal(jax.random.key(0), (16, 16, 16))
    return [jax.jit(lambda theta, model=model: model.convergence(theta, white))(THETA) for model in (CHEAP, COSTLY)]


def test_equal_seeds_make_like_maps(maps):
    cheap, costly = maps
    correlation = [np.corrcoef(cheap[..., b].ravel(), costly[..., b].ravel())[0, 1] for b in range(4)]
    assert cheap.shape == COSTLY.survey.data_shape == (8, 8, 4)
    assert min(correlation) > 0.95


def test_density_is_that_of_its_noise():
    latents, data = eqx.filter_jit(CHEAP.simulate_with_latents)(jax.random.key(3), THETA)
    loc = CHEAP.convergence(THETA, latents["white"])
    scale = np.asarray(CHEAP.survey.noise_scale)
    prior = -0.5 * np.sum(np.asarray(latents["white"]) ** 2) - 16**3 * np.log(2 * np.pi) / 2
    noise = np.sum(-0.5 * ((data - loc) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi)))
    expected = prior + noise + float(CHEAP.parameters.log_prob(THETA))
    assert np.isclose(float(CHEAP.log_joint(THETA, latents, data)), expected, rtol=1e-5)


def test_gradient_of_maps_agrees_with_differences():
    # Of their power, which is smooth: clouds in cells bend wherever a particle enters another one. In double precision
    # differences over 1e-6 agree with gradients of single maps to seven digits, those over 0.01 to some hundredths.
    white = jax.random.normal(jax.random.key(0), (16, 16, 16))
    power = jax.jit(lambda theta: jnp.sum((1e3 * COSTLY.convergence(theta, white)) ** 2))
    slope = jax.jit(jax.grad(power))(THETA)
    for i, step in enumerate(0.01 * jnp.eye(2)):
        assert np.isclose(slope[i], (power(THETA + step) - power(THETA - step)) / 0.02, rtol=0.02)


def test_score_is_the_gradient_of_the_density():
    latents, data = eqx.filter_jit(CHEAP.simulate_with_latents)(jax.random.key(3), THETA)

    def density(theta):
        residual = (data - CHEAP.convergence(theta, latents["white"])) / CHEAP.survey.noise_scale
        return -0.5 * jnp.sum(residual**2)

    assert np.allclose(eqx.filter_jit(CHEAP.score)(THETA, latents, data), jax.jit(jax.grad(density))(THETA), rtol=1e-3)


def test_simulations_do_not_depend_on_the_batch():
    alone, together = (Noiseless(CHEAP).simulate(jax.random.key(1), 4, batch_size=size) for size in (1, 4))
    assert np.allclose(alone.data, together.data, atol=1e-6)


def test_parameters_may_be_others_of_wcdm():
    model = StructureModel(CHEAP.survey, CHEAP.dynamics, CHEAP.cone, fixed={"h_0": 0.7, "w_0": -0.9})
    assert {**model.values(THETA)}["w_0"] == -0.9
    assert model.values(THETA)["n_s"] == pytest.approx(0.9645)


@pytest.mark.parametrize("evolved", [False, True])
def test_published_settings_hold_over_their_prior(evolved):
    model = published_structure_model(16, evolved=evolved)
    corners = jnp.asarray([[0.05, 0.1], [0.05, 2.0], [1.0, 0.1], [1.0, 2.0], [0.3, 0.8]])
    white = jax.random.normal(jax.random.key(0), (16, 16, 16))
    maps = jax.jit(lambda theta: jax.lax.map(lambda one: model.convergence(one, white), theta))(corners)
    assert maps.shape == (5, 50, 50, 5)
    assert np.isfinite(maps).all()
    assert model.survey.sky.pixel_arcmin == pytest.approx(6.0, rel=2e-3)
    assert np.all(np.diff(np.std(maps[-1], axis=(0, 1))) > 0)  # farther sources see more


def test_what_is_refused():
    with pytest.raises(ParameterError, match="not free"):
        StructureModel(CHEAP.survey, CHEAP.dynamics, CHEAP.cone, fixed={"sigma_8": 0.8})
    with pytest.raises(ParameterError):
        StructureModel(CHEAP.survey, CHEAP.dynamics, CHEAP.cone, fixed={"m_nu": 0.1})
    with pytest.raises(ConfigurationError, match="light cone in"):
        StructureModel(CHEAP.survey, CHEAP.dynamics, perturbed_lensing_model(32).cone)
    wide = perturbed_lensing_model(16, pixels=8, side=6.0)
    with pytest.raises(ConfigurationError, match="fits the box"):
        StructureModel(wide.survey, CHEAP.dynamics, CHEAP.cone)


def test_sources_behind_the_light_cone_are_refused():
    # In a universe of little matter redshift 1.5 lies behind the end of the cone.
    model = StructureModel(CHEAP.survey, CHEAP.dynamics, CHEAP.cone, parameters=structure_parameters(omega_c=(0.01, 0.45)))
    with pytest.raises(Exception, match="behind the end of the light cone"):
        model.convergence(jnp.asarray([0.02, 0.8]), jnp.zeros((16, 16, 16)))


def test_a_column_is_crossed_once_and_its_few_steps_suffice():
    """At all corners of the prior sources are in the cone, which is refused otherwise, and maps are those of many steps."""
    model = column_lensing_model(4, 16, cell=64.0)
    many = StructureModel(model.survey, ParticleMesh(model.dynamics.box, np.linspace(0.25, 1, 16)), model.cone)
    white = jax.random.normal(jax.random.key(0), (4, 4, 16))
    corners = jnp.asarray([[c, s] for c in (0.15, 0.45) for s in (0.5, 1.1)])
    few, more = (
        np.asarray(jax.jit(lambda thetas, one=one: jax.lax.map(lambda t: one.convergence(t, white), thetas))(corners))
        for one in (model, many)
    )
    assert model.cone.copies == 1
    np.testing.assert_array_less(np.std(few - more, axis=(1, 2)), 0.01 * np.std(more, axis=(1, 2)))
