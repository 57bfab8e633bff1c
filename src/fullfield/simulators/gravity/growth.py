"""Growth at first and second order, and the numbers of each step of the integrator.

The displacement of a particle is ψ = D ψ₁ + E ψ₂ + …, with D the linear growth factor, one today, and E that of second order,

    Ë + 2 H Ė = 3/2 H² Ωm (E − D²),    E ≈ −3/7 D² Ωm^(−1/143)

(Bouchet et al. 1995, A&A 296, 575; dots are derivatives in time). Time is D, so that velocities are v = dψ/dD.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology import Cosmology, expansion_rate, history
from fullfield.cosmology.background import equation_of_state, expansion_terms
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.tabulate import Cubics, tabulate


_STEP, _STEPS = 0.1, 70  # in ln(1+z) back to z = 1100, the nodes of `fullfield.cosmology.history`


class SecondOrder(eqx.Module):
    """E/D² and its rate as piecewise cubics in ln(1+z); made by `second_order_growth`.

    Args:
        ratio: E / D².
        rate: dE/d ln a / D².
    """

    ratio: Cubics
    rate: Cubics

    def at(self, a: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
        """E / D² and dE/d ln a / D² at scale factors `a`."""
        position = -jnp.log(a) / _STEP
        return self.ratio(position), self.rate(position)


@jax.jit
def second_order_growth(cosmology: Cosmology) -> SecondOrder:
    """Integrate the growth of second order from its value in a universe of matter alone, r = −3/7 and s = −6/7 at z = 1100.

    With r = E/D², s = (dE/d ln a)/D² and the linear growth rate f, by Runge-Kutta steps of 0.1 in ln a,

        dr/d ln a = s − 2 f r,    ds/d ln a = 3/2 Ωm(a) (r − 1) − (2 + d ln H/d ln a + 2 f) s.
    """
    return tabulate(_integrate, cosmology.omega_m, cosmology.omega_k, cosmology.w_0, cosmology.w_a)


@full_precision
def _integrate(omega_m, omega_k, w_0, w_a):
    cosmology = Cosmology(omega_m, 0.0, h=1.0, n_s=1.0, sigma_8=1.0, w_0=w_0, w_a=w_a, omega_k=omega_k)
    a = jnp.asarray(np.exp(-_STEP / 2 * np.arange(2 * _STEPS + 1)), omega_m.dtype)  # nodes and midpoints, from today backward
    matter, curvature, dark = expansion_terms(cosmology, a)
    total = matter + curvature + dark
    source = 1.5 * matter / total
    friction = 2 - (3 * matter + 2 * curvature + 3 * (1 + equation_of_state(cosmology, a)) * dark) / (2 * total)
    coefficients = jnp.stack([source, friction, history(cosmology).at(1 / a - 1)[2]], axis=-1)

    def slope(state, at):
        (ratio, rate), (source, friction, f) = state, at
        return jnp.stack([rate - 2 * f * ratio, source * (ratio - 1) - (friction + 2 * f) * rate])

    def advance(state, at):
        end, middle, start = at
        s1 = slope(state, start)
        s2 = slope(state + _STEP / 2 * s1, middle)
        s3 = slope(state + _STEP / 2 * s2, middle)
        s4 = slope(state + _STEP * s3, end)
        after = state + _STEP / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
        return after, after

    steps = jnp.stack([coefficients[i : i + 2 * _STEPS : 2] for i in range(3)], axis=1)
    first = jnp.asarray([-3 / 7, -6 / 7], a.dtype)
    _, later = jax.lax.scan(advance, first, steps, reverse=True)
    states = jnp.concatenate([later, first[None]]).T
    slopes = -_STEP * slope(states, coefficients[::2].T)
    return SecondOrder(*(Cubics(*pair) for pair in zip(states, slopes, strict=True)))


class Steps(eqx.Module):
    """Numbers of each step, arrays (steps,); made by `growth_steps`.

    Args:
        drift: half of the step in D.
        keep: share of the velocity that a kick leaves.
        kick: what a kick adds of the force.
        far: comoving distance to the light cone at the start of the step, Mpc/h.
        near: the same at its end.
        slope_far: dt/du at the start, of the share t of the step in D over the share u of its distance, u = 1 at the start.
        slope_near: the same at its end, where u = 0.
    """

    drift: Float[Array, "*steps"]
    keep: Float[Array, "*steps"]
    kick: Float[Array, "*steps"]
    far: Float[Array, "*steps"]
    near: Float[Array, "*steps"]
    slope_far: Float[Array, "*steps"]
    slope_near: Float[Array, "*steps"]


def growth_steps(cosmology: Cosmology, a: Float[Array, " nodes"]) -> Steps:
    """Weights of the BullFrog integrator between scale factors `a`, increasing, and where the light cone is meanwhile.

    Half a drift, a kick v ← α v + (1 − α) F/D½ at D½ = (D₀ + D₁)/2, half a drift, with

        α = (E₁' − G) / (E₀' − G),    G = (E₀ + E₀' ΔD/2) / D½ − D½,    E' = dE/dD,

    which keeps ψ = D ψ₁ + E ψ₂ exact, whatever the step, where the force F is exact to second order: Rampf, List & Hahn 2024
    (arXiv:2409.19049), with E of the cosmology rather than that of a universe of matter. The fall of D with the distance to the
    light cone is dD/dχ = −f D a E(a) H0/c with the expansion rate E(a).
    """
    distance, growth, f = history(cosmology).at(1 / a - 1)
    ratio, rate = second_order_growth(cosmology).at(a)
    second, prime = ratio * growth**2, rate * growth / f
    step = jnp.diff(growth)
    middle = (growth[1:] + growth[:-1]) / 2
    force = (second[:-1] + prime[:-1] * step / 2) / middle - middle
    keep = (prime[1:] - force) / (prime[:-1] - force)
    decline = f * growth * a * expansion_rate(cosmology, a) / HUBBLE_DISTANCE
    thickness = distance[:-1] - distance[1:]
    slopes = -decline[:-1] * thickness / step, -decline[1:] * thickness / step
    return Steps(step / 2, keep, (1 - keep) / middle, distance[:-1], distance[1:], *slopes)
