"""Expansion rate, density fractions and the geometry of curved space."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.cosmology import Cosmology


_CURVATURE_TERMS = 12


def expansion_terms(cosmology: Cosmology, a: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], ...]:
    """Terms of E²(a) = (H/H0)² at scale factors `a`: matter, curvature, dark energy.

    Ωm a⁻³, Ωk a⁻², Ωde a^(−3(1+w0+wa)) e^(−3wa(1−a)); Linder 2003 (PRL 90, 091301), eq. 7.
    """
    w_0, w_a = cosmology.w_0, cosmology.w_a
    dark = jnp.exp(-3 * (1 + w_0 + w_a) * jnp.log(a) - 3 * w_a * (1 - a))
    return cosmology.omega_m / a**3, cosmology.omega_k / a**2, cosmology.omega_de * dark


def expansion_rate(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Expansion rate E(a) = H(a)/H0, dimensionless."""
    matter, curvature, dark = expansion_terms(cosmology, a)
    return jnp.sqrt(matter + curvature + dark)


def matter_fraction(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Density of matter over the critical density at scale factors `a`."""
    matter, curvature, dark = expansion_terms(cosmology, a)
    return matter / (matter + curvature + dark)


def equation_of_state(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Equation of state of dark energy, w(a) = w_0 + w_a (1 − a)."""
    return cosmology.w_0 + cosmology.w_a * (1 - a)


def curved_sine_and_cosine(cosmology: Cosmology, distance: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Transverse distance S_k(χ) in Mpc/h and its derivative dS_k/dχ.

    With x = Ωk (H0 χ / c)² both are entire functions of x, S_k = χ sinh(√x)/√x and dS_k/dχ = cosh √x, for x of either
    sign. Their power series have no branch at zero curvature, so the derivative in Ωk is exact there; twelve terms give
    float32 accuracy for |x| < 20.
    """
    x = cosmology.omega_k * (distance / HUBBLE_DISTANCE) ** 2
    sine, cosine = jnp.zeros_like(x), jnp.zeros_like(x)
    for n in reversed(range(_CURVATURE_TERMS)):
        sine = sine * x + 1 / math.factorial(2 * n + 1)
        cosine = cosine * x + 1 / math.factorial(2 * n)
    return distance * sine, cosine


def transverse_distance(cosmology: Cosmology, distance: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Comoving transverse distance S_k(χ), Mpc/h, of line-of-sight distances `distance`, Mpc/h."""
    return curved_sine_and_cosine(cosmology, distance)[0]
