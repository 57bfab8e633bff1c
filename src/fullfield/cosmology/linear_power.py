"""Linear matter power of Eisenstein & Hu, normalised by σ8. Wavenumbers in h/Mpc, powers in (Mpc/h)³."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.cosmology.constants import CMB_TEMPERATURE
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.growth import growth_factor


_THETA = CMB_TEMPERATURE / 2.7
_LOG_K = (math.log(1e-4), math.log(1e4), 256)  # first, last and number of nodes of the integrals over ln k


class AbstractTransfer(eqx.Module):
    """Transfer function of matter."""

    @abc.abstractmethod
    def __call__(self, cosmology: Cosmology, k: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Transfer function T(k), one on large scales, at `k` in h/Mpc."""


class EisensteinHu(AbstractTransfer):
    """Cold matter and baryons with acoustic oscillations: Eisenstein & Hu 1998 (ApJ 496, 605), eqs. 2-24."""

    def __call__(self, cosmology: Cosmology, k: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Transfer function T(k) at `k` in h/Mpc; it changes sign where baryons dominate."""
        matter = cosmology.omega_m * cosmology.h**2
        baryon = cosmology.omega_b * cosmology.h**2
        baryon_share = cosmology.omega_b / cosmology.omega_m
        # At exactly no dark matter the power law of eq. 12 has no derivative in floating point.
        cold_share = jnp.maximum(1 - baryon_share, 1e-6)
        k = k * cosmology.h  # 1/Mpc from here on

        # Equality, drag epoch, sound horizon, Silk scale: eqs. 2-7.
        z_equality = 2.5e4 * matter * _THETA**-4
        k_equality = 7.46e-2 * matter * _THETA**-2
        b1 = 0.313 * matter**-0.419 * (1 + 0.607 * matter**0.674)
        b2 = 0.238 * matter**0.223
        z_drag = 1291 * matter**0.251 / (1 + 0.659 * matter**0.828) * (1 + b1 * baryon**b2)
        ratio_drag = 31.5e3 * baryon * _THETA**-4 / z_drag
        ratio_equality = 31.5e3 * baryon * _THETA**-4 / z_equality
        horizon_log = jnp.log(
            (jnp.sqrt(1 + ratio_drag) + jnp.sqrt(ratio_drag + ratio_equality)) / (1 + jnp.sqrt(ratio_equality))
        )
        horizon = 2 / (3 * k_equality) * jnp.sqrt(6 / ratio_equality) * horizon_log
        k_silk = 1.6 * baryon**0.52 * matter**0.73 * (1 + (10.4 * matter) ** -0.95)

        # Cold dark matter: eqs. 9-12 and 17-20.
        a1 = (46.9 * matter) ** 0.670 * (1 + (32.1 * matter) ** -0.532)
        a2 = (12.0 * matter) ** 0.424 * (1 + (45.0 * matter) ** -0.582)
        alpha_c = a1**-baryon_share * a2 ** -(baryon_share**3)
        c1 = 0.944 / (1 + (458 * matter) ** -0.708)
        c2 = (0.395 * matter) ** -0.0266
        beta_c = 1 / (1 + c1 * (cold_share**c2 - 1))
        q = k / (13.41 * k_equality)
        curve = 386 / (1 + 69.9 * q**1.08)
        log_cold, log_plain = jnp.log(math.e + 1.8 * beta_c * q), jnp.log(math.e + 1.8 * q)
        shape_1 = log_cold / (log_cold + (14.2 + curve) * q**2)
        shape_alpha = log_cold / (log_cold + (14.2 / alpha_c + curve) * q**2)
        ks = k * horizon
        mix = 1 / (1 + (ks / 5.4) ** 4)
        cold = mix * shape_1 + (1 - mix) * shape_alpha

        # Baryons: eqs. 13-15 and 21-24.
        y = (1 + z_equality) / (1 + z_drag)
        root = jnp.sqrt(1 + y)
        suppression = y * (-6 * root + (2 + 3 * y) * jnp.log((root + 1) ** 2 / y))
        alpha_b = 2.07 * k_equality * horizon * (1 + ratio_drag) ** -0.75 * suppression
        beta_b = 0.5 + baryon_share + (3 - 2 * baryon_share) * jnp.sqrt((17.2 * matter) ** 2 + 1)
        node = 8.41 * matter**0.435
        phase = ks / jnp.cbrt(1 + (node / ks) ** 3)
        silk = jnp.exp(-((k / k_silk) ** 1.4))
        plain = log_plain / (log_plain + (14.2 + curve) * q**2)
        wave = jnp.sinc(phase / math.pi)
        baryons = wave * (plain / (1 + (ks / 5.2) ** 2) + alpha_b / (1 + (beta_b / ks) ** 3) * silk)
        return baryon_share * baryons + cold_share * cold


class EisensteinHuNoWiggle(AbstractTransfer):
    """The same without acoustic oscillations: Eisenstein & Hu 1998 (ApJ 496, 605), eqs. 26 and 28-31."""

    def __call__(self, cosmology: Cosmology, k: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Transfer function T(k) at `k` in h/Mpc."""
        matter = cosmology.omega_m * cosmology.h**2
        baryon_share = cosmology.omega_b / cosmology.omega_m
        horizon = 44.5 * jnp.log(9.83 / matter) / jnp.sqrt(1 + 10 * (cosmology.omega_b * cosmology.h**2) ** 0.75)
        alpha = 1 - 0.328 * jnp.log(431 * matter) * baryon_share + 0.38 * jnp.log(22.3 * matter) * baryon_share**2
        alpha = jnp.maximum(alpha, 0.05)  # the fit turns negative where baryons dominate
        shape = cosmology.omega_m * cosmology.h * (alpha + (1 - alpha) / (1 + (0.43 * k * cosmology.h * horizon) ** 4))
        q = k * _THETA**2 / shape
        log = jnp.log(2 * math.e + 1.8 * q)
        return log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q**2)


