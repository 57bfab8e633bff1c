import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.fields import kaiser_squires, shear_of


def test_there_and_back_is_exact_but_for_the_mean():
    kappa = jax.random.normal(jax.random.key(0), (16, 16, 3))
    modes = kaiser_squires(shear_of(kappa))
    np.testing.assert_allclose(modes[..., 0], kappa - kappa.mean((0, 1)), atol=2e-6)
    np.testing.assert_allclose(modes[..., 1], 0, atol=2e-6)


@pytest.mark.parametrize(("step", "component"), [((0, 1), 0), ((1, 0), 0), ((1, 1), 1), ((1, -1), 1)])
def test_plane_waves_shear_along_themselves(step, component):
    y, x = np.indices((16, 16))
    wave = jnp.asarray(np.cos(2 * np.pi * 2 * (step[0] * y + step[1] * x) / 16), jnp.float32)
    sign = {(0, 1): 1, (1, 0): -1, (1, 1): 1, (1, -1): -1}[step]
    gamma = shear_of(wave)
    np.testing.assert_allclose(gamma[..., component], sign * wave, atol=1e-6)
    np.testing.assert_allclose(gamma[..., 1 - component], 0, atol=1e-6)


def test_a_mass_shears_tangentially():
    # γ_t = mean convergence inside minus that at the radius (Miralda-Escude 1991): of a Gaussian of width s and height one,
    # 2 s²/r² (1 - exp(-r²/2s²)) - exp(-r²/2s²). The patch is periodic, and its mean is taken off.
    n, s, radius = 128, 4.0, 10
    y, x = np.indices((n, n)) - n // 2
    gamma = shear_of(jnp.asarray(np.exp(-(x**2 + y**2) / (2 * s**2)), jnp.float32))
    e = np.exp(-(radius**2) / (2 * s**2))
    for dy, dx in [(0, radius), (radius, 0), (0, -radius)]:
        phase = np.exp(-2j * np.arctan2(dy, dx))
        one = gamma[n // 2 + dy, n // 2 + dx]
        tangential = -((one[0] + 1j * one[1]) * phase)
        assert tangential.real == pytest.approx(2 * s**2 / radius**2 * (1 - e) - e, rel=0.02)
        assert abs(tangential.imag) < 1e-3


def test_white_noise_stays_white():
    noise = jax.random.normal(jax.random.key(1), (32, 32, 2))
    power = np.abs(np.fft.fft2(np.asarray(kaiser_squires(noise)), axes=(0, 1))) ** 2
    given = np.abs(np.fft.fft2(np.asarray(noise[..., 0] + 1j * noise[..., 1]))) ** 2
    total = np.abs(np.fft.fft2(np.asarray(kaiser_squires(noise)) @ np.array([1, 1j]))) ** 2
    np.testing.assert_allclose(total.ravel()[1:], given.ravel()[1:], rtol=1e-3)
    # E and B share the power evenly: 1023 modes each, of spread √(2 / 1023) = 4.4 %; four of those.
    assert abs(power[..., 0].sum() / power.sum() - 0.5) < 0.09
