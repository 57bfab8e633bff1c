"""Latents relative to the most probable ones, of a model whose posterior is nearly Gaussian."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.inference.explicit import ShearLatents, white_maps
from fullfield.inference.explicit.shear_latents import coefficients
from fullfield.simulators import lsst_y10_model, ShearModel


MODEL = ShearModel(lsst_y10_model(16))
THETA = MODEL.parameters.fiducial


@pytest.fixture(scope="module")
def latents():
    return ShearLatents.of(MODEL, key=jax.random.key(0))


def test_relative_latents_lead_back(latents):
    white, near = jax.random.normal(jax.random.key(1), (5, 16, 16)), jax.random.normal(jax.random.key(2), (16, 16, 5))
    x = latents.relative(THETA, white, near)
    np.testing.assert_allclose(latents.latents(THETA, x, near), white, atol=1e-4)
    np.testing.assert_allclose(coefficients(white_maps(white)), white, atol=1e-5)


def test_relative_latents_are_white_about_the_most_probable_ones(latents):
    """At parameters far from the fiducial ones, without mask: in the modes that the data know best as in all others."""
    theta = THETA.at[MODEL.parameters.index("sigma_8")].add(0.15)

    @eqx.filter_jit
    def missed(key):
        found, data = MODEL.simulate_with_latents(key, theta)
        peak = latents.expected(theta, data, jnp.zeros((16, 16, 5)))
        return coefficients(latents.relative(theta, found["white"], peak) - peak), found["white"] - coefficients(peak)

    x, plain = (np.asarray(each) for each in jax.lax.map(missed, jax.random.split(jax.random.key(3), 300)))
    # 300 x 8 numbers of the longest waves in all bins: their variance is known to 3 %. The field is not Gaussian.
    long = np.asarray([(0, 1), (1, 0), (0, 15), (15, 0), (1, 1), (1, 15), (15, 1), (15, 15)]).T
    variances = x[:, :, long[0], long[1]].var(axis=(0, 2))
    np.testing.assert_allclose(variances, 1.0, atol=0.2)
    assert plain[:, :, long[0], long[1]].var(axis=(0, 2)).min() < 0.5
    assert x.var() == pytest.approx(1.0, abs=0.05)


def test_moves_leave_exact_draws_as_they_are_and_mend_others(latents):
    """Latents of a simulation are a draw given its data. After moves they are another, as are draws that began far too near the
    most probable ones; each is 300 x 1280 numbers, whose variance is known to .3 % and whose mean is zero to .0016."""

    @eqx.filter_jit
    def moved(key):
        found, data = MODEL.simulate_with_latents(key, THETA)
        peak = latents.expected(THETA, data, jnp.zeros((16, 16, 5)))
        narrow = latents.latents(THETA, peak + 0.5 * jax.random.normal(key, peak.shape), peak)
        starts = jnp.stack([found["white"], narrow])
        ends = jax.vmap(lambda white: latents.moved(key, THETA, white, data, 6)[1])(starts)
        drawn = jnp.concatenate([starts[:1], ends])
        fields = jax.vmap(lambda white: MODEL.convergence(THETA, white))(drawn)
        return jax.vmap(lambda white: latents.relative(THETA, white, peak))(drawn) - peak, jnp.mean(fields**2, axis=(1, 2))

    x, power = (np.asarray(each) for each in jax.lax.map(moved, jax.random.split(jax.random.key(4), 300), batch_size=10))
    exact, again, mended = np.moveaxis(x, 1, 0)
    for other in (again, mended):
        assert other.var() == pytest.approx(exact.var(), rel=0.01)
        assert other.mean() == pytest.approx(exact.mean(), abs=0.007)
        assert abs(np.mean(exact * other)) < 0.15 * exact.var()  # and not where it was
    # Power of the convergence, bin by bin: its scatter between fields is halved by the data that all three share.
    error = power.std(axis=0).max(axis=0) / np.sqrt(300)
    assert np.all(np.abs(power.mean(axis=0)[1:] - power.mean(axis=0)[0]) < 4 * error)


@pytest.mark.slow
def test_moves_of_parameters_leave_the_joint_density_as_it_is(latents):
    """Parameters from the prior, with a simulation there, are a draw from their posterior given its data. Moved ones are
    another, so that over simulations they have the prior's distribution again: what moves change is as often up as down."""
    space = MODEL.parameters

    @eqx.filter_jit
    def moved(key):
        theta = space.sample(jax.random.fold_in(key, 0), ())
        found, data = MODEL.simulate_with_latents(jax.random.fold_in(key, 1), theta)
        scatter = 0.4 * jnp.eye(space.size)
        new, white = latents.moved(jax.random.fold_in(key, 2), theta, found["white"], data, 8, scatter)
        return jax.vmap(space.to_unconstrained)(jnp.stack([theta, new])), jnp.mean(white**2)

    u, power = jax.lax.map(moved, jax.random.split(jax.random.key(7), 200))
    before, after = np.moveaxis(np.asarray(u), 1, 0)
    changed = after - before
    assert np.all(np.std(changed, axis=0) > 0.15)
    assert np.all(np.abs(changed.mean(0)) < 4 * changed.std(0) / np.sqrt(200))
    squares = after**2 - before**2
    assert np.all(np.abs(squares.mean(0)) < 4 * squares.std(0) / np.sqrt(200))
    assert float(jnp.mean(power)) == pytest.approx(1.0, abs=0.01)  # 200 x 1280 latents, whose error is .003


def test_parameters_stay_if_nothing_is_said_of_their_scatter(latents):
    found, data = MODEL.simulate_with_latents(jax.random.key(8), THETA)
    theta, white = eqx.filter_jit(latents.moved)(jax.random.key(9), THETA, found["white"], data, 4)
    np.testing.assert_array_equal(theta, THETA)
    assert np.abs(white - found["white"]).mean() > 0.3


def test_gradients_of_moves_are_those_of_their_steps(latents):
    # 1280 numbers: steps of 1.8 x 1280^-1/4 = 0.301, of which a quarter turn is six. Twelve of the sixteen moves are followed
    # by three steps of the parameters, with the density before them and a gradient after them.
    assert latents.gradients(0) == 0
    assert latents.gradients(16) == 1 + 16 * 6 + 12 * 5


def test_moves_that_end_nowhere_are_not_made(latents):
    """Data that are not numbers have no density anywhere: latents stay where they are."""
    white = jax.random.normal(jax.random.key(5), (5, 16, 16))
    scatter = 0.4 * jnp.eye(THETA.size)
    moved = eqx.filter_jit(latents.moved)(jax.random.key(6), THETA, white, jnp.full(MODEL.data_shape, jnp.nan), 4, scatter)
    np.testing.assert_allclose(moved[0], THETA, rtol=1e-5)
    np.testing.assert_allclose(moved[1], white, atol=1e-4)
    for few in (1, 2, 3):
        shapes = eqx.filter_eval_shape(
            latents.moved, jax.random.key(6), THETA, white, jnp.zeros(MODEL.data_shape), few, scatter
        )
        assert [each.shape for each in shapes] == [THETA.shape, white.shape]
