"""Parameter spaces: order, prior, bijection and its Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from fullfield._core import ParameterError, ShapeError
from fullfield.parameters import Parameter, ParameterSpace


@pytest.fixture(scope="module")
def space():
    return ParameterSpace(
        {
            "amplitude": Parameter(dist.LogNormal(0.0, 0.5)),
            "slope": Parameter(dist.Normal(1.0, 2.0), label="n"),
            "w_0": Parameter(dist.TruncatedNormal(-1.0, 0.9, low=-2.0, high=-0.3), fiducial=-1.0),
            "mask": Parameter(dist.Uniform(-1.0, 1.0)),
        }
    )


def test_prior_density_is_the_product_of_scipys(space, key):
    theta = np.asarray(space.sample(key, (7,)), float)
    expected = (
        scipy.stats.lognorm.logpdf(theta[:, 0], 0.5)
        + scipy.stats.norm.logpdf(theta[:, 1], 1, 2)
        + scipy.stats.truncnorm.logpdf(theta[:, 2], -1 / 0.9, 0.7 / 0.9, -1, 0.9)
        + np.log(0.5)
    )
    np.testing.assert_allclose(space.log_prob(jnp.asarray(theta)), expected, rtol=1e-4)


def test_bijection_round_trip_and_jacobian(space, key):
    theta = space.sample(key, (5,))
    np.testing.assert_allclose(space.to_constrained(space.to_unconstrained(theta)), theta, rtol=1e-5, atol=1e-6)
    numerical = jax.vmap(lambda t: jnp.linalg.slogdet(jax.jacfwd(space.to_unconstrained)(t))[1])(theta)
    np.testing.assert_allclose(space.log_det_unconstrained(theta), numerical, rtol=1e-4)


def test_unconstrained_prior_is_about_standard(space):
    draws = space.to_unconstrained(space.sample(jax.random.key(3), (20_000,)))
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.1)


def test_everything_unconstrained_maps_inside_the_prior(space):
    assert bool(jnp.all(space.contains(space.to_constrained(4 * jax.random.normal(jax.random.key(1), (2000, 4))))))


def test_outside_the_prior_the_density_is_zero_and_the_check_names_the_parameter(space):
    theta = space.fiducial.at[2].set(-0.1)
    assert space.log_prob(theta) == -jnp.inf
    with pytest.raises(ParameterError, match=r"w_0: expected a value inside the prior \(-2 to -0.3\), got -0.1"):
        space.check(theta)
    with pytest.raises(ShapeError, match="last axis of 4"):
        space.check(jnp.zeros(3))
    space.check(space.sample(jax.random.key(2), (10,)))


def test_names_give_positions(space):
    theta = jnp.arange(4.0)
    assert space.index("w_0") == 2
    np.testing.assert_array_equal(space.as_vector(space.as_dict(theta)), theta)
    with pytest.raises(ParameterError, match="Did you mean 'slope'"):
        space.index("slop")
    with pytest.raises(ParameterError, match="no mask"):
        space.as_vector({name: jnp.zeros(()) for name in space.names[:3]})


def test_fiducial_and_labels(space):
    np.testing.assert_allclose(space.fiducial, [np.exp(0.125), 1, -1, 0], rtol=1e-5)
    assert space.labels == ("amplitude", "n", "w_0", "mask")
    assert space.bounds[2] == (pytest.approx(-2), pytest.approx(-0.3))


@pytest.mark.parametrize("prior", [dist.Normal(2.1e-9, 1e-10), dist.Normal(0.0224, 1.5e-4), dist.Uniform(1e4, 1.0001e4)])
def test_narrow_priors_have_unit_width_too(prior):
    space = ParameterSpace({"narrow": Parameter(prior)})
    draws = space.to_unconstrained(space.sample(jax.random.key(3), (20_000,)))
    np.testing.assert_allclose(draws.mean(), 0, atol=0.1)
    np.testing.assert_allclose(draws.std(), 1, atol=0.1)


def test_a_prior_that_fixes_a_parameter_is_refused():
    with pytest.raises(ParameterError, match="h: expected a prior that leaves it free"):
        ParameterSpace({"h": Parameter(dist.Delta(0.7))})


@pytest.mark.parametrize("prior", [dist.Uniform(-1.0, 1.0), dist.Uniform(0.1, 0.5), dist.LogNormal(0.0, 1.0)])
def test_no_draw_lies_on_the_edge(prior, monkeypatch):
    """A generator whose numbers reach both bounds: unconstrained coordinates stay finite."""
    low, high = (max(float(bound), -9.0) for bound in (prior.support.lower_bound, getattr(prior.support, "upper_bound", 9.0)))
    monkeypatch.setattr(type(prior), "sample", lambda self, key, shape=(): jnp.linspace(low, high, *shape))
    space = ParameterSpace({"x": Parameter(prior)})
    draws = space.sample(jax.random.key(0), (11,))
    assert bool(jnp.all(jnp.isfinite(space.to_unconstrained(draws))))
    assert bool(jnp.all(space.contains(draws)))


def test_a_grid_up_to_the_edge_has_finite_coordinates():
    space = ParameterSpace({"a": Parameter(dist.Uniform(-1.0, 1.0)), "b": Parameter(dist.Beta(2.0, 2.0))})
    grid = jnp.array([[-1.0, 0.0], [0.3, 0.6], [1.0, 1.0]])
    space.check(grid)
    u = space.to_unconstrained(grid)
    assert bool(jnp.all(jnp.isfinite(u)))
    np.testing.assert_allclose(space.to_constrained(u), grid, atol=1e-6)
    np.testing.assert_array_equal(space.off_edge(grid)[1], grid[1])
    assert bool(jnp.all(jnp.isnan(space.to_unconstrained(jnp.array([1.1, -0.1]))))), "what lies outside is not moved in"


def test_small_draws_of_a_wide_positive_prior_are_as_they_are():
    """The mean of this one is exp(12.5): what a rounding error is to that is much to the median, one."""
    draws = ParameterSpace({"x": Parameter(dist.LogNormal(0.0, 5.0))}).sample(jax.random.key(0), (1000,))
    assert len(np.unique(draws)) > 990


def test_a_prior_of_several_components_is_refused():
    for prior in (dist.Uniform(jnp.zeros(2), 1.0), dist.Uniform(jnp.zeros(2), 1.0).to_event(1)):
        with pytest.raises(ShapeError, match=r"univariate distribution, got shape \(2,\)"):
            Parameter(prior)
