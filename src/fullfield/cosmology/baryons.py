"""What baryons do to the matter power on small scales today: factors on P(k), fits to simulations. Wavenumbers in h/Mpc."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.cosmology import Scalar


STELLAR = 55.0  # h/Mpc, Schneider & Teyssier 2015, below eq. 4.4

# Table 2 of van Daalen, McCarthy & Schaye 2020 for fractions within R500 of the critical density, as in the authors' fit.
_RISE, _FALL, _SCALE, _DEPTH, _OFFSET = 2.215, 0.1276, 1.309, -5.99, -0.5107


@full_precision
def ejected_gas_suppression(k: Float[Array, "*n"], log_mass: Scalar, ejection: Scalar) -> Float[Array, "*n"]:
    """Factor by which ejected gas and stars change the power today.

    S = [B / (1 + (k / k_g)³) + 1 - B] [1 + (k / k_s)²], B = .105 log₁₀ M_c - 1.27, k_g = .7 (1 - B)⁴ η⁻¹·⁶
    (Schneider & Teyssier 2015, JCAP 12, 049, eqs. 4.2-4.4, at redshift zero).

    Args:
        k: wavenumbers.
        log_mass: log₁₀ of M_c, the mass in Msun/h below which haloes have lost half their gas; about 14.1.
        ejection: η_b, radius of ejection in units of that of escape; about 0.5.
    """
    share = 0.105 * jnp.asarray(log_mass, float) - 1.27
    scale = 0.7 * (1 - share) ** 4 * jnp.asarray(ejection, float) ** -1.6
    return (share / (1 + (k / scale) ** 3) + 1 - share) * (1 + (k / STELLAR) ** 2)


@full_precision
def baryon_fraction_suppression(k: Float[Array, "*n"], fraction: Scalar) -> Float[Array, "*n"]:
    """Factor by which baryons change the power today, from how many of them groups of 10¹⁴ Msun have kept.

    S = 1 - [2^a + 2^b (c f)^(b - a)] / [k^-a + k^-b (c f)^(b - a)] exp(d f + e) (van Daalen, McCarthy & Schaye 2020, MNRAS 491,
    2424, eq. 5), fitted at k < 1 h/Mpc and continued here.

    Args:
        k: wavenumbers.
        fraction: f, the baryon fraction within R500 in units of the mean; 0.5 to 1 in simulations.
    """
    f = jnp.asarray(fraction, float)
    bend = jnp.exp((_FALL - _RISE) * jnp.log(_SCALE * f))
    depth = (2**_RISE + 2**_FALL * bend) * jnp.exp(_DEPTH * f + _OFFSET)
    log_k = jnp.log(k)
    return 1 - depth / (jnp.exp(-_RISE * log_k) + jnp.exp(-_FALL * log_k) * bend)