class LinearSpectrum(eqx.Module):
    """Linear matter power today, P(k) = amplitude k^n_s T²(k); made by `linear_spectrum`.

    Args:
        cosmology: the universe.
        transfer: its transfer function.
        amplitude: factor that makes σ(8 Mpc/h) = sigma_8.
        variance: k³P/(2π²) Δln k at `nodes()`: sums of it are integrals over ln k.
    """

    cosmology: Cosmology
    transfer: AbstractTransfer
    amplitude: Float[Array, ""]
    variance: Float[Array, " nk"]

    def __call__(self, k: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Linear power today, (Mpc/h)³, at `k` in h/Mpc."""
        return self.amplitude * _shape(self.cosmology, self.transfer, k)

    @staticmethod
    def nodes() -> np.ndarray:
        """Wavenumbers of the integrals over ln k, h/Mpc, (nk,)."""
        return np.exp(np.linspace(*_LOG_K))


def linear_spectrum(cosmology: Cosmology, transfer: AbstractTransfer) -> LinearSpectrum:
    """Linear matter power today with the cosmology's σ8."""
    k = LinearSpectrum.nodes()
    log_step = math.log(k[1] / k[0])
    variance = jnp.asarray(k**3 * log_step / (2 * math.pi**2)) * _shape(cosmology, transfer, jnp.asarray(k))
    amplitude = cosmology.sigma_8**2 / (variance @ _top_hat(jnp.asarray(8 * k)) ** 2)
    return LinearSpectrum(cosmology, transfer, amplitude, amplitude * variance)


def _shape(cosmology, transfer, k):
    return jnp.exp(cosmology.n_s * jnp.log(k)) * transfer(cosmology, k) ** 2


def _top_hat(x):
    safe = jnp.maximum(x, 0.1)
    return jnp.where(x < 0.1, 1 - x**2 / 10, 3 * (jnp.sin(safe) - safe * jnp.cos(safe)) / safe**3)


def sigma(
    cosmology: Cosmology, radius: Float[Array, "*n"] | float, transfer: AbstractTransfer | None = None
) -> Float[Array, "*n"]:
    """Rms of the linear density today in spheres of `radius` Mpc/h, for radii of 0.01 to 100 Mpc/h.

    σ²(R) = ∫ d ln k k³P(k)/(2π²) [3 j1(kR)/(kR)]².
    """
    spectrum = linear_spectrum(cosmology, transfer or EisensteinHu())
    window = _top_hat(jnp.asarray(radius)[..., None] * jnp.asarray(spectrum.nodes()))
    return jnp.sqrt(window**2 @ spectrum.variance)


def linear_power(
    cosmology: Cosmology, k: Float[Array, " nk"], a: Float[Array, " na"], transfer: AbstractTransfer | None = None
) -> Float[Array, "nk na"]:
    """Linear matter power P(k, a), (Mpc/h)³, at `k` in h/Mpc and scale factors `a`."""
    spectrum = linear_spectrum(cosmology, transfer or EisensteinHu())
    return spectrum(k)[:, None] * growth_factor(cosmology, a) ** 2
