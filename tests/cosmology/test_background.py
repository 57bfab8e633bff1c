"""Distances and growth against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.cosmology import (
    comoving_distance,
    Cosmology,
    expansion_rate,
    growth_factor,
    growth_rate,
    matter_fraction,
    transverse_distance,
)  # fmt: skip
from fullfield.cosmology.constants import HUBBLE_DISTANCE


REST = {"h": 0.7, "n_s": 0.96, "sigma_8": 0.8}
Z = jnp.array([0.0, 1e-4, 0.01, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0])


def test_einstein_de_sitter():
    cosmology = Cosmology(0.9, 0.1, **REST)
    a = 1 / (1 + Z)
    np.testing.assert_allclose(comoving_distance(cosmology, Z), 2 * HUBBLE_DISTANCE * -jnp.expm1(-jnp.log1p(Z) / 2), rtol=2e-6)
    np.testing.assert_allclose(growth_factor(cosmology, a), a, rtol=1e-5)
    np.testing.assert_allclose(growth_rate(cosmology, a), 1, rtol=1e-5)
    np.testing.assert_allclose(expansion_rate(cosmology, a), a**-1.5, rtol=1e-5)


def test_empty_open_universe():
    cosmology = Cosmology(1e-6, 0.0, **REST, omega_k=1.0 - 1e-6)
    distance = comoving_distance(cosmology, Z[:-2])
    np.testing.assert_allclose(distance, HUBBLE_DISTANCE * jnp.log1p(Z[:-2]), rtol=1e-5)
    # Milne: S_k = c/H0 sinh ln(1+z).
    np.testing.assert_allclose(
        transverse_distance(cosmology, distance), HUBBLE_DISTANCE * jnp.sinh(jnp.log1p(Z[:-2])), rtol=1e-4
    )


def test_closed_universe_reaches_its_antipode():
    cosmology = Cosmology(1.2, 0.05, **REST, omega_k=-0.25)
    half_way = jnp.pi * HUBBLE_DISTANCE / jnp.sqrt(0.25) / 2
    np.testing.assert_allclose(transverse_distance(cosmology, half_way), HUBBLE_DISTANCE / 0.5, rtol=1e-5)
    np.testing.assert_allclose(transverse_distance(cosmology, 2 * half_way) / HUBBLE_DISTANCE, 0, atol=1e-4)


@pytest.mark.parametrize("omega_m", [0.05, 0.3, 1.2])
def test_growth_of_a_cosmological_constant(omega_m):
    """Heath 1977: D ∝ E ∫ da/(aE)³, valid for w = -1 with curvature."""
    cosmology = Cosmology(omega_m, 0.0, **REST, omega_k=0.05)
    a = np.array([0.05, 0.2, 0.5, 0.8, 1.0])

    def rate(a):
        return np.sqrt(omega_m / a**3 + 0.05 / a**2 + 0.95 - omega_m)

    x, weights = np.polynomial.legendre.leggauss(200)
    nodes = a[:, None] * ((1 + x) / 2) ** 2  # a = a_end t²
    integral = np.sum(weights * a[:, None] * (1 + x) / 2 / (nodes * rate(nodes)) ** 3, axis=1)
    expected = rate(a) * integral
    np.testing.assert_allclose(growth_factor(cosmology, jnp.asarray(a, float)), expected / expected[-1], rtol=2e-5)


def test_derivative_in_curvature_is_smooth_at_zero():
    """d S_k/dΩk = χ³/6 (H0/c)² + dχ/dΩk at Ωk = 0, by the series of the sine."""

    def transverse(omega_k):
        cosmology = Cosmology(0.25, 0.05, **REST, omega_k=omega_k)
        return transverse_distance(cosmology, comoving_distance(cosmology, jnp.array(1.0)))

    def distance(omega_k):
        return comoving_distance(Cosmology(0.25, 0.05, **REST, omega_k=omega_k), jnp.array(1.0))

    chi, change = jax.value_and_grad(distance)(0.0)
    expected = chi**3 / 6 / HUBBLE_DISTANCE**2 + change
    np.testing.assert_allclose(jax.grad(transverse)(0.0), expected, rtol=1e-4)


def test_fractions_add_up_and_depend_on_the_equation_of_state():
    cosmology = Cosmology(0.25, 0.05, **REST, w_0=-0.9, w_a=-0.3)
    a = jnp.array([0.3, 0.7, 1.0])
    assert matter_fraction(cosmology, a)[-1] == pytest.approx(0.3, rel=1e-6)
    dark = 0.7 * a ** (-3 * (1 - 0.9 - 0.3)) * jnp.exp(0.9 * (1 - a))
    np.testing.assert_allclose(matter_fraction(cosmology, a), 0.3 / a**3 / (0.3 / a**3 + dark), rtol=1e-5)
