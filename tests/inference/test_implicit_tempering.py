"""Tempered particles against densities whose modes, weights and evidence are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield.inference.implicit.tempering import temper


SCALE, CENTRES = 0.03, np.array([[1.2, 0.4], [-0.9, -1.0]])
N = 4096


def log_prior(u):
    return jnp.sum(jax.scipy.stats.norm.logpdf(u))


def log_likelihood(u, weights):
    """Two narrow Gaussians of given weights."""
    distances = jnp.sum((u - CENTRES) ** 2, axis=1) / SCALE**2
    return jax.nn.logsumexp(jnp.log(weights) - 0.5 * distances) - jnp.log(2 * jnp.pi * SCALE**2)


@eqx.filter_jit
def draw(key, weights):
    start = jax.random.normal(jax.random.fold_in(key, 1), (N, 2))
    return temper(log_prior, lambda u: log_likelihood(u, weights), start, key=key, extra=1)


def exact(weights):
    """Mode weights and log evidence: Gaussians times a Gaussian."""
    heights = weights * stats.norm(0, np.sqrt(1 + SCALE**2)).pdf(CENTRES).prod(axis=1)
    return heights / heights.sum(), np.log(heights.sum())


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.9)])
def test_modes_have_their_weights(key, weights):
    found = draw(key, jnp.array(weights))
    shares, log_evidence = exact(np.array(weights))
    first = np.asarray(found.particles[:, 0] > 0)
    # Resampling about ten times adds up to ten binomial variances.
    error = np.sqrt(10 * shares.prod() / N)
    assert abs(first.mean() - shares[0]) < 4 * error
    assert 4 * error < 0.2
    assert abs(found.log_evidence - log_evidence) < 0.2
    turned, _ = exact(np.array(weights)[::-1])
    noticed = abs(first.mean() - turned[0]) > 4 * error
    assert noticed == (weights[0] != weights[1]), "turned weights must be noticed"
    for inside, centre in ((first, CENTRES[0]), (~first, CENTRES[1])):
        points = np.asarray(found.particles)[inside]
        np.testing.assert_allclose(points.mean(0), centre / (1 + SCALE**2), atol=0.2 * SCALE)
        np.testing.assert_allclose(points.std(0), SCALE, rtol=0.15)


def test_a_likelihood_that_is_minus_infinity_somewhere_is_no_harm(key):
    half = lambda u: jnp.where(u[0] > 0, 0.0, -jnp.inf)  # noqa: E731
    found = eqx.filter_jit(lambda k: temper(log_prior, half, jax.random.normal(k, (N, 2)), key=k))(key)
    assert bool(jnp.all(found.particles[:, 0] > 0))
    assert abs(found.log_evidence - np.log(0.5)) < 0.1
