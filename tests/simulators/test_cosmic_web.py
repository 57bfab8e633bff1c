"""Images of a two-dimensional universe against linear theory, where it holds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology
from fullfield.fields import normal
from fullfield.simulators import CosmicWeb
from fullfield.simulators.cosmic_web import HUBBLE, OMEGA_B, TILT
from fullfield.simulators.gravity import linear_modes


STEPS = tuple(np.linspace(0.04, 1.0, 25).tolist())


def test_long_waves_are_those_of_linear_theory():
    """Of a universe whose σ8 is .2, waves of sixteen pixels of 8 Mpc/h and more."""
    web, key = CosmicWeb(256, 1000.0, 128, STEPS), jax.random.key(1)
    density = np.asarray(eqx.filter_jit(web.simulate_at)(key, jnp.array([0.31, 0.2])))
    cosmology = Cosmology(omega_c=0.31 - OMEGA_B, omega_b=OMEGA_B, h=HUBBLE, n_s=TILT, sigma_8=0.2)
    box = web.mesh.box
    linear = np.asarray(linear_modes(box, cosmology, normal(key, box.shape)))
    # Particles start at lattice points, pixels half a pixel before their centres.
    k = [np.asarray(one) for one in box.wavenumbers()]
    linear = (linear * np.exp(1j * (k[0] + k[1]) * web.side / 128 / 2))[:8, :8] / 4
    found = np.fft.rfft2(density - density.mean())[:8, :8]
    both = np.sum((found * linear.conj()).real)
    assert both / np.sqrt(np.sum(np.abs(found) ** 2) * np.sum(np.abs(linear) ** 2)) > 0.98
    assert both / np.sum(np.abs(linear) ** 2) == pytest.approx(1, abs=0.05)


def test_images_are_of_the_key_and_of_positive_density():
    web = CosmicWeb(64, 25.0, 32, STEPS)
    images = web.simulate(jax.random.key(2), 3).data
    assert images.shape == (3, 32, 32)
    assert jnp.all(images > 0)
    np.testing.assert_allclose(images.mean(axis=(1, 2)), 1, atol=0.05)
    one, same, other = (web.simulate_at(jax.random.key(i), web.parameters.fiducial) for i in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert np.abs(np.log(one / other)).mean() > 0.1


def test_more_pixels_than_particles_are_refused():
    with pytest.raises(ConfigurationError, match="pixels: expected between 1 and the 64 particles on a side, got 128"):
        CosmicWeb(64, 25.0, 128)
