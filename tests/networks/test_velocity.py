"""The density that a velocity field carries, by quadrature."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from fullfield.networks import velocity_flow


def wild(size, key):
    """A field whose network matters."""
    density = velocity_flow(size, 2, key=key, width=16, blocks=1, steps=16)
    where = lambda d: (d.flow.network.exit.weights[0], d.flow.network.exit.biases[0])  # noqa: E731
    weight, bias = where(density)
    return eqx.tree_at(where, density, (60 * weight, bias + 0.5))


CONDITION = jnp.array([0.3, -1.2])


def test_integrates_to_one_and_draws_follow_it_in_one_dimension(key):
    density = wild(1, key)
    grid = np.linspace(-8, 8, 1601)
    log_prob = jax.jit(jax.vmap(density.log_prob, in_axes=(0, None)))
    values = np.exp(np.asarray(log_prob(jnp.asarray(grid, jnp.float32)[:, None], CONDITION), float))
    cumulative = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2)]) * (grid[1] - grid[0])
    assert abs(cumulative[-1] - 1) < 2e-3
    draws = np.asarray(density.sample(jax.random.key(1), CONDITION, 8192))[:, 0]
    cdf = lambda x: np.interp(x, grid, cumulative / cumulative[-1])  # noqa: E731
    # False-alarm rate 1e-3 for this fixed key; the noise itself must fail.
    assert stats.kstest(draws, cdf).pvalue > 1e-3
    assert stats.kstest(np.asarray(jax.random.normal(key, (8192,))), cdf).pvalue < 1e-3


def test_integrates_to_one_in_two_dimensions(key):
    density = wild(2, key)
    axis = jnp.linspace(-7, 7, 101)
    points = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = np.exp(np.asarray(jax.jit(jax.vmap(density.log_prob, in_axes=(0, None)))(points, CONDITION), float))
    # The trapezoidal rule is exact to this for densities that vanish at the edge.
    assert abs(values.sum() * float(axis[1] - axis[0]) ** 2 - 1) < 5e-3
    noise = np.exp(stats.norm.logpdf(np.asarray(points)).sum(1))
    assert np.abs(values - noise).max() > 0.03, "far from the noise, or nothing was tested"
