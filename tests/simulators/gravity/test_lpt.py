"""Initial conditions and Lagrangian perturbation theory against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology, expansion_rate, growth_factor, growth_rate, linear_power
from fullfield.simulators.gravity import (
    Box,
    linear_modes,
    peculiar_velocity,
    perturbed,
    second_order_displacement,
    second_order_growth,
)


LCDM = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
BOX = Box((16, 12, 8), 5.0)
WAVE = 2 * np.pi * 2 / 80.0  # second harmonic along the first axis


def lattice(box):
    return np.stack(np.meshgrid(*(box.cell * np.arange(points) for points in box.shape), indexing="ij"))


def test_plane_wave_moves_as_zeldovich_says():
    """δ = A cos kx: ψ = −D (A/k) sin kx, no second order; exact until D A = 1, where sheets cross."""
    x = lattice(BOX)[0]
    modes = jnp.fft.rfftn(jnp.asarray(0.9 * np.cos(WAVE * x), float))
    for a in (0.1, 1.0):
        particles = perturbed(BOX, LCDM, modes, a)
        first = -0.9 / WAVE * np.sin(WAVE * x)
        d = float(growth_factor(LCDM, jnp.asarray(a)))
        np.testing.assert_allclose(particles.displacement[0], d * first, atol=2e-5)
        np.testing.assert_allclose(particles.velocity[0], first, atol=2e-5)
        np.testing.assert_allclose(particles.displacement[1:], 0, atol=2e-5)
        # Momentum: a dψ/dt = a f H ψ, at H = 100 E km/s per Mpc/h.
        f, e = float(growth_rate(LCDM, jnp.asarray(a))), float(expansion_rate(LCDM, jnp.asarray(a)))
        np.testing.assert_allclose(peculiar_velocity(LCDM, particles, a)[0], 100 * a * f * e * d * first, rtol=1e-3, atol=2e-2)


def test_crossed_waves_have_the_second_order_of_their_product():
    """δ = A cos kx + B cos ky: ψ₂ = AB/(2k) (sin kx cos ky, cos kx sin ky, 0)."""
    box = Box((16, 16, 4), 5.0)
    x, y, _ = lattice(box)
    modes = jnp.fft.rfftn(jnp.asarray(0.5 * np.cos(WAVE * x) + 0.3 * np.cos(WAVE * y), float))
    size = 0.15 / (2 * WAVE)
    second = np.stack([np.sin(WAVE * x) * np.cos(WAVE * y), np.cos(WAVE * x) * np.sin(WAVE * y), 0 * x]) * size
    np.testing.assert_allclose(second_order_displacement(box, modes), second, atol=2e-5)
    a = jnp.asarray(0.5)
    d, f = growth_factor(LCDM, a), growth_rate(LCDM, a)
    ratio, rate = second_order_growth(LCDM).at(a)
    both, one = perturbed(box, LCDM, modes, 0.5), perturbed(box, LCDM, modes, 0.5, order=1)
    np.testing.assert_allclose(both.displacement - one.displacement, ratio * d**2 * second, atol=2e-5)
    np.testing.assert_allclose(both.velocity - one.velocity, rate * d / f * second, atol=2e-5)
    assert ratio < -3 / 7


def test_second_order_in_two_dimensions_is_that_of_no_variation_along_the_third():
    key = jax.random.key(1)
    flat, deep = Box((16, 16), 5.0), Box((16, 16, 4), 5.0)
    density = jax.random.normal(key, flat.shape)
    found = second_order_displacement(flat, jnp.fft.rfftn(density))
    expected = second_order_displacement(deep, jnp.fft.rfftn(jnp.broadcast_to(density[..., None], deep.shape)))
    # The axis of the real transform is another one, and with it which derivatives vanish at the Nyquist frequency: none.
    np.testing.assert_allclose(found, expected[:2, ..., 0], rtol=1e-3, atol=1e-4)


def test_modes_are_those_of_a_real_field_with_the_linear_power():
    box = Box((32, 32, 32), 8.0)
    modes = linear_modes(box, LCDM, jax.random.normal(jax.random.key(2), box.shape))
    again = jnp.fft.rfftn(jnp.fft.irfftn(modes, s=box.shape))
    np.testing.assert_allclose(again, modes, atol=1e-5 * float(jnp.max(jnp.abs(modes))))
    k = np.sqrt(sum(np.asarray(k) ** 2 for k in box.wavenumbers()))
    power = np.asarray(linear_power(LCDM, jnp.asarray(np.maximum(k, 1e-3).ravel()), jnp.ones(1)))[:, 0].reshape(k.shape)
    ratio = (np.abs(np.asarray(modes)) ** 2 * box.volume / 32**6 / power)[..., 1:-1]
    # 15 x 1024 independent complex modes know their power to 0.8 %.
    assert abs(ratio.mean() - 1) < 0.03
    assert ratio[..., :7].mean() == pytest.approx(1, abs=0.05)
    assert np.all(np.asarray(modes)[0, 0, 0] == 0)


def test_score_is_finite_and_other_orders_are_refused():
    def total(sigma_8):
        cosmology = Cosmology(0.25, 0.05, 0.7, 0.96, sigma_8)
        modes = linear_modes(BOX, cosmology, jnp.ones(BOX.shape))
        return jnp.sum(perturbed(BOX, cosmology, modes, 0.5).displacement ** 2)

    assert np.isfinite(jax.grad(total)(0.8))
    with pytest.raises(ConfigurationError, match="order: expected 1 or 2, got 3"):
        perturbed(BOX, LCDM, jnp.zeros((16, 12, 5), complex), 0.5, order=3)


@pytest.mark.parametrize(
    ("shape", "cell"), [((8, 7, 8), 1.0), ((8,), 1.0), ((2, 8), 1.0), ((8, 8), 0.0), ((8, 8), float("nan"))]
)
def test_impossible_boxes_are_refused(shape, cell):
    with pytest.raises(ConfigurationError, match="expected"):
        Box(shape, cell)
