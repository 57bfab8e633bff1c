import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fullfield.simulators.tasks import BernoulliGLM, Counts, log_populations


SETTINGS = {"prey": (2.1, 9, 110), "epidemic": (17.0, 9, 60)}  # as the tasks have them


def _tight(rates, start, interval, intervals):
    a, b, c, d = (float(rate) for rate in rates)

    def velocity(_, state):
        return [a - b * np.exp(state[1]), d * np.exp(state[0]) - c]

    times = interval * np.arange(intervals + 1)
    span = (0.0, times[-1] * (1 + 1e-12))
    start = np.asarray(start, float)
    return scipy.integrate.solve_ivp(velocity, span, start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12).y.T


def _rates(kind):
    draws = np.random.default_rng(1).normal(size=(24, 4))
    corners = 3.0 * np.stack(np.meshgrid(*[[-1, 1]] * 4), axis=-1).reshape(-1, 4)
    offset = np.concatenate([draws, corners, 5 / 3 * corners])
    if kind == "prey":
        return np.exp([-0.125, -3, -0.125, -3] + 0.5 * offset), np.log([30.0, 1.0])
    contact, recovery = 0.4 * np.exp(0.5 * offset[:, 0]), 0.125 * np.exp(0.2 * offset[:, 1])
    return np.stack([0 * contact, contact, recovery, contact], axis=1), np.array([np.log1p(-1e-6), np.log(1e-6)])


@pytest.mark.parametrize("kind", SETTINGS)
def test_populations_agree_with_an_adaptive_solver_in_double_precision(kind):
    interval, intervals, steps = SETTINGS[kind]
    rates, start = _rates(kind)
    rates, start = jnp.asarray(rates, jnp.float32), jnp.asarray(start, jnp.float32)
    solve = jax.jit(jax.vmap(lambda rate: log_populations(rate, start, interval, intervals, steps)))
    ours = np.asarray(solve(rates))
    tight = np.stack([_tight(rate, start, interval, intervals) for rate in rates[:40]])
    assert ours.shape == (56, 10, 2)
    assert np.isfinite(ours).all()  # at ±5σ of all rates too
    ours = ours[:40]
    # Populations of the corners at ±3σ of all rates fall to e^-128 and grow back.
    assert np.abs(ours - tight).max() < 1e-4
    assert np.abs(ours - tight)[:24].max() < 4e-5


def test_populations_converge_at_fourth_order_and_keep_their_invariant():
    rates, start = jnp.asarray([0.9, 0.05, 0.9, 0.05]), jnp.log(jnp.asarray([30.0, 1.0]))
    coarse, fine, tight = (log_populations(rates, start, 2.1, 9, steps) for steps in (4, 8, 110))
    order = jnp.log2(jnp.max(jnp.abs(coarse - tight)) / jnp.max(jnp.abs(fine - tight)))
    assert 3.5 < float(order) < 5.5
    a, b, c, d = rates
    invariant = d * jnp.exp(tight[:, 0]) - c * tight[:, 0] + b * jnp.exp(tight[:, 1]) - a * tight[:, 1]
    np.testing.assert_allclose(invariant, invariant[0], rtol=2e-5)


def test_populations_of_an_epidemic_end_where_the_final_size_says():
    # log(S_0 / S_end) = (β / γ) (1 - S_end), Kermack & McKendrick 1927, with everybody susceptible at first.
    end = float(
        jnp.exp(log_populations(jnp.asarray([0.0, 0.5, 0.2, 0.5]), jnp.asarray([-1e-6, np.log(1e-6)]), 17.0, 9, 60)[-1, 0])
    )
    assert -np.log(end) == pytest.approx(2.5 * (1 - end), rel=1e-4)


def test_counts_match_the_binomial(key):
    log_probability = jnp.log(jnp.asarray([1e-25, 1e-9, 1e-3, 0.3, 0.999]))
    counts = Counts(log_probability, 1000)
    draws = np.asarray(jax.jit(lambda key: counts.sample(key, (20_000,)))(key), np.float64)
    probability = np.exp(np.asarray(log_probability, np.float64))
    scatter = np.sqrt(1000 * probability * (1 - probability) / 20_000)
    assert (np.abs(draws.mean(0) - 1000 * probability) < 4.5 * scatter + 1e-3).all()
    np.testing.assert_allclose(draws.var(0)[2:], 1000 * (probability * (1 - probability))[2:], rtol=0.06)
    value = np.array([0.0, 0.0, 3.0, 290.0, 1000.0])
    exact = scipy.stats.binom.logpmf(value, 1000, probability).sum()
    assert float(counts.log_prob(jnp.asarray(value))) == pytest.approx(exact, abs=2e-4)


def test_correlated_prior_is_the_published_gaussian(key):
    model = BernoulliGLM()
    prior = model.parameters
    difference = np.eye(9) - np.eye(9, k=-1)
    smooth = difference @ difference + np.diag(np.sqrt(np.arange(9) / 9))
    covariance = np.zeros((10, 10))
    covariance[0, 0], covariance[1:, 1:] = 2.0, np.linalg.inv(smooth.T @ smooth)
    draws = prior.sample(key, (20_000,))
    theta = np.asarray(draws[:5], float)
    exact = scipy.stats.multivariate_normal(np.zeros(10), covariance)
    np.testing.assert_allclose(prior.log_prob(draws[:5]), exact.logpdf(theta), atol=1e-4)
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), np.asarray(draws, float).T)
    assert np.abs(np.cov(whitened) - np.eye(10)).max() < 4.5 * np.sqrt(2 / 20_000)
    np.testing.assert_allclose(prior.to_constrained(prior.to_unconstrained(draws[:5])), theta, atol=1e-5)
    # The NumPyro program draws the same prior, parameter by parameter.
    data = model.simulate_at(key, draws[0])
    conditional = model.log_joint(draws[0], {}, data) - model.log_likelihood(draws[0], data)
    assert float(conditional) == pytest.approx(exact.logpdf(theta[0]), abs=2e-4)
    scales = [entry.prior.scale for entry in prior.entries]
    np.testing.assert_allclose(scales, np.sqrt(np.diag(covariance)), rtol=1e-5)
