"""Growth of second order against closed forms and an independent integration; steps against their defining property."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from fullfield.cosmology import comoving_distance, Cosmology, growth_factor, history
from fullfield.simulators.gravity import growth_steps, second_order_growth


LCDM = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
MATTER = Cosmology(0.95, 0.05, 0.7, 0.96, 0.8)
EXOTIC = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, w_0=-0.8, w_a=0.3, omega_k=0.05)
A = jnp.asarray([0.05, 0.1, 0.3, 0.6, 1.0])


def test_matter_alone_has_three_sevenths():
    ratio, rate = second_order_growth(MATTER).at(A)
    np.testing.assert_allclose(ratio, -3 / 7, rtol=1e-5)
    np.testing.assert_allclose(rate, -6 / 7, rtol=1e-5)


@pytest.mark.parametrize("cosmology", [LCDM, EXOTIC])
def test_second_order_solves_its_equation(cosmology):
    matter, curved, dark = cosmology.omega_m, cosmology.omega_k, cosmology.omega_de
    w_0, w_a = cosmology.w_0, cosmology.w_a

    def slope(x, state):
        a = np.exp(x)
        d, d_rate, e, e_rate = state
        terms = matter / a**3, curved / a**2, dark * a ** (-3 * (1 + w_0 + w_a)) * np.exp(-3 * w_a * (1 - a))
        friction = 2 - (3 * terms[0] + 2 * terms[1] + 3 * (1 + w_0 + w_a * (1 - a)) * terms[2]) / (2 * sum(terms))
        pull = 1.5 * terms[0] / sum(terms)
        return d_rate, pull * d - friction * d_rate, e_rate, pull * (e - d**2) - friction * e_rate

    first = 1e-3
    start = first, first, -3 / 7 * first**2, -6 / 7 * first**2
    solved = solve_ivp(slope, (np.log(first), 0), start, t_eval=np.log(np.asarray(A)), rtol=1e-10, atol=1e-16).y
    ratio, rate = second_order_growth(cosmology).at(A)
    np.testing.assert_allclose(ratio, solved[2] / solved[0] ** 2, rtol=1e-4)
    np.testing.assert_allclose(rate, solved[3] / solved[0] ** 2, rtol=1e-4)


def test_ratio_is_the_published_fit():
    ratio, _ = second_order_growth(LCDM).at(jnp.ones(()))
    np.testing.assert_allclose(ratio, -3 / 7 * 0.3 ** (-1 / 143), rtol=2e-3)  # Bouchet et al. 1995, good to half a per cent


def test_steps_carry_second_order_displacements_exactly():
    """Force of ψ = Dψ₁ + eψ₂ to second order: Dψ₁ + (e − D²)ψ₂. Any number of steps must end at E and E'."""
    a = jnp.asarray([0.1, 0.2, 0.5, 1.0])
    steps = growth_steps(LCDM, a)
    _, d, f = history(LCDM).at(1 / a - 1)
    ratio, rate = second_order_growth(LCDM).at(a)
    first, second, velocity = d[0], ratio[0] * d[0] ** 2, jnp.asarray([1.0, rate[0] * d[0] / f[0]])
    for i in range(3):
        half = steps.drift[i]
        first, second = first + half * velocity[0], second + half * velocity[1]
        velocity = steps.keep[i] * velocity + steps.kick[i] * jnp.stack([first, second - first**2])
        first, second = first + half * velocity[0], second + half * velocity[1]
    np.testing.assert_allclose([first, velocity[0]], [1, 1], rtol=1e-5)
    # Not so for the position, to which the velocity of the two halves adds: exact only where E is quadratic in D.
    np.testing.assert_allclose(velocity[1], rate[-1] * d[-1] / f[-1], rtol=2e-4)
    np.testing.assert_allclose(second, ratio[-1] * d[-1] ** 2, rtol=3e-3)


def test_slopes_of_the_light_cone_are_its_derivatives():
    a = jnp.asarray([0.5, 0.6])
    steps = growth_steps(EXOTIC, a)

    def share(end):  # (D − D₀)/ΔD per (χ − χ₁)/Δχ around one end, by differences in a
        near = jnp.asarray([end - 2e-3, end + 2e-3])
        d, chi = growth_factor(EXOTIC, near), comoving_distance(EXOTIC, 1 / near - 1)
        return (d[1] - d[0]) / (chi[1] - chi[0]) * (steps.far[0] - steps.near[0]) / (2 * steps.drift[0])

    np.testing.assert_allclose(steps.slope_far[0], share(0.5), rtol=2e-3)
    np.testing.assert_allclose(steps.slope_near[0], share(0.6), rtol=2e-3)


def test_gradient_in_cosmology_is_that_of_differences():
    def value(omega_c, w_0):
        steps = growth_steps(Cosmology(omega_c, 0.05, 0.7, 0.96, 0.8, w_0=w_0), jnp.asarray([0.1, 0.4, 1.0]))
        return jnp.sum(steps.drift + steps.keep - steps.kick + steps.slope_far)

    point = jnp.asarray([0.25, -0.9])
    found = jax.grad(lambda p: value(*p))(point)
    for i, h in enumerate((0.01, 0.02)):
        shift = h * jnp.eye(2)[i]
        np.testing.assert_allclose(found[i], (value(*(point + shift)) - value(*(point - shift))) / (2 * h), rtol=5e-3)
