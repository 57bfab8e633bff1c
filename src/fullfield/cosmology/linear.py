"""Linear matter power of Eisenstein & Hu, normalised by σ8. Wavenumbers in h/Mpc, powers in (Mpc/h)³."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.constants import CMB_TEMPERATURE
from fullfield.cosmology.cosmology import Cosmology, Scalar
from fullfield.cosmology.evolution import growth_factor
from fullfield.cosmology.tabulate import Cubics, tabulate


_THETA = CMB_TEMPERATURE / 2.7
_LOG_K = (math.log(2e-5), math.log(4e3), 513)  # first, last and number of nodes of the table

_FITS = (
    *((1.0, -0.419), (1.0, 0.674), (1.0, 0.223), (1.0, 0.251), (1.0, 0.828)),  # drag epoch, eq. 4
    (10.4, -0.95),  # Silk scale, eq. 7
    *((32.1, -0.532), (45.0, -0.582)),  # suppression of dark matter, eq. 11
    *((458.0, -0.708), (0.395, -0.0266)),  # its logarithm, eq. 12
    (1.0, 0.435),  # node shift, eq. 23
)


class AbstractTransfer(eqx.Module):
    """Transfer function of matter; without array fields."""

    @abc.abstractmethod
    def __call__(self, log_k: Float[Array, "*n"], matter: Float[Array, ""], baryon: Float[Array, ""]) -> Float[Array, "*n"]:
        """Transfer function T(k), one on large scales, of a universe with physical densities Ωm h² and Ωb h².

        Args:
            log_k: ln k, k in 1/Mpc (no h).
            matter: Ωm h².
            baryon: Ωb h².
        """


class EisensteinHu(AbstractTransfer):
    """Cold matter and baryons with acoustic oscillations: Eisenstein & Hu 1998 (ApJ 496, 605), eqs. 2-24."""

    def __call__(self, log_k: Float[Array, "*n"], matter: Float[Array, ""], baryon: Float[Array, ""]) -> Float[Array, "*n"]:
        """Transfer function T(k) at ln k, k in 1/Mpc; it changes sign where baryons dominate."""
        baryon_share = baryon / matter
        # At exactly no dark matter the power law of eq. 12 has no derivative in floating point.
        cold_share = jnp.maximum(1 - baryon_share, 1e-6)
        log_matter, log_baryon = jnp.log(matter), jnp.log(baryon)
        # All powers (factor Ωm h²)^exponent of the fits, in one exponential because each would be compiled by itself.
        factor, exponent = jnp.asarray(_FITS, float).T
        b1, b1_slope, b2, z_slope, z_turn, silk, a1, a2, c1, c2, node = jnp.exp(exponent * (jnp.log(factor) + log_matter))

        # Equality, drag epoch, sound horizon, Silk scale: eqs. 2-7. As in the authors' own code the fit of equality is 1 + z,
        # and the ratio of baryons to photons (eq. 5) is taken at 1 + z.
        equality = 2.5e4 * matter * _THETA**-4
        k_equality = 7.46e-2 * matter * _THETA**-2
        rise = 0.313 * b1 * (1 + 0.607 * b1_slope) * jnp.exp(0.238 * b2 * log_baryon)
        drag = 1 + 1291 * z_slope / (1 + 0.659 * z_turn) * (1 + rise)
        ratio_drag = 31.5e3 * baryon * _THETA**-4 / drag
        ratio_equality = 31.5e3 * baryon * _THETA**-4 / equality
        horizon_log = jnp.log(
            (jnp.sqrt(1 + ratio_drag) + jnp.sqrt(ratio_drag + ratio_equality)) / (1 + jnp.sqrt(ratio_equality))
        )
        horizon = 2 / (3 * k_equality) * jnp.sqrt(6 / ratio_equality) * horizon_log
        log_silk = math.log(1.6) + 0.52 * log_baryon + 0.73 * log_matter + jnp.log1p(silk)

        # Amplitudes, suppressions and phase shifts: eqs. 11, 12, 14, 15, 23 and 24.
        log_a1 = 0.670 * (math.log(46.9) + log_matter) + jnp.log1p(a1)
        log_a2 = 0.424 * (math.log(12.0) + log_matter) + jnp.log1p(a2)
        inverse_alpha_c = jnp.exp(baryon_share * log_a1 + baryon_share**3 * log_a2)
        beta_c = 1 / (1 + 0.944 / (1 + c1) * (jnp.exp(c2 * jnp.log(cold_share)) - 1))
        y = equality / drag
        root = jnp.sqrt(1 + y)
        suppression = y * (-6 * root + (2 + 3 * y) * jnp.log((root + 1) ** 2 / y))
        alpha_b = 2.07 * k_equality * horizon * jnp.exp(-0.75 * jnp.log1p(ratio_drag)) * suppression
        beta_b = 0.5 + baryon_share + (3 - 2 * baryon_share) * jnp.sqrt((17.2 * matter) ** 2 + 1)
        node = 8.41 * node

        # Powers of k by exponentials of its logarithm: several times faster than general powers.
        k = jnp.exp(log_k)
        q = k / (13.41 * k_equality)
        ks = k * horizon
        curve = 386 / (1 + 69.9 * jnp.exp(1.08 * (log_k - jnp.log(13.41 * k_equality))))
        log_cold, log_plain = jnp.log(math.e + 1.8 * beta_c * q), jnp.log(math.e + 1.8 * q)

        # Cold dark matter: eqs. 17-20. Baryons: eqs. 21 and 22.
        mix = 1 / (1 + (ks / 5.4) ** 4)
        cold = log_cold * (
            mix / (log_cold + (14.2 + curve) * q**2) + (1 - mix) / (log_cold + (14.2 * inverse_alpha_c + curve) * q**2)
        )
        plain = log_plain / (log_plain + (14.2 + curve) * q**2)
        silk = jnp.exp(-jnp.exp(1.4 * (log_k - log_silk)))
        phase = ks * jnp.exp(-jnp.log1p((node / ks) ** 3) / 3)
        wave = jnp.sin(phase) / phase
        baryons = wave * (plain / (1 + (ks / 5.2) ** 2) + alpha_b / (1 + (beta_b / ks) ** 3) * silk)
        return baryon_share * baryons + cold_share * cold


class EisensteinHuNoWiggle(AbstractTransfer):
    """The same without acoustic oscillations: Eisenstein & Hu 1998 (ApJ 496, 605), eqs. 26 and 28-31."""

    def __call__(self, log_k: Float[Array, "*n"], matter: Float[Array, ""], baryon: Float[Array, ""]) -> Float[Array, "*n"]:
        """Transfer function T(k) at ln k, k in 1/Mpc."""
        share = baryon / matter
        horizon = 44.5 * jnp.log(9.83 / matter) / jnp.sqrt(1 + 10 * jnp.exp(0.75 * jnp.log(baryon)))
        alpha = 1 - 0.328 * jnp.log(431 * matter) * share + 0.38 * jnp.log(22.3 * matter) * share**2
        alpha = jnp.maximum(alpha, 0.05)  # the fit turns negative where baryons dominate
        k = jnp.exp(log_k)
        q = k * _THETA**2 / (matter * (alpha + (1 - alpha) / (1 + (0.43 * k * horizon) ** 4)))
        log = jnp.log(2 * math.e + 1.8 * q)
        return log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q**2)


class LinearSpectrum(eqx.Module):
    """Linear matter power today, P(k) = amplitude k^tilt T²(k), T tabulated; made by `linear_spectrum`.

    Args:
        amplitude: factor that makes σ(8 Mpc/h) = sigma_8.
        tilt: slope of the primordial spectrum.
        transfer: transfer function times 1 + (k / 0.05)² over the nodes of ln k.
        variance: k³P/(2π²) Δln k at `nodes()`: sums of it are integrals over ln k.
    """

    amplitude: Float[Array, ""]
    tilt: Scalar
    transfer: Cubics
    variance: Float[Array, " nk"]

    def __call__(self, log_k: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Linear power today, (Mpc/h)³, at ln k, k in h/Mpc."""
        position = (log_k - _LOG_K[0]) * ((_LOG_K[2] - 1) / (_LOG_K[1] - _LOG_K[0]))
        transferred = self.transfer(position) / _decline(log_k)
        return self.amplitude * jnp.exp(self.tilt * log_k) * transferred**2

    @staticmethod
    def nodes() -> np.ndarray:
        """Wavenumbers of the integrals over ln k, h/Mpc, (nk,): every second one of the table."""
        return np.exp(np.linspace(*_LOG_K)[::2])


