"""Normalisation, transfer functions and the non-linear scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pyccl
import pytest
from ccl_referee import FIDUCIAL

from fullfield.cosmology import (
    Cosmology,
    EisensteinHu,
    EisensteinHuNoWiggle,
    growth_factor,
    Halofit,
    halofit,
    Linear,
    linear_power,
    nonlinear_power,
    sigma,
)  # fmt: skip
from fullfield.cosmology.halofit import nonlinear_scale
from fullfield.cosmology.linear import linear_spectrum


COSMOLOGY = Cosmology(*FIDUCIAL)
K = jnp.geomspace(1e-3, 20, 60)
TODAY = jnp.ones(1)


def with_sigma_8(value):
    return Cosmology(*FIDUCIAL[:4], value, w_0=FIDUCIAL[5])


@pytest.mark.parametrize("transfer", [EisensteinHu(), EisensteinHuNoWiggle()])
def test_sigma_8_is_the_one_asked_for(transfer):
    """Integrated independently: trapezoid over 20000 wavenumbers."""
    k = np.geomspace(1e-5, 1e3, 20000)
    power = np.asarray(linear_power(COSMOLOGY, jnp.asarray(k, float), TODAY, transfer))[:, 0]
    x = 8 * k
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    window[x < 1e-2] = 1.0
    variance = np.trapezoid(k**3 * power / (2 * np.pi**2) * window**2, np.log(k))
    assert np.sqrt(variance) == pytest.approx(FIDUCIAL[4], rel=2e-4)
    assert float(sigma(COSMOLOGY, 8.0, transfer)) == pytest.approx(FIDUCIAL[4], rel=1e-5)


def test_power_without_wiggles_is_ccls():
    omega_c, omega_b, h, n_s, sigma_8, w_0 = FIDUCIAL
    theirs = pyccl.Cosmology(
        Omega_c=omega_c, Omega_b=omega_b, h=h, n_s=n_s, sigma8=sigma_8, w0=w_0,
        Omega_g=0, Neff=0, transfer_function="eisenstein_hu_nowiggles",
    ).linear_matter_power(np.asarray(K, float) * h, 1.0)  # fmt: skip
    mine = linear_power(COSMOLOGY, K, TODAY, EisensteinHuNoWiggle())[:, 0]
    np.testing.assert_allclose(mine, theirs * h**3, rtol=2e-3)


def test_table_in_the_power_recipes_is_the_transfer_function():
    a = jnp.array([0.3, 1.0])
    growth = growth_factor(COSMOLOGY, a)
    np.testing.assert_allclose(Linear()(COSMOLOGY, jnp.log(K)[:, None], a, growth), linear_power(COSMOLOGY, K, a), rtol=5e-4)


def test_nonlinear_scale_is_a_root():
    """σ²(R) of the radius found, by the trapezoid rule on 4000 wavenumbers, is one."""
    a = 1 / (1 + jnp.array([0.0, 0.5, 1.0, 2.0, 3.0]))
    scale = jax.jit(lambda a: nonlinear_scale(linear_spectrum(COSMOLOGY, EisensteinHu()), growth_factor(COSMOLOGY, a)))(a)
    radius = np.exp(scale.log_radius)
    k = np.geomspace(1e-5, 3e3, 4000)
    power = np.asarray(linear_power(COSMOLOGY, jnp.asarray(k, float), a))
    variance = np.trapezoid((k**3 / (2 * np.pi**2))[:, None] * power * np.exp(-((k[:, None] * radius) ** 2)), np.log(k), axis=0)
    np.testing.assert_allclose(variance, 1, rtol=2e-4)


@pytest.mark.parametrize("z", [0.0, 1.0])
def test_derivative_in_sigma_8_agrees_with_a_secant(z):
    k, a = jnp.array([0.3, 1.0, 5.0]), jnp.array([1 / (1 + z)])

    def log_power(value):
        return jnp.log(nonlinear_power(with_sigma_8(value), k, a)[:, 0])

    with jax.enable_x64(True):
        low, high = 0.79, 0.83
        secant = (log_power(jnp.asarray(high)) - log_power(jnp.asarray(low))) / (high - low)
        # Simpson's rule turns slopes at three places into the mean slope.
        slopes = jax.jit(jax.vmap(jax.jacfwd(log_power)))(jnp.linspace(low, high, 3))
        mean = jnp.array([1.0, 4.0, 1.0]) @ slopes / 6
    np.testing.assert_allclose(mean, secant, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(jax.jacrev(log_power))(0.81), secant, rtol=5e-3)


def test_derivative_in_sigma_8_needs_the_moving_scale(monkeypatch):
    """The broken twin: with the non-linear scale held fixed the slope misses the secant."""
    log_k = jnp.log(jnp.array([[1.0], [5.0]]))

    def log_power(value):
        return jnp.log(Halofit()(with_sigma_8(value), log_k, TODAY, TODAY)[:, 0])

    low, high = jax.jit(jax.vmap(log_power))(jnp.array([0.79, 0.83]))
    monkeypatch.setattr(halofit, "nonlinear_scale", lambda *args: jax.lax.stop_gradient(nonlinear_scale(*args)))
    assert np.all(np.abs(jax.jit(jax.jacfwd(log_power))(0.81) / (high - low) * 0.04 - 1) > 5e-3)


def test_weak_clustering_is_linear():
    """With σ8 so small that no scale is non-linear, halofit hands over to linear theory, values and gradients."""
    a = jnp.array([0.1, 1.0])

    def log_ratio(value):
        cosmology = with_sigma_8(value)
        return jnp.log(nonlinear_power(cosmology, K, a) / linear_power(cosmology, K, a))

    value, slope = jax.jit(lambda v: (log_ratio(v), jax.jacfwd(log_ratio)(v)))(0.02)
    np.testing.assert_allclose(value, 0, atol=1e-3)
    np.testing.assert_allclose(slope, 0, atol=1e-2)


def test_power_is_continuous_where_halofit_fades():
    """Through all weights from one to zero, steps of ln P under steps of σ8 stay small: no jump."""
    values = jnp.linspace(0.05, 0.6, 400)
    a = jnp.array([0.2])

    @jax.jit
    @jax.vmap
    def power_and_weight(value):
        cosmology = with_sigma_8(value)
        scale = nonlinear_scale(linear_spectrum(cosmology, EisensteinHu()), growth_factor(cosmology, a))
        return jnp.log(nonlinear_power(cosmology, jnp.array([1.0, 10.0]), a)), scale.weight

    log_power, weight = power_and_weight(values)
    np.testing.assert_allclose([weight.min(), weight.max()], [0, 1], atol=1e-6)
    assert np.sum((weight > 0.01) & (weight < 0.99)) > 10
    step = np.diff(np.asarray(log_power), axis=0)
    assert np.all(step > 0)
    assert np.all(step < 8 * np.diff(np.log(values))[:, None, None])  # d ln P / d ln σ8 is below 8
