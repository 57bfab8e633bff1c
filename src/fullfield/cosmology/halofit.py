"""Non-linear matter power: the halofit of Takahashi et al. 2012. Wavenumbers in h/Mpc, powers in (Mpc/h)³."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.cosmology.background import expansion_terms
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.growth import growth_factor
from fullfield.cosmology.linear_power import AbstractTransfer, EisensteinHu, linear_spectrum, LinearSpectrum


_LOG_RADIUS = (math.log(1 / 3000), math.log(100), 96)  # first, last and number of radii that bracket the root, Mpc/h
_NEWTON_STEPS = 3
_FADE = (math.log(300), math.log(3000))  # non-linear wavenumbers, h/Mpc, between which halofit fades into linear theory


class AbstractPower(eqx.Module):
    """Recipe for the matter power spectrum."""

    @abc.abstractmethod
    def __call__(
        self, cosmology: Cosmology, k: Float[Array, "nk na"] | Float[Array, "nk 1"], a: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at wavenumbers `k`, h/Mpc, one column per scale factor `a`."""


class Linear(AbstractPower):
    """Linear theory: P(k) D²(a).

    Args:
        transfer: transfer function.
    """

    transfer: AbstractTransfer = EisensteinHu()

    def __call__(
        self, cosmology: Cosmology, k: Float[Array, "nk na"] | Float[Array, "nk 1"], a: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at wavenumbers `k`, h/Mpc, one column per scale factor `a`."""
        return linear_spectrum(cosmology, self.transfer)(k) * growth_factor(cosmology, a) ** 2


class Halofit(AbstractPower):
    """Takahashi et al. 2012 (ApJ 761, 152), appendix.

    The fit is calibrated for a constant equation of state; for w_a ≠ 0 its w is w(a). Where the non-linear wavenumber exceeds
    300 h/Mpc, far outside its calibration (k ≤ 30 h/Mpc), it fades smoothly into linear theory, reached at 3000 h/Mpc.

    Args:
        transfer: transfer function of the linear power.
    """

    transfer: AbstractTransfer = EisensteinHu()

    def __call__(
        self, cosmology: Cosmology, k: Float[Array, "nk na"] | Float[Array, "nk 1"], a: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at wavenumbers `k`, h/Mpc, one column per scale factor `a`."""
        spectrum = linear_spectrum(cosmology, self.transfer)
        d = growth_factor(cosmology, a)
        linear = spectrum(k) * d**2
        scale = nonlinear_scale(spectrum, d)
        to_dimensionless = k**3 / (2 * math.pi**2)
        boosted = _takahashi(cosmology, to_dimensionless * linear, k, a, scale) / to_dimensionless
        return linear + scale.weight * (boosted - linear)


class NonlinearScale(eqx.Module):
    """Where the Gaussian-filtered density has unit variance, one number per scale factor.

    Args:
        log_radius: ln R, R in Mpc/h with σ(R) = 1.
        index: effective slope −3 − d ln σ²/d ln R.
        curvature: −d² ln σ²/d ln R².
        weight: one where such a scale exists, fading to zero where it leaves the tabulated range.
    """

    log_radius: Float[Array, " na"]
    index: Float[Array, " na"]
    curvature: Float[Array, " na"]
    weight: Float[Array, " na"]


def nonlinear_scale(spectrum: LinearSpectrum, growth_factor: Float[Array, " na"]) -> NonlinearScale:
    """Solve D²(a) σ²(R) = 1, σ²(R) = ∫ d ln k k³P(k)/(2π²) exp(−k²R²), for R; Takahashi et al. 2012, eqs. A4 and A5.

    The root is found without derivatives, and one further Newton step from it carries exactly the derivative of the implicit
    function. Where variance never reaches one the radius stays at the end of its range with zero weight.
    """
    first, last, _ = _LOG_RADIUS
    target = -2 * jnp.log(growth_factor)
    root = jax.lax.stop_gradient(_root(spectrum, target))
    value, slope, second, third = _log_variance(spectrum, root)
    shift = -(value - target) / _away_from_zero(slope)
    log_radius = jnp.clip(root + shift, first, last)
    shift = log_radius - root
    t = jnp.clip((-log_radius - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    weight = 1 - t**3 * (10 - 15 * t + 6 * t**2)
    return NonlinearScale(log_radius, -3 - (slope + second * shift), -(second + third * shift), weight)


def _root(spectrum, target):
    first, last, n = _LOG_RADIUS
    log_radii = np.linspace(first, last, n)
    filters = np.exp(-np.exp(2 * log_radii)[:, None] * spectrum.nodes() ** 2)
    table = jnp.log(jnp.asarray(filters) @ spectrum.variance)
    above = jnp.sum(table > target[:, None], axis=-1)
    log_radius = first + (last - first) / (n - 1) * (jnp.clip(above, 1, n - 1) - 0.5)
    for _ in range(_NEWTON_STEPS):
        value, slope, *_ = _log_variance(spectrum, log_radius)
        log_radius = jnp.clip(log_radius - (value - target) / _away_from_zero(slope), first, last)
    return log_radius


def _log_variance(spectrum, log_radius):
    """ln σ² and its first three derivatives in ln R."""
    x = jnp.exp(2 * log_radius)[:, None] * jnp.asarray(spectrum.nodes() ** 2)
    filtered = jnp.exp(-x)
    m0, m1, m2, m3 = ((x**p * filtered) @ spectrum.variance for p in range(4))
    r1, r2, r3 = -2 * m1 / m0, 4 * (m2 - m1) / m0, 8 * (3 * m2 - m1 - m3) / m0
    return jnp.log(m0), r1, r2 - r1**2, r3 - 3 * r1 * r2 + 2 * r1**3


def _away_from_zero(slope):
    return jnp.minimum(slope, -1e-3)


def _takahashi(cosmology, linear, k, a, scale):
    """Dimensionless non-linear power; Takahashi et al. 2012, eqs. A1-A14."""
    n, c = scale.index, scale.curvature
    matter, curved, dark = expansion_terms(cosmology, a)
    total = matter + curved + dark
    dark_term = dark / total * (1 + cosmology.w_0 + cosmology.w_a * (1 - a))
    ln10 = math.log(10)
    log_an = ln10 * (1.5222 + n * (2.8553 + n * (2.3706 + n * (0.9903 + n * 0.2250))) - 0.6038 * c + 0.1749 * dark_term)
    log_bn = ln10 * (-0.5642 + n * (0.5864 + n * 0.5716) - 1.5474 * c + 0.2279 * dark_term)
    log_cn = ln10 * (0.3698 + n * (2.0404 + n * 0.8161) + 0.5869 * c)
    gamma = 0.1971 - 0.0843 * n + 0.8460 * c
    alpha = jnp.abs(6.0835 + n * (1.3373 - n * 0.1959) - 5.5274 * c)
    beta = 2.0379 + n * (-0.7354 + n * (0.3157 + n * (1.2490 + n * 0.3980))) - 0.1682 * c
    log_nu = ln10 * (5.2105 + 3.6902 * n)

    # Flat and open fits, mixed by the share of dark energy in what is not matter (Smith et al. 2003, eqs. C17 and C18).
    log_matter = jnp.log(matter / total)
    others = 1 - matter / total
    nearly_flat_matter = jnp.abs(others) < 1e-3
    share = jnp.where(nearly_flat_matter, 1.0, dark / total / jnp.where(nearly_flat_matter, 1.0, others))
    f1, f2, f3 = (
        share * jnp.exp(flat * log_matter) + (1 - share) * jnp.exp(opened * log_matter)
        for flat, opened in ((-0.0307, -0.0732), (-0.0585, -0.1423), (0.0743, 0.0725))
    )

    log_y = jnp.log(k) + scale.log_radius
    y = jnp.exp(log_y)
    quasi_linear = linear * jnp.exp(beta * jnp.log1p(linear) - y / 4 - y**2 / 8) / (1 + alpha * linear)
    decline = 1 + jnp.exp(log_bn + f2 * log_y) + jnp.exp((3 - gamma) * (log_cn + jnp.log(f3) + log_y))
    one_halo = jnp.exp(log_an + 3 * f1 * log_y) / (decline * (1 + jnp.exp(log_nu - 2 * log_y)))
    return quasi_linear + one_halo


def nonlinear_power(
    cosmology: Cosmology, k: Float[Array, " nk"], a: Float[Array, " na"], power: AbstractPower | None = None
) -> Float[Array, "nk na"]:
    """Matter power P(k, a), (Mpc/h)³, at `k` in h/Mpc and scale factors `a`; halofit unless another `power` is given."""
    return (power or Halofit())(cosmology, k[:, None], a)
