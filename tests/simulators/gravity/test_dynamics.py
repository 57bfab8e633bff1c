"""What an observer sees by perturbation theory, against the particle mesh where both are right, and against geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology
from fullfield.simulators.gravity import Box, LightCone, linear_modes, ParticleMesh, Perturbed


BOX = Box((16, 16, 16), 20.0)
TIMES = tuple(round(0.1 * i, 1) for i in range(1, 11))
CONE = LightCone(BOX, 1200.0, 12, copies=4)
WHITE = jax.random.normal(jax.random.key(0), BOX.shape)


def planes(dynamics, sigma_8):
    cosmology = Cosmology(0.25, 0.05, 0.7, 0.96, sigma_8)
    return jax.jit(lambda: dynamics.planes(cosmology, linear_modes(BOX, cosmology, WHITE), CONE))()


def large(planes):
    """Modes of wavelengths of eight cells and more across, averaged over as many along, where the mesh's force is whole."""
    along = planes.reshape(*planes.shape[:2], -1, 3).mean(-1)
    return jnp.fft.rfft2(along, axes=(0, 1))[jnp.asarray([-2, -1, 0, 1, 2]), :3]


@pytest.mark.parametrize("order", [1, 2])
def test_structure_that_is_hardly_there_is_linear(order):
    seen, evolved = (large(planes(dynamics, 0.01)) for dynamics in (Perturbed(BOX, TIMES, order), ParticleMesh(BOX, TIMES)))
    assert np.linalg.norm(seen - evolved) < 0.03 * np.linalg.norm(evolved)


def test_second_order_comes_nearer_to_the_mesh_than_first():
    evolved = large(planes(ParticleMesh(BOX, TIMES), 1.0))
    off = [np.linalg.norm(large(planes(Perturbed(BOX, TIMES, order), 1.0)) - evolved) for order in (1, 2)]
    assert off[1] < off[0]


def test_steps_between_which_nothing_bends_can_be_any():
    # At first order particles move on straight lines in D, so that only the distance of the cone is interpolated.
    few, many = (planes(Perturbed(BOX, times, 1), 0.8) for times in (TIMES[3:], tuple(np.linspace(0.4, 1, 25).tolist())))
    assert np.abs(few - many).max() < 0.02 * np.abs(many).max()


def test_all_matter_of_the_cone_is_seen():
    # Twelve planes 5/16 of a box deep: what they hold together is their volume's mass but for what crosses their ends.
    assert abs(float(jnp.mean(planes(Perturbed(BOX, TIMES), 0.8)))) < 0.01


def test_gradients_agree_with_differences():
    # Of a smooth function: clouds in cells bend wherever a particle enters another one, and differences feel every bend.
    dynamics, direction = Perturbed(BOX, TIMES), jax.random.normal(jax.random.key(1), BOX.shape)
    weight = 1 + jnp.cos(2 * jnp.pi * jnp.arange(16) / 16)[:, None, None]

    def seen(step):
        cosmology = Cosmology(0.25 + 0.1 * step, 0.05, 0.7, 0.96, 0.8 + 0.2 * step)
        return jnp.sum(weight * dynamics.planes(cosmology, linear_modes(BOX, cosmology, WHITE + step * direction), CONE) ** 2)

    difference = (jax.jit(seen)(0.01) - jax.jit(seen)(-0.01)) / 0.02
    assert np.isclose(jax.jit(jax.grad(seen))(0.0), difference, rtol=0.02)


def test_what_it_cannot_be():
    with pytest.raises(ConfigurationError, match="1 or 2"):
        Perturbed(BOX, TIMES, 3)
    with pytest.raises(ConfigurationError, match="increase to 1"):
        Perturbed(BOX, (0.5, 0.9))
    with pytest.raises(ConfigurationError, match="light cone in"):
        planes(Perturbed(Box((16, 16, 16), 21.0), TIMES), 0.8)
    with pytest.raises(ConfigurationError, match="Begin the steps earlier"):
        Perturbed(BOX, TIMES[7:]).planes(
            Cosmology(0.25, 0.05, 0.7, 0.96, 0.8), linear_modes(BOX, Cosmology(0.25, 0.05, 0.7, 0.96, 0.8), WHITE), CONE
        )
