"""Linear growth of matter perturbations."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.cosmology.background import expansion_terms
from fullfield.cosmology.cosmology import Cosmology


_EARLIEST = math.log(0.01)
_STEPS = 48


def growth(cosmology: Cosmology, a: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Growth factor D(a), one today, and growth rate f = d ln D / d ln a.

    The rate obeys the Riccati equation

        df/d ln a = 3/2 Ωm(a) − (2 + d ln E/d ln a) f − f²

    whose growing solution attracts (Wang & Steinhardt 1998, ApJ 508, 483), so that an approximate start at a = 0.01 is
    forgotten. It is integrated by Runge-Kutta steps of 0.1 in ln a; ln D is read off by cubic Hermite interpolation, its
    slopes f being known. Before a = 0.01 the growth continues as a power law.
    """
    step = -_EARLIEST / _STEPS
    log_growth, rate, slope = _history(cosmology, step)
    position = (jnp.log(a) - _EARLIEST) / step
    i = jnp.clip(jnp.floor(position), 0, _STEPS - 1).astype(int)
    t = jnp.clip(position - i, 0, 1)
    before = jnp.minimum(position, 0) * step * rate[0]
    log_d = _hermite(t, log_growth[i], log_growth[i + 1], step * rate[i], step * rate[i + 1])
    f = _hermite(t, rate[i], rate[i + 1], step * slope[i], step * slope[i + 1])
    return jnp.exp(log_d + before), f


def growth_factor(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Linear growth factor D(a), one today."""
    return growth(cosmology, a)[0]


def growth_rate(cosmology: Cosmology, a: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Linear growth rate f = d ln D / d ln a."""
    return growth(cosmology, a)[1]


def _history(cosmology, step):
    # Coefficients at the nodes and midpoints of the steps: f' = source - friction f - f².
    a = jnp.exp(_EARLIEST + step / 2 * jnp.arange(2 * _STEPS + 1))
    matter, curvature, dark = expansion_terms(cosmology, a)
    total = matter + curvature + dark
    w = cosmology.w_0 + cosmology.w_a * (1 - a)
    source = 1.5 * matter / total
    friction = 2 - (3 * matter + 2 * curvature + 3 * (1 + w) * dark) / (2 * total)

    def slope(f, source, friction):
        return source - f * (friction + f)

    def advance(state, coefficients):
        log_growth, f = state
        start, middle, end = coefficients
        s1 = slope(f, *start)
        f2 = f + step / 2 * s1
        s2 = slope(f2, *middle)
        f3 = f + step / 2 * s2
        s3 = slope(f3, *middle)
        f4 = f + step * s3
        s4 = slope(f4, *end)
        after = (log_growth + step / 6 * (f + 2 * f2 + 2 * f3 + f4), f + step / 6 * (s1 + 2 * s2 + 2 * s3 + s4))
        return after, after

    gamma = 3 * (1 - w[0]) / (5 - 6 * w[0])  # Linder & Cahn 2007 (Astropart. Phys. 28, 481), eq. 8
    start = (jnp.zeros_like(source[0]), (source[0] / 1.5) ** gamma)
    coefficients = tuple((source[i : i + 2 * _STEPS : 2], friction[i : i + 2 * _STEPS : 2]) for i in (0, 1))
    coefficients += ((source[2::2], friction[2::2]),)
    _, history = jax.lax.scan(advance, start, coefficients)
    log_growth, rate = (jnp.concatenate([first[None], rest]) for first, rest in zip(start, history, strict=True))
    return log_growth - log_growth[-1], rate, slope(rate, source[::2], friction[::2])


def _hermite(t, left, right, left_slope, right_slope):
    return (
        (1 + 2 * t) * (1 - t) ** 2 * left + t**2 * (3 - 2 * t) * right + t * (1 - t) * ((1 - t) * left_slope - t * right_slope)
    )
