import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.inference import EnsemblePosterior, FlowPosterior, sample_many
from fullfield.networks import gaussian, spline_flow
from fullfield.parameters import Parameter, ParameterSpace


BOX = ParameterSpace({"a": Parameter(dist.Uniform(-1.0, 3.0))})
PAIR = ParameterSpace(
    {"a": Parameter(dist.Uniform(0.1, 0.9)), "w": Parameter(dist.TruncatedNormal(-1.0, 0.9, low=-2.0, high=-0.3))}
)


def box_posterior(key, shift=0.0):
    """An untrained flow whose draws reach far into both tails of the unconstrained coordinate."""
    density = spline_flow(1, 2, key=key, layers=2, width=8)
    moments = (jnp.array([shift]), jnp.array([[0.8]]))
    density = eqx.tree_at(lambda d: (d.offset.tree, d.root.tree), density, moments)
    return FlowPosterior(BOX, density, eqx.nn.Identity(), (2,))


@pytest.fixture
def observation():
    return jnp.array([0.3, -0.7])


def test_normalised_inside_the_prior_and_nothing_outside(key, observation):
    posterior = box_posterior(key)
    # Midpoints, because the density rises steeply towards the prior's edges; fine enough for 1e-3.
    grid = -1 + 4 * (jnp.arange(40000) + 0.5) / 40000
    density = np.exp(np.asarray(jax.vmap(posterior.log_prob, in_axes=(0, None))(grid[:, None], observation), float))
    assert abs(density.mean() * 4 - 1) < 3e-3
    for outside in (-1.001, 3.001, 50.0):
        assert posterior.log_prob(jnp.array([outside]), observation) == -np.inf
    assert not np.isnan(posterior.log_prob(jnp.array([3.0]), observation))


def test_no_draw_leaves_the_prior(key, observation):
    density = gaussian(2, 2, key=key, width=8)
    density = eqx.tree_at(lambda d: d.root.tree, density, 0.05 * jnp.eye(2))
    draws = FlowPosterior(PAIR, density, eqx.nn.Identity(), (2,)).sample(key, observation, 20000)
    assert bool(jnp.all(PAIR.contains(draws)))
    assert float(draws[:, 0].min()) < 0.101, "draws must press against the bounds, or nothing was tested"
    assert float(draws[:, 0].max()) > 0.899


def test_draws_follow_log_prob(key, observation):
    posterior = box_posterior(key, shift=0.3)
    grid = -1 + 4 * (np.arange(4000) + 0.5) / 4000
    density = np.exp(
        np.asarray(jax.vmap(posterior.log_prob, in_axes=(0, None))(jnp.asarray(grid)[:, None], observation), float)
    )
    draws = np.asarray(posterior.sample(jax.random.key(5), observation, 8192))[:, 0]
    cdf = lambda x: np.interp(x, grid + 0.0005, np.cumsum(density) / density.sum())  # noqa: E731
    # False-alarm rate 1e-3 for this fixed key; the prior in place of the posterior must fail.
    assert stats.kstest(draws, cdf).pvalue > 1e-3
    assert stats.kstest(np.asarray(BOX.sample(key, (8192,)))[:, 0], cdf).pvalue < 1e-6


def test_ensemble_is_the_mixture(key, observation):
    members = (box_posterior(key, -1.5), box_posterior(jax.random.key(1), 1.5))
    mixture = EnsemblePosterior(members, (1.0, 3.0))
    theta = jnp.array([0.7])
    separate = np.array([np.exp(member.log_prob(theta, observation)) for member in members])
    np.testing.assert_allclose(np.exp(mixture.log_prob(theta, observation)), separate @ [0.25, 0.75], rtol=1e-5)
    n = 8192
    draws = mixture.sample(jax.random.key(2), observation, n)
    above = [float(jnp.mean(member.sample(jax.random.key(3), observation, n) > 1.0)) for member in members]
    expected = 0.25 * above[0] + 0.75 * above[1]
    # Both fractions are binomial: four standard deviations of their difference.
    assert abs(float(jnp.mean(draws > 1.0)) - expected) < 4 * np.sqrt(2 * 0.25 / n)
    assert abs(above[0] - above[1]) > 0.2, "members must differ, or weights were not tested"


def test_ensembles_that_do_not_fit_are_refused(key):
    one, other = box_posterior(key), FlowPosterior(PAIR, gaussian(2, 2, key=key), eqx.nn.Identity(), (2,))
    for members, weights in [((), None), ((one, other), None), ((one, one), (1.0,)), ((one, one), (1.0, -1.0))]:
        with pytest.raises(ConfigurationError):
            EnsemblePosterior(members, weights)


def test_sample_many_equals_single_draws(key):
    posterior = box_posterior(key)
    observations = jax.random.normal(key, (5, 2))
    draws = sample_many(posterior, key, observations, 30000)
    keys = jax.random.split(key, 5)
    assert draws.shape == (5, 30000, 1)
    for t in (0, 4):
        np.testing.assert_allclose(draws[t], posterior.sample(keys[t], observations[t], 30000), atol=1e-5)


@pytest.mark.parametrize(
    ("observation", "error", "words"),
    [
        (np.zeros(3), ShapeError, r"shape \(2,\)"),
        (np.zeros((1, 2)), ShapeError, r"got \(1, 2\)"),
        (np.array([0.0, np.nan]), DataError, r"1 of 2 elements .* first at \(1,\)"),
        (np.array([np.inf, np.nan]), DataError, "2 of 2 elements"),
    ],
)
def test_bad_observations_are_refused(key, observation, error, words):
    posterior = box_posterior(key)
    for call in (lambda: posterior.sample(key, observation, 3), lambda: posterior.log_prob(jnp.zeros(1), observation)):
        with pytest.raises(error, match=words):
            call()
    with pytest.raises(error):
        sample_many(posterior, key, np.stack([observation] * 2), 3)
