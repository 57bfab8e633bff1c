"""The smooth coupling function: monotonic, inverted, and without the kinks of a spline."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.networks import smooth_flow
from fullfield.networks.bijections import SplineElement
from fullfield.networks.ramps import RampElement


def test_monotonic_and_inverted():
    element = RampElement(ramps=6)
    raw = 2.5 * jax.random.normal(jax.random.key(0), (element.n_raw,))
    x = jnp.linspace(-12, 12, 4001)
    y, log_slope = jax.jit(jax.vmap(element.forward, in_axes=(0, None)))(x, raw)
    assert bool(jnp.all(jnp.diff(y) > 0))
    back, log_inverse = jax.jit(jax.vmap(element.inverse, in_axes=(0, None)))(y, raw)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=5e-3)
    np.testing.assert_allclose(log_inverse, -log_slope, atol=2e-2)
    assert float(jnp.ptp(log_slope)) > 0.5, "far from a line, or nothing was tested"
    slope = jax.jit(jax.vmap(jax.grad(lambda y: element.inverse(y, raw)[0])))(y)
    np.testing.assert_allclose(jnp.log(slope), -log_slope, atol=2e-2)


def test_starts_near_the_identity():
    element = RampElement()
    for reach, value, slope in ((2.0, 0.01, 0.01), (3.5, 0.1, 0.15)):
        x = jnp.linspace(-reach, reach, 71)
        y, log_slope = jax.vmap(element.forward, in_axes=(0, None))(x, jnp.zeros(element.n_raw))
        np.testing.assert_allclose(y, x, atol=value)
        np.testing.assert_allclose(log_slope, 0, atol=slope)


def test_an_untrained_flow_is_nearly_a_gaussian(key):
    """Its tails too: with ramps that ended at 2.5 sigma its kurtosis was five to six."""
    draws = smooth_flow(2, 3, key=key).sample(jax.random.key(1), jnp.array([0.3, -1.0, 0.5]), 20_000)
    np.testing.assert_allclose(draws.std(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(jnp.mean(draws**4, axis=0) / draws.var(axis=0) ** 2, 3, atol=1.0)


def jump(element, raw):
    """Largest change of the second derivative between neighbouring points, relative to its size."""
    x = jnp.linspace(-4.9, 4.9, 20001)
    second = jax.jit(jax.vmap(jax.grad(lambda x: element.forward(x, raw)[1])))(x)
    return float(jnp.abs(jnp.diff(second)).max() / jnp.abs(second).max())


def test_no_kinks_where_a_spline_has_them():
    smooth, spline = RampElement(ramps=8), SplineElement(bins=8)
    raw = jax.random.normal(jax.random.key(1), (smooth.n_raw,))
    assert jump(smooth, raw) < 0.05
    assert jump(spline, raw[: spline.n_raw]) > 0.2


@pytest.mark.slow
def test_score_equals_finite_differences(key):
    with jax.enable_x64(True):
        to_double = lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        density = jax.tree.map(to_double, smooth_flow(2, 2, key=key, layers=2, width=8, ramps=4))
        condition, x, step = jnp.array([0.3, -1.2]), jnp.array([0.4, -0.7]), 1e-5
        value = jax.jit(lambda x: density.log_prob(x, condition))
        score, curvature = jax.jit(jax.grad(value))(x), jax.jit(jax.hessian(value))(x)
        for i, direction in enumerate(step * jnp.eye(2)):
            expected = (value(x + direction) - value(x - direction)) / (2 * step)
            np.testing.assert_allclose(score[i], expected, rtol=1e-6, atol=1e-8)
            bent = (jax.grad(value)(x + direction) - jax.grad(value)(x - direction)) / (2 * step)
            np.testing.assert_allclose(curvature[i], bent, rtol=1e-5, atol=1e-7)