@full_precision
def linear_spectrum(cosmology: Cosmology, transfer: AbstractTransfer) -> LinearSpectrum:
    """Linear matter power today with the cosmology's σ8."""
    log_k = np.linspace(*_LOG_K)
    h = cosmology.h
    table = tabulate(
        lambda log_h, matter, baryon: transfer(jnp.asarray(log_k, float) + log_h, matter, baryon),
        jnp.log(jnp.asarray(h, float)), cosmology.omega_m * h**2, cosmology.omega_b * h**2,
    )  # fmt: skip
    k = LinearSpectrum.nodes()
    measure = jnp.asarray(k**3 * math.log(k[1] / k[0]) / (2 * math.pi**2), float)
    variance = measure * jnp.exp(cosmology.n_s * jnp.asarray(log_k[::2], float)) * table[::2] ** 2
    amplitude = cosmology.sigma_8**2 / (variance @ _top_hat(jnp.asarray(8 * k, float)) ** 2)
    slow = table * _decline(jnp.asarray(log_k, float))
    return LinearSpectrum(amplitude, cosmology.n_s, Cubics(slow, _slopes(slow)), amplitude * variance)


def _decline(log_k):
    # A transfer function times this varies slowly, and is interpolated and continued well.
    return 1 + (jnp.exp(log_k) / 0.05) ** 2


