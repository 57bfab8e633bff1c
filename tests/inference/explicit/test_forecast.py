import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, ParameterError
from fullfield.inference.explicit import ConvergenceWarning, find_map, fisher, laplace, Mode, Target
from fullfield.inference.explicit.precondition import expected, learnt
from fullfield.inference.explicit.scaling import Diagonal, Modes
from fullfield.simulators import BlackBoxModel, LinearGaussian, NumPyroModel
from fullfield.simulators.tasks import BernoulliGLM, TASKS


MODEL = LinearGaussian()
DATA = jnp.asarray(np.random.default_rng(0).normal(size=24) * 1.5, jnp.float32)


def test_laplace_and_fisher_of_the_linear_model_are_its_closed_forms():
    """Everything is quadratic, so that only float32 stands between them: a thousandth of the width."""
    mean, covariance = (np.asarray(part) for part in MODEL.posterior(DATA))
    width = np.sqrt(np.diag(covariance))
    found = laplace(MODEL, DATA, key=jax.random.key(0))
    # The mode of the joint posterior of a Gaussian is its mean.
    np.testing.assert_allclose((found.theta - mean) / width, 0.0, atol=1e-2)
    np.testing.assert_allclose(found.covariance / np.outer(width, width), covariance / np.outer(width, width), atol=1e-3)
    exact = np.asarray(MODEL.fisher(MODEL.parameters.fiducial))
    np.testing.assert_allclose(fisher(MODEL, key=jax.random.key(0)), exact, atol=1e-3 * exact.max())
    mode = find_map(MODEL, DATA, key=jax.random.key(1))
    assert mode.slope < 0.05
    # With the field held instead of integrated out the parameters would seem twice as well known.
    held = np.linalg.inv(np.eye(3) + np.asarray(MODEL.response).T @ np.asarray(MODEL.response))
    assert np.all(np.diag(held) < 0.6 * width**2)


def test_parameters_outside_the_prior_are_named():
    moons = TASKS["two_moons"]()
    for call in (
        lambda: fisher(moons, jnp.asarray([2.0, 0.0]), key=jax.random.key(0)),
        lambda: find_map(moons, jnp.zeros(2), key=jax.random.key(0), start=jnp.asarray([2.0, 0.0])),
    ):
        with pytest.raises(ParameterError, match=r"theta_1: expected a value inside the prior \(-1 to 1\), got 2"):
            call()


def test_a_climb_that_ends_on_a_slope_says_so_and_is_no_place_for_laplace():
    mean, covariance = (np.asarray(part) for part in MODEL.posterior(DATA))
    with pytest.warns(ConvergenceWarning, match="after 1 of 1 steps"):
        found = find_map(MODEL, DATA, key=jax.random.key(0), steps=1)
    assert np.max(np.abs(found.theta - mean) / np.sqrt(np.diag(covariance))) > 0.3
    with pytest.raises(DataError, match="a slope of at most"):
        laplace(MODEL, DATA, key=jax.random.key(0), mode=found)


def test_a_likelihood_from_elsewhere_counts():
    """Precisions 1 of the prior, 1 of the data at 0, and 100 of the number from elsewhere at 1."""

    def program():
        a, b = (numpyro.sample(name, dist.Normal()) for name in "ab")
        numpyro.sample("elsewhere", dist.Normal(a, 0.1), obs=1.0)
        numpyro.sample("data", dist.Normal(jnp.stack([a, b]), 1.0).to_event(1))

    model, data = NumPyroModel(program, ("a", "b")), jnp.zeros(2)
    assert Target(model, data).size == 2
    found = laplace(model, data, key=jax.random.key(0))
    np.testing.assert_allclose(found.theta, [100 / 102, 0.0], atol=2e-3)
    np.testing.assert_allclose(found.covariance, np.diag([1 / 102, 1 / 2]), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(fisher(model, key=jax.random.key(0)), np.diag([101.0, 1.0]), rtol=2e-3, atol=1e-2)


def counts():
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 0.5))
    width = numpyro.sample("width", dist.Gamma(9.0, 10.0))
    numpyro.sample("data", dist.Normal(rate * jnp.ones(4), width).to_event(1))


def test_a_minimum_between_two_modes_is_no_place_for_laplace():
    def program():
        slope = numpyro.sample("slope", dist.Normal())
        numpyro.sample("data", dist.Normal(jnp.broadcast_to(slope**2, (2,)), 0.1).to_event(1))

    model, data = NumPyroModel(program, ("slope",)), jnp.ones(2)
    between = Mode(jnp.zeros(1), {}, jnp.zeros(1), 0.0, 0.0, 0)
    with pytest.raises(DataError, match="curvature -"):
        laplace(model, data, key=jax.random.key(0), mode=between)
    found = find_map(model, data, key=jax.random.key(0), start=jnp.array([0.5]))
    assert float(found.theta[0]) == pytest.approx(1, abs=0.01)
    assert float(laplace(model, data, key=jax.random.key(0), mode=found).covariance[0, 0]) == pytest.approx(
        1 / (1 + 8 / 0.01), rel=0.02
    )


