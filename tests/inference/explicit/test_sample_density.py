import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.mcmc.integrators import IntegratorState, isokinetic_mclachlan

from fullfield._core import ConfigurationError, ShapeError
from fullfield.diagnostics import convergence, ess_mean, rhat
from fullfield.inference.explicit import DivergenceWarning, MAMS, MCLMC, NUTS, sample_density
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


@pytest.mark.parametrize(("sampler", "size"), [(NUTS(), 1), (MAMS(), 2)])
def test_adjusted_samplers_have_the_moments_of_a_gaussian(sampler, size):
    """Means 1 and 2 and widths 0.5 and 3 to 4.5 standard errors of each: 6 numbers, a false alarm in 20 000 runs."""
    mean, width = jnp.array([1.0, 2.0])[:size], jnp.array([0.5, 3.0])[:size]
    density = lambda x: -0.5 * jnp.sum(((x - mean) / width) ** 2)  # noqa: E731
    start = mean + 2 * width * jax.random.normal(jax.random.key(1), (4, size))
    run = functools.partial(sample_density, density, key=jax.random.key(2), n=500, sampler=sampler, warmup=200)
    draws = jax.jit(run)(start)
    for i in range(size):
        values = (np.asarray(draws.positions[..., i]) - float(mean[i])) / float(width[i])
        assert ess_mean(values) > 400
        assert abs(values.mean()) < 4.5 / np.sqrt(ess_mean(values))
        assert abs((values**2).mean() - 1) < 4.5 * np.sqrt(2 / ess_mean(values**2))
    report = convergence(**draws.evidence)
    assert report["chains/acceptance"].value == pytest.approx(sampler.acceptance, abs=0.12)
    assert report["chains/x_1/rhat"].value < 1.03
    numbers = {number.name for number in report.numbers}
    assert "chains/energy_variance" not in numbers
    assert ("chains/ebfmi" in numbers) == isinstance(sampler, NUTS)


def test_divergences_warn_by_themselves_and_stand_in_the_report():
    class Reckless(MCLMC):
        def tuned(self, tuner, step_size):
            return 30 * super().tuned(tuner, step_size)

        def corrected(self, step_size, energy_variance):
            return step_size

    start = jax.random.normal(jax.random.key(1), (4, 2))
    run = functools.partial(sample_density, key=jax.random.key(2), n=50, sampler=Reckless(1e-4), warmup=80)
    with pytest.warns(DivergenceWarning, match="transitions diverged behind 200 draws"):
        draws = run(banana, start, names=("a", "b"))
    report = convergence(**draws.evidence)
    assert report["chains/divergences"].verdict == "fail"
    assert report["chains/energy_variance"].verdict == "fail"
    assert {"chains/a/rhat", "chains/b/rhat"} < {number.name for number in report.numbers}


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ShapeError, match="two chains"):
        sample_density(banana, jnp.zeros((1, 3)), key=jax.random.key(0), n=10)
    with pytest.raises(ShapeError, match="one for each of 2 dimensions"):
        sample_density(banana, jnp.zeros((3, 2)), key=jax.random.key(0), n=10, names=("a",))
    for sampler in (MCLMC(), MAMS()):
        with pytest.raises(ConfigurationError, match=r"single dimension.*sampler=NUTS\(\)"):
            sample_density(jnp.sum, jnp.zeros((3, 1)), key=jax.random.key(0), n=10, sampler=sampler)


def test_the_looped_integrator_is_blackjax_s():
    density = lambda x: -0.5 * jnp.sum(x**2 * jnp.arange(1.0, 6.0)) - 0.1 * jnp.sum(x**4)  # noqa: E731
    position, momentum = jnp.arange(5.0), jnp.ones(5) / jnp.sqrt(5.0)
    state = IntegratorState(position, momentum, *jax.value_and_grad(density)(position))
    ours, theirs = minimal_norm(density)(state, 0.5), isokinetic_mclachlan(density)(state, 0.5)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MCLMC(energy_variance=-1.0), "energy_variance"),
        (lambda: MCLMC(steps_per_draw=0), "steps_per_draw"),
        (lambda: MAMS(steps=0.0), "steps"),
        (lambda: MAMS(acceptance=0.0), "acceptance"),
        (lambda: NUTS(acceptance=2.0), "acceptance"),
        (lambda: NUTS(doublings=0), "doublings"),
    ],
)
def test_samplers_that_could_not_move_are_refused(make, named):
    with pytest.raises(ConfigurationError, match=f"{named}: expected"):
        make()
