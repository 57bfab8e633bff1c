import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.mcmc.integrators import IntegratorState, isokinetic_mclachlan

from fullfield._core import ShapeError
from fullfield.diagnostics import ess_mean, rhat
from fullfield.inference.explicit import MAMS, MCLMC, NUTS, sample_density
from fullfield.inference.explicit.samplers import minimal_norm


SAMPLERS = [
    pytest.param(NUTS(), id="nuts", marks=pytest.mark.slow),
    pytest.param(MCLMC(energy_variance=1e-5), id="mclmc"),
    pytest.param(MAMS(), id="mams", marks=pytest.mark.slow),
]


def banana(x):
    """Normal x_0 of width 2, and x_1 about x_0² of width 1: E x_1 = 4, Var x_1 = 2 · 4² + 1."""
    return -0.5 * ((x[0] / 2) ** 2 + (x[1] - x[0] ** 2) ** 2)


def funnel(x):
    """Neal's funnel, of mild depth: the scale of two coordinates is exp(x_0 / 2), and x_0 is normal of width 1."""
    return -0.5 * x[0] ** 2 - 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) - x[0]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_banana_and_funnel_have_their_moments(sampler):
    """Three moments each at 4 standard errors of theirs: 18 in all, a false alarm in 1000 runs."""
    cases = ((banana, 2, {"x0": 0.0, "x1": 4.0, "x0²": 4.0}), (funnel, 3, {"x0": 0.0, "x1": 0.0, "x0²": 1.0}))
    for density, size, moments in cases:
        start = 3 * jax.random.normal(jax.random.key(1), (8, size))
        settings = {"key": jax.random.key(2), "n": 3000, "sampler": sampler}
        draws = jax.jit(functools.partial(sample_density, density, **settings))(start)
        if sampler == MCLMC(energy_variance=1e-5):
            assert float(draws.energy_variance) < 1.5e-5
        x0, x1 = np.moveaxis(np.asarray(draws.positions), -1, 0)[:2]
        for name, values in {"x0": x0, "x1": x1, "x0²": x0**2}.items():
            exact = moments[name]
            error = values.std() / np.sqrt(ess_mean(values))
            assert abs(values.mean() - exact) < 4 * error, name
            assert rhat(values) < 1.03, name


def test_an_unadjusted_sampler_with_large_energy_errors_is_biased_and_says_so():
    start = jax.random.normal(jax.random.key(1), (8, 2))
    run = lambda target: sample_density(banana, start, key=jax.random.key(2), n=3000, sampler=MCLMC(energy_variance=target))  # noqa: E731
    rough = jax.jit(lambda: run(0.3))()
    x1 = np.asarray(rough.positions[..., 1])
    assert abs(x1.mean() - 4) > 6 * x1.std() / np.sqrt(ess_mean(x1))
    assert float(rough.energy_variance) > 0.03


def test_many_observations_run_side_by_side():
    """The posterior mean of each of 5 normals, to 4.5 standard errors."""
    observations = jnp.linspace(-3, 3, 5)[:, None] * jnp.ones(2)

    def posterior(key, observation):
        start = jax.random.normal(key, (4, 2)) + observation
        return sample_density(lambda x: -2 * jnp.sum((x - observation) ** 2), start, key=key, n=500, warmup=200)

    draws = jax.jit(jax.vmap(posterior))(jax.random.split(jax.random.key(0), 5), observations)
    assert draws.positions.shape == (5, 4, 500, 2)
    error = 0.5 / np.sqrt([ess_mean(draws.positions[i, ..., 0]) for i in range(5)])
    assert np.all(np.abs(draws.positions[..., 0].mean((1, 2)) - observations[:, 0]) < 4.5 * error)


def test_one_chain_or_one_dimension_is_refused():
    for shape in ((1, 3), (3, 1)):
        with pytest.raises(ShapeError, match="two chains in two dimensions"):
            sample_density(banana, jnp.zeros(shape), key=jax.random.key(0), n=10)


def test_the_looped_integrator_is_blackjax_s():
    density = lambda x: -0.5 * jnp.sum(x**2 * jnp.arange(1.0, 6.0)) - 0.1 * jnp.sum(x**4)  # noqa: E731
    position, momentum = jnp.arange(5.0), jnp.ones(5) / jnp.sqrt(5.0)
    state = IntegratorState(position, momentum, *jax.value_and_grad(density)(position))
    ours, theirs = minimal_norm(density)(state, 0.5), isokinetic_mclachlan(density)(state, 0.5)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
