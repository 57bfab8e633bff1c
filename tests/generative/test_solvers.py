import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.generative import Adams, DPMSolver, Heun


VARIANCES = jnp.asarray([1.0, 0.1, 0.01, 1e-3, 1e-4])


def exact(x, t):
    """E[x | x_t] of independent Gaussian modes."""
    return t * VARIANCES * x / (t**2 * VARIANCES + (1 - t) ** 2)


def draw(solver, denoise, noise):
    return solver.solve(jax.jit(functools.partial(solver.step, denoise)), denoise, noise)


@pytest.mark.parametrize("solver", [DPMSolver(51), DPMSolver(26), Heun(50)])
def test_variances_of_a_gaussian_field_come_out_right(solver):
    # The flow is linear in the noise: its square is the ratio of variances, without sampling.
    ratio = draw(solver, exact, jnp.ones(5)) ** 2 / VARIANCES
    np.testing.assert_allclose(ratio, 1.0, atol=0.02)


def test_few_evaluations_are_enough_in_white_coordinates():
    variances = jnp.asarray([3.0, 2.0, 1.0, 0.5, 0.3])
    white = lambda x, t: t * variances * x / (t**2 * variances + (1 - t) ** 2)  # noqa: E731
    np.testing.assert_allclose(draw(Adams(16), white, jnp.ones(5)) ** 2 / variances, 1.0, atol=0.03)


def test_a_clipped_flow_in_uniform_steps_fails_that_test():
    # Heun's method in t with 1 - t held above 0.05: right for no number of steps.
    x, times = jnp.ones(5), np.linspace(0, 1, 201)
    speed = lambda x, t: (exact(x, t) - x) / max(1 - t, 0.05)  # noqa: E731
    for t, later in itertools.pairwise(times):
        first = speed(x, t)
        x = x + (later - t) * (first + speed(x + (later - t) * first, later)) / 2
    ratio = np.asarray(x**2 / VARIANCES)
    assert np.all(np.abs(ratio - 1) > 0.02)
    assert ratio[0] == pytest.approx(0.951, abs=0.002)


@pytest.mark.parametrize("solver", [DPMSolver(26), Heun(50), Adams(40)])
def test_blocks_are_carried_side_by_side(solver):
    both = lambda x, t: {"a": exact(x["a"], t), "b": 0 * x["b"] + 3.0}  # noqa: E731
    found = draw(solver, both, {"a": jnp.ones(5), "b": jnp.ones(2)})
    np.testing.assert_allclose(found["a"], draw(solver, exact, jnp.ones(5)), rtol=1e-5)
    np.testing.assert_allclose(found["b"], 3.0)


@pytest.mark.parametrize("make", [lambda: DPMSolver(3), lambda: Heun(5), lambda: Heun(7), lambda: Adams(3)])
def test_impossible_numbers_of_evaluations_are_refused(make):
    with pytest.raises(ConfigurationError, match="evaluations"):
        make()
