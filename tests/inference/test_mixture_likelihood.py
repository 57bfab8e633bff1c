"""Estimates as summaries, their likelihood as a mixture of Gaussians, and the posterior within a hull, against a grid."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import likelihood_accuracy
from fullfield.inference.implicit import HullPosterior, HullPrior, train_nle
from fullfield.networks import mixture
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.training import cosine_adam


SPACE = ParameterSpace({"Om": Parameter(dist.Uniform(0.15, 0.45)), "s8": Parameter(dist.Uniform(0.5, 1.2))})
MIDDLE = np.array([0.3, 0.85], np.float32)
CORNERS = np.array([[0.15, 0.8], [0.2, 1.2], [0.45, 0.8], [0.45, 0.5], [0.25, 0.5]])
N, BATCH, EPOCHS = 40_000, 500, 15
FOUR = functools.partial(mixture, components=4, width=256, depth=4)


def scatter(theta):
    """Errors of the two estimates: correlated, and larger at one end of the prior than at the other."""
    om, s8 = theta[..., 0], theta[..., 1]
    first = jnp.stack([0.02 + 0.1 * (om - 0.15), jnp.zeros_like(om)], -1)
    second = jnp.stack([-0.05 * jnp.ones_like(s8), 0.03 + 0.05 * (s8 - 0.5)], -1)
    return jnp.stack([first, second], -2)


def estimate(key, theta):
    """What a network would estimate: drawn to the middle of the prior, as estimates are, with two kinds of errors."""
    kind, noise = jax.random.bernoulli(key, 0.3, theta.shape[:-1]), jax.random.normal(jax.random.fold_in(key, 1), theta.shape)
    wide = jnp.where(kind, 1.5, 0.6)[..., None]
    return 0.8 * theta + 0.2 * MIDDLE + jnp.einsum("...ij,...j->...i", scatter(theta), wide * noise)


def exact(theta, summary):
    """Log likelihood of what `estimate` draws."""
    root = scatter(theta)
    white = jnp.linalg.solve(root, (summary - 0.8 * theta - 0.2 * MIDDLE)[..., None])[..., 0]
    square, log_det = jnp.sum(white**2, -1), jnp.log(root[..., 0, 0] * root[..., 1, 1])
    both = [jnp.log(w) - 0.5 * square / s**2 - 2 * jnp.log(s) for w, s in ((0.3, 1.5), (0.7, 0.6))]
    return jnp.logaddexp(*both) - log_det - jnp.log(2 * jnp.pi)


@pytest.fixture(scope="module")
def prior():
    return HullPrior(SPACE, CORNERS, ["Om", "s8"])


@pytest.fixture(scope="module")
def learnt(prior):
    theta = prior.draw(jax.random.key(0), N + 4000)
    summaries = estimate(jax.random.key(1), theta)
    source, held_out = (
        StoredSimulations(theta[part], summaries[part], batch_size=BATCH) for part in (slice(N), slice(N, None))
    )
    posterior, _ = train_nle(
        SPACE, source, held_out, key=jax.random.key(2), density=FOUR,
        optimiser=cosine_adam(3e-3, EPOCHS * source.steps_per_epoch), max_epochs=EPOCHS,
    )  # fmt: skip
    return posterior


def accuracy(learnt, prior, factor):
    theta = prior.draw(jax.random.key(3), 200)
    simulated = estimate(jax.random.key(4), jnp.broadcast_to(theta[:, None], (200, 400, 2)))
    keys = jax.random.split(jax.random.key(5), 200)
    drawn = jax.jit(jax.vmap(lambda k, t: learnt.simulate(k, t, 400)))(keys, MIDDLE + factor * (theta - MIDDLE))
    return likelihood_accuracy(simulated, drawn, names=SPACE.names).report


@pytest.mark.slow
def test_means_and_deviations_are_those_of_simulations(learnt, prior):
    report = accuracy(learnt, prior, 1.0)
    assert report.verdict == "pass"
    for name in SPACE.names:
        assert report[f"likelihood/{name}/mean_scatter"].value < 0.1
        assert report[f"likelihood/{name}/deviation_scatter"].value < 0.1
    assert accuracy(learnt, prior, 0.7).verdict == "fail", "a likelihood of the wrong parameters"


@pytest.mark.slow
def test_the_posterior_in_the_hull_is_that_of_a_grid(learnt, prior):
    """Draws follow the learnt likelihood in the hull, to the errors of a thousand, and it the exact one, to its training's."""
    space, truth, posterior = (
        SPACE,
        jnp.array([[0.3, 0.75], [0.2, 0.75], [0.22, 1.0], [0.16, 0.8]]),
        HullPosterior(learnt, prior),
    )
    edges = [np.linspace(*ends, 201) for ends in space.bounds]
    grid = np.stack(np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij"), -1).reshape(-1, 2)
    points = jnp.asarray(grid, jnp.float32)
    inside = np.asarray(prior.contains(points))
    assert 0.5 < inside.mean() < 0.8

    def moments(logs, inside):
        weight = np.where(inside, np.exp(np.asarray(logs, float) - np.max(logs)), 0.0)
        mean = np.average(grid, axis=0, weights=weight)
        return mean, np.sqrt(np.average((grid - mean) ** 2, axis=0, weights=weight))

    @jax.jit
    def log_learnt(points, observation):
        return jax.lax.map(lambda theta: learnt.log_unnormalised(theta, observation), points, batch_size=8192)

    without = []
    for observation in estimate(jax.random.key(6), truth):
        logs = log_learnt(points, observation)
        mean, sigma = moments(logs, inside)
        draws = np.asarray(posterior.sample(jax.random.key(7), observation, 4000))
        assert np.abs((draws.mean(0) - mean) / sigma).max() < 4.5 / np.sqrt(1000)
        np.testing.assert_allclose(draws.std(0) / sigma, 1, atol=4.5 / np.sqrt(2000))
        without.append(np.abs((moments(logs, True)[0] - mean) / sigma).max())
        right, width = moments(jax.vmap(exact, (0, None))(points, observation), inside)
        assert np.abs((mean - right) / width).max() < 1 / 6
        np.testing.assert_allclose(sigma / width, 1, atol=1 / 8)
    assert max(without) > 0.5, "the hull must matter"
