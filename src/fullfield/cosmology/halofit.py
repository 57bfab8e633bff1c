"""Non-linear matter power: the halofit of Takahashi et al. 2012. Wavenumbers in h/Mpc, powers in (Mpc/h)³."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.background import equation_of_state, expansion_terms
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.evolution import growth_factor
from fullfield.cosmology.linear import AbstractTransfer, EisensteinHu, linear_spectrum, LinearSpectrum


_LOG_RADIUS = (math.log(1e-3), math.log(100), 93)  # first, last and number of radii that bracket the root, Mpc/h
_NEWTON_STEPS = 3
_FADE = (math.log(100), math.log(1000))  # non-linear wavenumbers, h/Mpc, between which halofit fades into linear theory


class AbstractPower(eqx.Module):
    """Recipe for the matter power spectrum."""

    @abc.abstractmethod
    def __call__(
        self, cosmology: Cosmology, log_k: Float[Array, "nk #na"], a: Float[Array, " na"], growth: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at ln k, k in h/Mpc, one column per scale factor `a` with its growth factor."""


class Linear(AbstractPower):
    """Linear theory: P(k) D²(a).

    Args:
        transfer: transfer function.
    """

    transfer: AbstractTransfer = EisensteinHu()

    def __call__(
        self, cosmology: Cosmology, log_k: Float[Array, "nk #na"], a: Float[Array, " na"], growth: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at ln k, k in h/Mpc, one column per scale factor `a` with its growth factor."""
        return linear_spectrum(cosmology, self.transfer)(log_k) * growth**2


class Halofit(AbstractPower):
    """Takahashi et al. 2012 (ApJ 761, 152), appendix.

    The fit is calibrated for a constant equation of state; for w_a ≠ 0 its w is w(a). Where the non-linear wavenumber exceeds
    100 h/Mpc, far outside its calibration (k ≤ 30 h/Mpc), it fades smoothly into linear theory, reached at 1000 h/Mpc.

    Args:
        transfer: transfer function of the linear power.
    """

    transfer: AbstractTransfer = EisensteinHu()

    def __call__(
        self, cosmology: Cosmology, log_k: Float[Array, "nk #na"], a: Float[Array, " na"], growth: Float[Array, " na"]
    ) -> Float[Array, "nk na"]:
        """Matter power, (Mpc/h)³, at ln k, k in h/Mpc, one column per scale factor `a` with its growth factor."""
        spectrum = linear_spectrum(cosmology, self.transfer)
        linear = spectrum(log_k) * growth**2
        scale = nonlinear_scale(spectrum, growth)
        boosted = _takahashi(cosmology, linear, log_k, a, scale)
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


@full_precision
def nonlinear_scale(spectrum: LinearSpectrum, growth_factor: Float[Array, " na"]) -> NonlinearScale:
    """Solve D²(a) σ²(R) = 1, σ²(R) = ∫ d ln k k³P(k)/(2π²) exp(−k²R²), for R; Takahashi et al. 2012, eqs. A4 and A5.

    ln σ² and its first four derivatives in ln R are exact sums on a table of radii, and a quartic about the nearest one
    carries them to the root. The root is found without derivatives; one further Newton step from it has the derivative of
    the implicit function. Where the variance never reaches one the radius stays at the end of its range with zero weight.
    """
    first, last, n = _LOG_RADIUS
    spacing = (last - first) / (n - 1)
    table = _log_variance(spectrum)
    target = -2 * jnp.log(growth_factor)
    halfway = (table[0, 1:] + table[0, :-1]) / 2
    nearest = jnp.sum(halfway > target[:, None], axis=-1)
    # A product with zeros and a one, not a look-up: its reverse derivative would be a scatter, slow to compile and to run.
    value, slope, second, third, fourth = table @ (jnp.arange(n)[:, None] == nearest).astype(table.dtype)

    def gradient(t):
        return slope + t * (second + t * (third / 2 + t * fourth / 6))

    def newton(t):
        residual = value - target + t * (slope + t * (second / 2 + t * (third / 6 + t * fourth / 24)))
        return jnp.clip(t - residual / jnp.minimum(gradient(t), -1e-3), -spacing, spacing)

    t = jnp.zeros_like(target)
    for _ in range(_NEWTON_STEPS):
        t = newton(t)
    t = newton(jax.lax.stop_gradient(t))
    log_radius = first + spacing * nearest + t
    fade = jnp.clip((-log_radius - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    weight = 1 - fade**3 * (10 - 15 * fade + 6 * fade**2)
    curvature = -(second + t * (third + t * fourth / 2))
    return NonlinearScale(log_radius, -3 - gradient(t), curvature, weight)


@full_precision
def _log_variance(spectrum):
    """ln σ² and its first four derivatives in ln R (5, radii), filtered with a Gaussian."""
    x = np.exp(2 * np.linspace(*_LOG_RADIUS))[:, None] * spectrum.nodes() ** 2
    filters = np.concatenate([x**p * np.exp(-x) for p in range(5)])
    m0, *moments = (jnp.asarray(filters, float) @ spectrum.variance).reshape(5, -1)
    m1, m2, m3, m4 = (moment / m0 for moment in moments)
    r1, r2, r3, r4 = -2 * m1, 4 * (m2 - m1), 8 * (3 * m2 - m1 - m3), 16 * (7 * m2 - m1 - 6 * m3 + m4)
    # From the derivatives of σ² over σ² to those of its logarithm.
    second, third = r2 - r1**2, r3 - 3 * r1 * r2 + 2 * r1**3
    fourth = r4 - 4 * r1 * r3 - 3 * r2**2 + 12 * r1**2 * r2 - 6 * r1**4
    return jnp.stack([jnp.log(m0), r1, second, third, fourth])


def _takahashi(cosmology, linear, log_k, a, scale):
    """Non-linear power where the linear power is `linear`; Takahashi et al. 2012, eqs. A1-A14."""
    n, c = scale.index, scale.curvature
    matter, curved, dark = expansion_terms(cosmology, a)
    total = matter + curved + dark
    dark_term = dark / total * (1 + equation_of_state(cosmology, a))
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

    k = jnp.exp(log_k)
    y, log_y = k * jnp.exp(scale.log_radius), log_k + scale.log_radius
    dimensionless = linear * k**3 / (2 * math.pi**2)
    damping = jnp.exp(beta * jnp.log1p(dimensionless) - y / 4 - y**2 / 8)
    quasi_linear = linear * damping / (1 + alpha * dimensionless)
    decline = 1 + jnp.exp(log_bn + f2 * log_y) + jnp.exp((3 - gamma) * (log_cn + jnp.log(f3) + log_y))
    # The one-halo term is y^(3 f1) over k³: one exponential, whose arguments never overflow.
    one_halo = jnp.exp(log_an + math.log(2 * math.pi**2) + 3 * f1 * log_y - 3 * log_k)
    return quasi_linear + one_halo / (decline * (1 + jnp.exp(log_nu) / y**2))


@jax.jit
def nonlinear_power(
    cosmology: Cosmology, k: Float[Array, " nk"], a: Float[Array, " na"], power: AbstractPower | None = None
) -> Float[Array, "nk na"]:
    """Matter power P(k, a), (Mpc/h)³, at `k` in h/Mpc and scale factors `a`; halofit unless another `power` is given."""
    return (power or Halofit())(cosmology, jnp.log(k)[:, None], a, growth_factor(cosmology, a))
