import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError
from fullfield.networks import DENSITIES, gaussian, regression
from fullfield.networks.bijections import SplineElement


SETTINGS = {
    "gaussian": {"width": 16},
    "masked_autoregressive": {"width": 16, "layers": 2, "depth": 2},
    "mixture": {"width": 16, "components": 3},
    "real_nvp": {"width": 16},
    "smooth_flow": {"width": 16, "layers": 2},
    "spline_flow": {"width": 16, "layers": 2},
}


def wild(name, size, key):
    """A density whose weights are far from their initial values."""
    density = DENSITIES[name](size, 2, key=key, **SETTINGS[name])
    weights, static = eqx.partition(density.flow, eqx.is_inexact_array)
    keys = iter(jax.random.split(key, len(jax.tree.leaves(weights))))
    weights = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(next(keys), leaf.shape), weights)
    return eqx.tree_at(lambda d: d.flow, density, eqx.combine(weights, static))


@pytest.fixture(params=sorted(DENSITIES))
def name(request):
    return request.param


def test_integrates_to_one_and_draws_follow_it(name, key):
    density, condition = wild(name, 1, key), jnp.array([0.3, -1.2])
    grid = jnp.linspace(-60, 60, 24001)
    values = np.exp(np.asarray(jax.vmap(density.log_prob, in_axes=(0, None))(grid[:, None], condition), float))
    cumulative = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2)]) * (grid[1] - grid[0])
    assert abs(cumulative[-1] - 1) < 2e-3

    # Kolmogorov-Smirnov with a false-alarm rate of 1e-3 for this fixed key; draws pulled in by a tenth must fail.
    draws = np.asarray(density.sample(jax.random.key(1), condition, 8192))[:, 0]
    cdf = lambda x: np.interp(x, grid, cumulative / cumulative[-1])  # noqa: E731
    assert stats.kstest(draws, cdf).pvalue > 1e-3
    centre = np.median(draws)
    assert stats.kstest(centre + 0.9 * (draws - centre), cdf).pvalue < 1e-3


def test_log_prob_is_the_change_of_variables(name, key):
    if name == "mixture":
        pytest.skip("a sum of Gaussians is no change of variables")
    density, condition = wild(name, 5, key), jnp.array([0.3, -1.2])
    x = jnp.array([0.5, -0.2, 1.0, -1.5, 0.1])
    bijection = paramax.unwrap(density.flow).bijection

    @jax.jit
    def everything(x):
        z, log_det = bijection.inverse_and_log_det(x, condition)
        jacobian = jax.jacobian(lambda x: bijection.inverse_and_log_det(x, condition)[0])(x)
        back, log_det_back = bijection.transform_and_log_det(z, condition)
        return z, log_det, jacobian, back, log_det_back, density.log_prob(x, condition)

    z, log_det, jacobian, back, log_det_back, log_prob = everything(x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-3)
    np.testing.assert_allclose(back, x, atol=1e-3)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-3)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(z).sum() + log_det, rtol=1e-4, atol=1e-3)
    assert np.linalg.norm(np.asarray(jacobian) - np.eye(5)) > 0.5, "far from the identity, or nothing was tested"


def test_finite_in_float32_far_outside(name, key):
    density = wild(name, 3, key)
    slope = eqx.filter_jit(eqx.filter_value_and_grad(lambda d, x, c: d.log_prob(x, c)))
    for x, c in [(0.0, 1e4), (1e4, 0.0), (-1e4, -1e4), (5.0, 0.0)]:
        value, gradient = slope(density, jnp.full(3, x), jnp.full(2, c))
        leaves = [value, *jax.tree.leaves(gradient)]
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in leaves), (x, c)


def test_spline_is_monotonic_and_the_identity_outside():
    element = SplineElement(bins=6, interval=2.0)
    raw = jax.random.normal(jax.random.key(0), (element.n_raw,))
    x = jnp.linspace(-3, 3, 4001)
    y, log_slope = jax.jit(jax.vmap(element.forward, in_axes=(0, None)))(x, raw)
    assert bool(jnp.all(jnp.diff(y) > 0))
    np.testing.assert_array_equal(y[jnp.abs(x) >= 2], x[jnp.abs(x) >= 2])
    # Between neighbouring points the slope is that of a secant, to second order in their distance.
    secant = np.diff(np.asarray(y, float)) / np.diff(np.asarray(x, float))
    inside = np.abs(np.asarray(x[1:] + x[:-1])) < 3.99
    np.testing.assert_allclose((np.exp((log_slope[1:] + log_slope[:-1]) / 2) / secant)[inside], 1, atol=0.03)
    assert float(jnp.abs(log_slope).max()) > 1, "far from the identity, or nothing was tested"
    back, _ = jax.vmap(element.inverse, in_axes=(0, None))(y, raw)
    np.testing.assert_allclose(back, x, atol=5e-3)


def test_regression_alone_knows_the_linear_gaussian_world(key):
    n, mixing = 20000, np.array([[1.0, 0.4], [0.0, 0.3]])
    condition = jax.random.normal(key, (n, 3)) * jnp.array([1.0, 10.0, 0.1]) + 5.0
    slope = np.array([[1.0, 0.0, 2.0], [0.5, -0.1, 0.0]])
    noise = jax.random.normal(jax.random.key(1), (n, 2)) @ mixing.T
    density = gaussian(2, 3, key=key).fitted_to(condition @ slope.T + noise, condition)
    new = jnp.array([5.5, 2.0, 5.1])
    draws = np.asarray(density.sample(jax.random.key(2), new, n))
    # The head starts within about one per cent of the identity; n examples add 1 / sqrt(n) per moment.
    np.testing.assert_allclose(draws.mean(0), slope @ new, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), mixing @ mixing.T, atol=0.06)