def test_fisher_is_that_of_the_data_alone_in_the_parameters_themselves():
    """Four normals of mean r and width w have F = diag(4, 8) / w²; the mean of 400 curvatures is known to 4 x 0.06 of it."""
    model = NumPyroModel(counts, ("rate", "width"))
    theta = jnp.array([1.2, 0.8])
    found = fisher(model, theta, key=jax.random.key(0), simulations=400)
    exact = np.diag([4.0, 8.0]) / 0.8**2
    scale = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(found / np.outer(scale, scale), np.eye(2), atol=0.25)


def test_parameters_that_the_prior_correlates_are_forecast_as_they_are():
    """Spikes have F = Vᵀ W V, W = σ(Vθ) (1 - σ(Vθ)), whatever the data; the posterior's precision adds the prior's."""
    task = BernoulliGLM()
    design, theta = np.asarray(task.design, np.float64), task.parameters.sample(jax.random.key(1))
    root = np.asarray(task.parameters.root, np.float64)

    def exact(theta):
        rate = 1 / (1 + np.exp(-design @ np.asarray(theta)))
        return design.T @ (design * (rate * (1 - rate))[:, None])

    # Differences of gradients in float32 are good to a thousandth.
    found, expected = fisher(task, theta, key=jax.random.key(0), simulations=1), exact(theta)
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=5e-3)
    gaussian = laplace(task, task.simulate_at(jax.random.key(2), theta), key=jax.random.key(0))
    covariance = np.linalg.inv(exact(gaussian.theta) + np.linalg.inv(root @ root.T))
    width = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(gaussian.covariance / np.outer(width, width), covariance / np.outer(width, width), atol=5e-3)


@pytest.mark.slow
def test_the_preconditioner_whitens_a_gaussian_posterior():
    target = Target(MODEL, DATA)
    data = jnp.broadcast_to(DATA, (2, 24))
    points = target.dispersed(jax.random.key(1), 2)
    unit, _ = expected(target, key=jax.random.key(0))
    found, _ = learnt(unit, target, data, points, points, key=jax.random.key(2))
    hessian = np.asarray(jax.hessian(lambda white: -target(found(white)))(jnp.zeros(target.size)))
    np.testing.assert_allclose(hessian, np.eye(target.size), atol=2e-3)
    # Its inverse and transpose are its own.
    position, gradient = points
    np.testing.assert_allclose(found(found.inverse(position)), position, atol=1e-5)
    transposed = jax.linear_transpose(found, position)(gradient)[0]
    np.testing.assert_allclose(found.transposed(gradient), transposed, atol=1e-5)
    # Without the shear it is not white.
    hessian = np.asarray(jax.hessian(lambda white: -target(unit(white)))(jnp.zeros(target.size)))
    assert np.abs(hessian - np.eye(target.size)).max() > 0.1


def test_modes_recover_a_matrix_per_ring_and_the_diagonal_a_diagonal():
    random = np.random.default_rng(0)
    n, bins = 16, 2
    ring = np.rint(np.hypot(*np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * 2))).astype(int)
    roots = np.tril(random.normal(size=(ring.max() + 1, bins, bins)))
    curvature = np.eye(bins) * 1.5 + roots @ roots.swapaxes(1, 2)
    plane = curvature[ring]

    def product(v):
        return np.einsum("yxab,byx->ayx", plane, v.reshape(bins, n, n)).ravel()

    unit = Modes.unit(bins, n)
    probes = unit.probes(random)
    found = unit.fitted(probes, np.stack([product(v) for v in probes]))
    root = np.zeros((n, n, bins, bins))
    root[(..., *np.tril_indices(bins))] = np.moveaxis(np.asarray(found.root, np.float64), 0, -1)
    np.testing.assert_allclose(np.linalg.inv(root @ root.swapaxes(2, 3)), plane, rtol=2e-4, atol=1e-4)
    vector = jnp.asarray(random.normal(size=bins * n * n), jnp.float32)
    np.testing.assert_allclose(product(np.asarray(found.solve(vector))), vector, atol=1e-3)
    np.testing.assert_allclose(found.inverse(found(vector)), vector, atol=1e-4)

    diagonal = random.uniform(1, 5, size=300)
    unit = Diagonal(jnp.ones(300))
    probes = unit.probes(random)
    np.testing.assert_allclose(unit.fitted(probes, probes * diagonal).scale, diagonal**-0.5, rtol=1e-6)


def test_a_model_that_only_simulates_is_refused():
    black_box = BlackBoxModel(lambda key, theta: theta + jax.random.normal(key, (3,)), MODEL.parameters)
    for call in (
        lambda: fisher(black_box, key=jax.random.key(0)),
        lambda: laplace(black_box, jnp.zeros(3), key=jax.random.key(0)),
    ):
        with pytest.raises(ConfigurationError, match="NPE, NLE, NRE and FMPE remain"):
            call()