def _slopes(values):
    """Differences of fourth order; the ends count as flat."""
    inner = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
    return jnp.pad(inner, 2)


def _top_hat(x):
    safe = jnp.maximum(x, 0.1)
    return jnp.where(x < 0.1, 1 - x**2 / 10, 3 * (jnp.sin(safe) - safe * jnp.cos(safe)) / safe**3)


@jax.jit
@full_precision
def sigma(
    cosmology: Cosmology, radius: Float[Array, "*n"] | float, transfer: AbstractTransfer | None = None
) -> Float[Array, "*n"]:
    """Rms of the linear density today in spheres of `radius` Mpc/h, for radii of 0.01 to 100 Mpc/h.

    σ²(R) = ∫ d ln k k³P(k)/(2π²) [3 j1(kR)/(kR)]².
    """
    spectrum = linear_spectrum(cosmology, transfer or EisensteinHu())
    window = _top_hat(jnp.asarray(radius)[..., None] * jnp.asarray(spectrum.nodes()))
    return jnp.sqrt(window**2 @ spectrum.variance)


@jax.jit
def linear_power(
    cosmology: Cosmology, k: Float[Array, " nk"], a: Float[Array, " na"], transfer: AbstractTransfer | None = None
) -> Float[Array, "nk na"]:
    """Linear matter power P(k, a), (Mpc/h)³, at `k` in h/Mpc and scale factors `a`, its transfer function not interpolated."""
    transfer = transfer or EisensteinHu()
    h = jnp.asarray(cosmology.h, float)
    transferred = transfer(jnp.log(k * h), cosmology.omega_m * h**2, cosmology.omega_b * h**2)
    today = linear_spectrum(cosmology, transfer).amplitude * jnp.exp(cosmology.n_s * jnp.log(k)) * transferred**2
    return today[:, None] * growth_factor(cosmology, a) ** 2