def test_measured_moments_are_not_trained(key):
    density = gaussian(2, 2, key=key, width=8)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda d: d.log_prob(jnp.ones(2), jnp.ones(2))))(density)
    measured = jax.tree.leaves((gradient.standardise, gradient.slope, gradient.offset, gradient.root))
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in measured)


def test_a_constant_condition_does_no_harm(key):
    x, condition = jax.random.normal(key, (500, 2)), jnp.ones((500, 2))
    density = gaussian(2, 2, key=key).fitted_to(x, condition)
    assert np.isfinite(density.log_prob(x[0], condition[0]))


def linear_world(key, n, noise=0.0):
    """Pairs of a linear-Gaussian world, gradients of its log density with some noise, and its regression and covariance."""
    keys = jax.random.split(key, 4)
    slope = jnp.array([[1.0, -0.5], [0.3, 0.8], [0.0, 2.0]])
    root = jnp.array([[0.2, 0.0, 0.0], [0.1, 0.3, 0.0], [-0.05, 0.1, 0.1]])
    condition = 3 + 2 * jax.random.normal(keys[0], (n, 2))
    z = jax.random.normal(keys[1], (n, 3))
    gradient = -jax.scipy.linalg.solve_triangular(root, z.T, lower=True, trans=1).T
    gradient = gradient + noise * jnp.abs(gradient).max() * jax.random.normal(keys[2], gradient.shape)
    return condition @ slope.T + 1.0 + z @ root.T, condition, gradient, slope, root @ root.T


def mean_and_covariance(density, condition):
    inverse = jnp.linalg.inv(density.root.tree if hasattr(density.root, "tree") else density.root)
    return density._regression(condition)[1], inverse @ inverse.T


def test_exact_gradients_tell_a_gaussian_from_a_handful_of_pairs(key):
    x, condition, gradient, slope, covariance = linear_world(key, 8)
    density = DENSITIES["smooth_flow"](3, 2, key=key, **SETTINGS["smooth_flow"])
    where = jnp.array([4.0, -1.0])
    mean, found = mean_and_covariance(density.fitted_to_gradients(x, condition, gradient), where)
    np.testing.assert_allclose(mean, slope @ where + 1, atol=2e-3)
    np.testing.assert_allclose(found, covariance, rtol=0.01, atol=2e-4)
    # Without gradients the same pairs leave errors of the order of the width.
    _, plain = mean_and_covariance(density.fitted_to(x, condition), where)
    assert np.abs(plain / covariance - 1).max() > 0.3


@pytest.mark.parametrize("wrong", ["sign", "noise"])
def test_gradients_that_make_no_sense_change_nothing(key, wrong):
    x, condition, gradient, *_ = linear_world(key, 40, noise=1.0 if wrong == "noise" else 0.0)
    density = DENSITIES["gaussian"](3, 2, key=key, **SETTINGS["gaussian"])
    plain = density.fitted_to(x, condition)
    misled = density.fitted_to_gradients(x, condition, -gradient if wrong == "sign" else gradient)
    for name in ("slope", "offset", "root"):
        np.testing.assert_array_equal(*(jax.tree.leaves(getattr(one, name))[0] for one in (plain, misled)))


def test_products_that_explain_nothing_cost_nothing():
    """A straight mean from 150 pairs: 7 coefficients miss by √(7 / 150) of the noise, and 21 products would add √(21 / 150)."""
    missed = []
    for seed in range(20):
        keys = jax.random.split(jax.random.key(seed), 3)
        condition, slope = jax.random.normal(keys[0], (150, 6)), jax.random.normal(keys[1], (6, 2))
        density = regression(2, 6).fitted_to(condition @ slope + jax.random.normal(keys[2], (150, 2)), condition)
        white = jax.vmap(lambda c, density=density: density.whitened(jnp.zeros(2), c)[0])(condition)
        mean = -jnp.linalg.solve(paramax.unwrap(density.root), white.T).T
        missed.append(float(jnp.mean((mean - condition @ slope) ** 2)))
    assert np.mean(missed) < 1.7 * 7 / 150 < 28 / 150


def test_a_regression_of_degree_two_is_the_conditional_gaussian_of_a_bent_mean(key):
    """x = (c₀², c₀ c₁) + n, where the best linear fit would leave the bend in the scatter."""
    condition = jax.random.normal(key, (4000, 2))
    noise = 0.1 * jax.random.normal(jax.random.key(1), (4000, 2))
    mean = lambda c: jnp.stack([c[0] ** 2, c[0] * c[1]])  # noqa: E731
    density = regression(2, 2).fitted_to(jax.vmap(mean)(condition) + noise, condition)
    at = jnp.array([1.3, -0.7])
    draws = density.sample(jax.random.key(2), at, 20_000)
    # Six coefficients from 4000 rows: .1 √(6 / 4000) = .004, times three for a place off the centre.
    np.testing.assert_allclose(draws.mean(axis=0), mean(at), atol=0.015)
    np.testing.assert_allclose(draws.std(axis=0), 0.1, rtol=0.05)
    exact = stats.norm(np.asarray(mean(at)), 0.1).logpdf([1.5, -0.9]).sum()
    assert abs(float(density.log_prob(jnp.array([1.5, -0.9]), at)) - exact) < 0.3
    with pytest.raises(DataError, match="at least 9"):
        regression(2, 2).fitted_to(condition[:8], condition[:8])
    with pytest.raises(ConfigurationError, match="1 or 2"):
        regression(2, 2, degree=3)
