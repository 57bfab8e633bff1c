"""Distances and linear growth: the history of the universe, integrated once. Distances in Mpc/h."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.background import equation_of_state, expansion_rate, expansion_terms
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.tabulate import Cubics, tabulate


_STEP = 0.1  # in ln(1+z)
_STEPS = 70  # back to z = 1100


class History(eqx.Module):
    """Distance and growth as piecewise cubics in ln(1+z); made by `history`, good from redshift 0 to 1000.

    Args:
        distance: line-of-sight comoving distance, Mpc/h.
        log_growth: ln D, D = 1 today.
        rate: growth rate f = d ln D / d ln a.
    """

    distance: Cubics
    log_growth: Cubics
    rate: Cubics

    def at(self, z: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]:
        """Distance (Mpc/h), growth factor and growth rate at redshift `z`."""
        position = jnp.log1p(z) / _STEP
        return self.distance(position), jnp.exp(self.log_growth(position)), self.rate(position)


@jax.jit
def history(cosmology: Cosmology) -> History:
    """Integrate distance and growth back to redshift 1100.

    Distance is χ = c/H0 ∫ dz/E by Simpson's rule. The growth rate f obeys the Riccati equation

        df/d ln a = 3/2 Ωm(a) − (2 + d ln E/d ln a) f − f²

    (Wang & Steinhardt 1998, ApJ 508, 483), whose growing solution attracts, so that an approximate start is forgotten; it is
    integrated by Runge-Kutta steps of 0.1 in ln a. Between the steps cubics interpolate, whose slopes are known exactly.
    """
    return tabulate(_integrate, cosmology.omega_m, cosmology.omega_k, cosmology.w_0, cosmology.w_a)


def comoving_distance(cosmology: Cosmology, z: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Line-of-sight comoving distance χ, Mpc/h, to redshift `z` ≤ 1000."""
    return history(cosmology).at(z)[0]


def growth_factor(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Linear growth factor D, one today, at scale factor `a` ≥ 0.001."""
    return history(cosmology).at(1 / a - 1)[1]


def growth_rate(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Linear growth rate f = d ln D / d ln a at scale factor `a` ≥ 0.001."""
    return history(cosmology).at(1 / a - 1)[2]


@full_precision
def _integrate(omega_m, omega_k, w_0, w_a):
    # In Mpc/h nothing else matters, nor does the share of baryons.
    cosmology = Cosmology(omega_m, 0.0, h=1.0, n_s=1.0, sigma_8=1.0, w_0=w_0, w_a=w_a, omega_k=omega_k)
    a = jnp.asarray(np.exp(-_STEP / 2 * np.arange(2 * _STEPS + 1)), omega_m.dtype)  # nodes and midpoints, from today backward
    path = HUBBLE_DISTANCE / (a * expansion_rate(cosmology, a))
    distance = jnp.asarray(_simpson(), a.dtype) @ path
    log_growth, rate, acceleration = _grow(cosmology, a)
    return History(
        Cubics(distance, _STEP * path[::2]),
        Cubics(log_growth, -_STEP * rate),
        Cubics(rate, -_STEP * acceleration),
    )


def _simpson():
    """Matrix of the integrals from the first to every second node."""
    matrix = np.zeros((_STEPS + 1, 2 * _STEPS + 1))
    for i in range(_STEPS):
        matrix[i + 1 :, 2 * i : 2 * i + 3] += np.array([1, 4, 1]) * _STEP / 6
    return matrix


def _grow(cosmology, a):
    """ln D, f and df/d ln a at every second scale factor."""
    matter, curvature, dark = expansion_terms(cosmology, a)
    total = matter + curvature + dark
    w = equation_of_state(cosmology, a)
    source = 1.5 * matter / total
    friction = 2 - (3 * matter + 2 * curvature + 3 * (1 + w) * dark) / (2 * total)

    def slope(f, coefficients):
        return coefficients[0] - f * (coefficients[1] + f)

    def advance(state, coefficients):
        log_growth, f = state
        end, middle, start = coefficients
        s1 = slope(f, start)
        f2 = f + _STEP / 2 * s1
        s2 = slope(f2, middle)
        f3 = f + _STEP / 2 * s2
        s3 = slope(f3, middle)
        f4 = f + _STEP * s3
        s4 = slope(f4, end)
        after = (log_growth + _STEP / 6 * (f + 2 * f2 + 2 * f3 + f4), f + _STEP / 6 * (s1 + 2 * s2 + 2 * s3 + s4))
        return after, jnp.stack(after)

    gamma = 3 * (1 - w[-1]) / (5 - 6 * w[-1])  # Linder & Cahn 2007 (Astropart. Phys. 28, 481), eq. 8
    first = (jnp.zeros_like(source[-1]), jnp.exp(gamma * jnp.log(source[-1] / 1.5)))
    coefficients = jnp.stack([source, friction], axis=-1)
    steps = jnp.stack([coefficients[i : i + 2 * _STEPS : 2] for i in range(3)], axis=1)
    _, later = jax.lax.scan(advance, first, steps, reverse=True)
    log_growth, rate = jnp.concatenate([later, jnp.stack(first)[None]]).T
    return log_growth - log_growth[0], rate, slope(rate, coefficients[::2].T)
