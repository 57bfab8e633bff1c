"""Posteriors within the hull of a grid of simulations, against the same on a grid of points."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from matplotlib.path import Path

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.inference import sample_many
from fullfield.inference.implicit import HullPosterior, HullPrior
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.parameters import Parameter, ParameterSpace


SPACE = ParameterSpace(
    {
        "Om": Parameter(dist.Uniform(0.15, 0.45)),
        "A": Parameter(dist.Normal(0.0, 2.0)),
        "s8": Parameter(dist.Uniform(0.5, 1.2)),
    }
)
# A band along the degeneracy of lensing, whose corners lie outside the box.
CORNERS = np.array([[0.12, 0.9], [0.2, 1.25], [0.48, 0.75], [0.4, 0.45], [0.25, 0.6]])
POINTS = np.concatenate([CORNERS, np.random.default_rng(0).dirichlet(np.ones(5), 52) @ CORNERS])
WIDTHS = np.array([0.05, 1.0, 0.12])


class Blurred(AbstractSampledPosterior):
    """Estimates of the parameters, and errors as wide as a third of the prior."""

    parameters: ParameterSpace = SPACE
    summarise: eqx.nn.Identity = eqx.nn.Identity()
    data_shape: tuple[int, ...] = eqx.field(static=True, default=(3,))
    seen: None = None

    def log_likelihood(self, unconstrained, summary):
        return -0.5 * jnp.sum(((self.parameters.to_constrained(unconstrained) - summary) / WIDTHS) ** 2)


OBSERVED = jnp.array([0.25, 0.7, 0.62])  # near the lower edge


@pytest.fixture(scope="module")
def prior():
    return HullPrior(SPACE, POINTS[:, ::-1], ["s8", "Om"])


@functools.cache
def on_grid(cut):
    """Means, covariance of (Om, s8) and the posterior's mass, by a sum over half a million points."""
    edges = [np.linspace(*ends, 401) for ends in ((0.15, 0.45), (0.5, 1.2))]
    om, s8 = np.stack(np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij")).reshape(2, -1)
    weight = np.exp(-0.5 * ((om - OBSERVED[0]) / WIDTHS[0]) ** 2 - 0.5 * ((s8 - OBSERVED[2]) / WIDTHS[2]) ** 2)
    if cut:
        weight = weight * Path(CORNERS).contains_points(np.stack([om, s8], 1))
    mass, weight = weight.mean(), weight / weight.sum()
    mean = np.array([om @ weight, s8 @ weight])
    return mean, np.cov(np.stack([om, s8]), aweights=weight, ddof=0), mass


def check(draws, cut=True, effective=1000):
    """Means within 4.5 errors, covariances within the error of as many effective draws."""
    mean, covariance, _ = on_grid(cut)
    sigma = np.sqrt(np.diag(covariance))
    pair = np.asarray(draws)[:, [0, 2]]
    found = np.abs((pair.mean(0) - mean) / sigma).max() < 4.5 / np.sqrt(effective)
    ratio = np.cov(pair.T) / np.outer(sigma, sigma) - covariance / np.outer(sigma, sigma)
    return found and np.abs(ratio).max() < 4.5 * np.sqrt(2 / effective)


def test_draws_are_those_of_a_grid(prior):
    posterior = HullPosterior(Blurred(), prior)
    draws = posterior.sample(jax.random.key(1), OBSERVED, 4000)
    assert bool(jnp.all(prior.contains(draws)))
    assert check(draws)
    assert not check(draws, cut=False), "the hull must matter"
    assert not check(Blurred().sample(jax.random.key(1), OBSERVED, 4000))
    # Of the third parameter, which the hull leaves alone, the posterior is a product of normals.
    np.testing.assert_allclose(np.mean(draws[:, 1]), 0.7 * 4 / 5, atol=4.5 * np.sqrt(0.8 / 1000))
    many = sample_many(posterior, jax.random.key(2), jnp.stack([OBSERVED, OBSERVED + 0.1]), 1000)
    assert bool(jnp.all(prior.contains(jnp.asarray(many))))


def test_draws_of_the_box_that_lie_in_the_hull_are_as_exact(prior):
    posterior = HullPosterior(Blurred(), prior)
    with pytest.raises(ConfigurationError, match=r"prior\.contains"):
        posterior.sample_chains(jax.random.key(1), OBSERVED, 500)
    draws = posterior.learnt.sample_chains(jax.random.key(1), OBSERVED, 1500, chains=4, warmup=200).positions.reshape(-1, 3)
    assert check(draws[prior.contains(draws)])


def test_densities_end_at_the_hull_and_are_normalised_in_it(prior):
    posterior = HullPosterior(Blurred(), prior)
    outside = jnp.array([0.2, 0.0, 0.52])
    assert float(SPACE.log_prob(outside)) > -10
    assert float(posterior.log_unnormalised(outside, OBSERVED)) == -np.inf
    inside = jnp.array([0.25, 0.0, 0.7])
    np.testing.assert_allclose(posterior.log_unnormalised(inside, OBSERVED), Blurred().log_unnormalised(inside, OBSERVED))
    # Over the box's mean of the likelihood, times the third parameter's Gaussian integral.
    third = np.sqrt(1 / 5) * np.exp(-0.5 * 0.7**2 / 5)
    evidence = float(posterior.log_evidence(jax.random.key(3), OBSERVED))
    assert abs(evidence - np.log(on_grid(True)[2] * third)) < 0.1
    assert abs(evidence - np.log(on_grid(False)[2] * third)) > 0.2, "the hull must matter"


def test_the_prior_is_even_in_the_hull_and_nowhere_else(prior):
    draws = np.asarray(prior.draw(jax.random.key(4), 5000))
    assert draws.shape == (5000, 3)
    box = SPACE.sample(jax.random.key(5), (20_000,))
    expected = Path(CORNERS).contains_points(np.asarray(box)[:, [0, 2]])
    assert np.mean(np.asarray(prior.contains(box)) != expected) < 1e-3
    for column in range(3):
        theirs = np.asarray(box)[expected, column]
        error = theirs.std() * np.sqrt(1 / 5000 + 1 / len(theirs))
        assert abs(draws[:, column].mean() - theirs.mean()) < 4.5 * error
    # Simulations at the rim are simulations.
    rim = np.insert(CORNERS[[4]], 1, 0.0, axis=1)
    assert bool(prior.contains(jnp.asarray(rim, jnp.float32))[0])


def test_hulls_that_cannot_be_are_refused(unchecked):
    with pytest.raises(ParameterError, match="name"):
        HullPrior(SPACE, POINTS, ["Om", "sigma8"])
    with pytest.raises(ConfigurationError, match="two or more"):
        HullPrior(SPACE, POINTS[:, :1], ["Om"])
    with pytest.raises(ShapeError, match=r"\(m, 2\)"):
        HullPrior(SPACE, POINTS[:, :1], ["Om", "s8"])
    for wrong in (POINTS[:0], POINTS[:2], np.full((5, 2), np.nan), np.repeat(POINTS[:, :1], 2, axis=1), np.ones((5, 2))):
        with pytest.raises(DataError, match="span 2 dimensions"):
            HullPrior(SPACE, wrong, ["Om", "s8"])
    other = HullPrior(ParameterSpace(dict(zip("abc", SPACE.entries, strict=True))), POINTS, ["a", "c"])
    with pytest.raises(ConfigurationError, match="Om"):
        HullPosterior(Blurred(), other)
    with pytest.raises(DataError, match="draws of the prior hit"):
        HullPrior(SPACE, POINTS + 10, ["Om", "s8"]).draw(jax.random.key(0), 10)
