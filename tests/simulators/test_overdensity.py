"""Lognormal overdensity against published numbers, CCL and its own closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.fields import Plane, RealAmplitudeModes
from fullfield.simulators import LognormalOverdensity


FIDUCIAL = np.array([0.3, 0.8], np.float32)


@eqx.filter_jit
def fisher_of(model, theta):
    return model.fisher(jnp.asarray(theta))


def test_spectrum_is_that_of_the_published_maps():
    # Table of the public code's maps, three digits (Akhmetzhanova et al. 2024).
    power = LognormalOverdensity().power(jnp.asarray(FIDUCIAL), np.array([0.01, 0.1, 0.3]))
    np.testing.assert_allclose(power, [70.2, 9.90, 1.19], rtol=2e-3)


def test_spectrum_against_ccl():
    ccl = pytest.importorskip("pyccl")
    k = np.geomspace(0.007, 0.44, 30)
    for omega_m, sigma_8 in ((0.3, 0.8), (0.16, 0.9), (0.44, 0.66)):
        universe = ccl.Cosmology(
            Omega_c=omega_m - 0.05, Omega_b=0.05, h=0.7, n_s=0.96, sigma8=sigma_8, transfer_function="eisenstein_hu"
        )
        ours = LognormalOverdensity().power(jnp.array([omega_m, sigma_8]), k)
        np.testing.assert_allclose(ours, ccl.linear_matter_power(universe, k, 1.0) / 1000, rtol=2e-3)
    fixed = {"omega_b": 0.049, "h": 0.6711, "n_s": 0.9624}
    names = {"Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624}
    universe = ccl.Cosmology(Omega_c=0.251, sigma8=0.8, transfer_function="eisenstein_hu", **names)
    ours = LognormalOverdensity(Plane(16, 37.0), **fixed).power(jnp.array([0.3, 0.8]), k)
    np.testing.assert_allclose(ours, ccl.linear_matter_power(universe, k, 1.0) / 37, rtol=2e-3)


def test_information_is_that_of_the_paper_and_of_a_gaussian_field_twice_that():
    paper, gaussian = LognormalOverdensity(modes=RealAmplitudeModes()), LognormalOverdensity()
    fisher = np.asarray(fisher_of(paper, FIDUCIAL))
    assert fisher[1, 1] == pytest.approx(5001 / 2 * (2 / 0.8) ** 2, rel=1e-5)
    np.testing.assert_allclose(fisher[0], [7028.338, 8251.630], rtol=5e-4)  # saved with the paper's code
    covariance = np.linalg.inv(fisher)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.01935, 0.01298], rtol=1e-3)
    assert covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) == pytest.approx(-0.787, abs=1e-3)
    covariance = np.linalg.inv(np.asarray(fisher_of(gaussian, FIDUCIAL)))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.01368, 0.00917], rtol=2e-3)


def test_maps_have_the_published_deviation():
    model = LognormalOverdensity()
    for theta, expected in (((0.3, 0.8), 0.195), ((0.15, 0.65), 0.172), ((0.45, 0.95), 0.228)):
        maps = jax.jit(jax.vmap(model.simulate_at, (0, None)))(jax.random.split(jax.random.key(1), 20), jnp.array(theta))
        # Twenty maps know the deviation to half a percent, the table to three digits.
        assert float(jnp.std(jnp.log1p(maps))) == pytest.approx(expected, rel=0.02)
        assert float(maps.min()) > -1
        np.testing.assert_allclose(jnp.mean(maps, axis=(1, 2, 3)), 0, atol=2e-3)


@pytest.mark.parametrize("modes", [None, RealAmplitudeModes()])
def test_slopes_of_the_likelihood_vary_as_fisher_says(modes):
    model = LognormalOverdensity(Plane(24, 240.0), modes)
    theta = model.parameters.fiducial
    maps = jax.jit(jax.vmap(model.simulate_at, (0, None)))(jax.random.split(jax.random.key(2), 2000), theta)
    scores = jax.jit(jax.vmap(jax.grad(model.log_likelihood), (None, 0)))(theta, maps)
    fisher = np.asarray(fisher_of(model, np.asarray(theta)))
    # The covariance of 2000 scores is known to 3 %. At the Nyquist frequency real amplitudes scatter less than they count.
    np.testing.assert_allclose(np.cov(np.asarray(scores).T) / fisher, 1, atol=0.12)
    pull = np.asarray(scores).mean(axis=0) / np.sqrt(np.diag(fisher) / 2000)
    assert np.abs(pull).max() < 4


def test_maps_can_be_differentiated():
    model, key = LognormalOverdensity(Plane(16, 160.0)), jax.random.key(3)
    theta = model.parameters.fiducial
    slope = jax.jvp(lambda t: model.simulate_at(key, t), (theta,), (jnp.array([0.0, 1.0]),))[1]
    step = 1e-2 * jnp.array([0.0, 1.0])
    finite = (model.simulate_at(key, theta + step) - model.simulate_at(key, theta - step)) / 2e-2
    np.testing.assert_allclose(slope, finite, atol=1e-3)
