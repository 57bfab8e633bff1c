"""The integrator: its force, its reversal, its gradients and their memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.cosmology import Cosmology, growth_factor
from fullfield.simulators.gravity import (
    Box,
    growth_steps,
    integrate,
    linear_modes,
    MeshForce,
    ParticleMesh,
    Particles,
    perturbed,
    Steps,
    Unobserved,
)


LCDM = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
BOX = Box((16, 16, 16), 4.0)
FLAT = Box((16, 16), 4.0)
A = np.linspace(0.2, 1, 6)


def start(box, seed=0, sigma_8=0.8):
    cosmology = Cosmology(0.25, 0.05, 0.7, 0.96, sigma_8)
    modes = linear_modes(box, cosmology, jax.random.normal(jax.random.key(seed), box.shape))
    return perturbed(box, cosmology, modes, A[0])


def plainly(force, particles, steps):
    """The same steps, for JAX to differentiate."""
    displacement, velocity = particles.displacement, particles.velocity
    for i in range(len(steps.drift)):
        displacement = displacement + steps.drift[i] * velocity
        velocity = steps.keep[i] * velocity + steps.kick[i] * force(displacement)
        displacement = displacement + steps.drift[i] * velocity
    return Particles(displacement, velocity)


@pytest.mark.parametrize("box", [BOX, FLAT])
def test_force_pushes_nothing_as_a_whole(box):
    particles = start(box)
    force = MeshForce(box)(particles.displacement)
    assert float(jnp.sqrt(jnp.mean(force**2))) > 0.3
    np.testing.assert_allclose(jnp.mean(force, axis=range(1, box.dimensions + 1)), 0, atol=1e-6)
    np.testing.assert_allclose(MeshForce(box)(jnp.full(particles.displacement.shape, 1.3)), 0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 2])
def test_long_wave_is_pulled_by_its_displacement(axis):
    """In one dimension F = ψ until sheets cross, not only to first order."""
    box = Box(tuple(np.where(np.arange(3) == axis, 32, 4).tolist()), 4.0)
    wave = np.zeros((3, *box.shape))
    wave[axis] = np.sin(2 * np.pi / 32 * np.indices(box.shape)[axis])
    # The densest place has 1/(1 − kψ) of the mean density; on a mesh of as many points as particles the void has none in some.
    for size, error in ((0.4, 0.01), (8.0, 0.03)):
        found = MeshForce(box)(jnp.asarray(size * wave, float))
        assert np.sqrt(np.mean((found - size * wave) ** 2)) < error * np.sqrt(np.mean(size**2 * wave[axis] ** 2))


def test_plane_wave_follows_zeldovich_up_to_shell_crossing():
    """In one dimension Zel'dovich's solution is exact, and so are the steps but for the force on the mesh."""
    box = Box((32, 4), 4.0)
    k = 2 * np.pi / 128
    x = box.cell * np.indices(box.shape)[0]
    modes = jnp.fft.rfftn(jnp.asarray(0.9 * np.cos(k * x), float))
    found = ParticleMesh(box, A).snapshots(LCDM, perturbed(box, LCDM, modes, A[0]))
    first = -0.9 / k * np.sin(k * x)
    for i, d in enumerate(np.asarray(growth_factor(LCDM, jnp.asarray(A[1:], float)))):
        for values, expected in ((found.displacement[i, 0], d * first), (found.velocity[i, 0], first)):
            assert np.sqrt(np.mean((values - expected) ** 2)) < 0.03 * np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(found.displacement[:, 1], 0, atol=1e-4)


def test_reversal_leaves_rounding_only():
    particles, steps = start(BOX), growth_steps(LCDM, jnp.asarray(A, float))
    force = MeshForce(BOX)
    last, _ = integrate(force, Unobserved(), particles, steps)
    turned = Steps(-steps.drift, 1 / steps.keep, -steps.kick / steps.keep, *(steps.far,) * 4)
    back, _ = integrate(force, Unobserved(), last, jax.tree.map(lambda x: x[::-1], turned))
    scale = float(jnp.sqrt(jnp.mean((last.displacement - particles.displacement) ** 2)))
    assert scale > 1
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(particles), strict=True):
        assert float(jnp.max(jnp.abs(one - other))) < 1e-4 * scale


@pytest.mark.parametrize("box", [BOX, FLAT])
def test_gradient_is_that_of_the_same_steps_remembered(box):
    particles, steps, force = start(box), growth_steps(LCDM, jnp.asarray(A, float)), MeshForce(box)
    target = start(box, 1)

    def loss(last):
        return jnp.sum(jnp.sin(last.displacement) * target.displacement) + jnp.sum(last.velocity * target.velocity)

    fast = jax.jit(jax.grad(lambda p, s: loss(integrate(force, Unobserved(), p, s)[0]), argnums=(0, 1)))(particles, steps)
    plain = jax.jit(jax.grad(lambda p, s: loss(plainly(force, p, s)), argnums=(0, 1)))(particles, steps)
    for one, other in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * float(jnp.max(jnp.abs(other))) + 1e-12)


def test_memory_of_the_gradient_does_not_grow_with_the_steps():
    force, particles = MeshForce(BOX), start(BOX)

    def memory(run, count):
        steps = growth_steps(LCDM, jnp.linspace(0.1, 1, count + 1))
        gradient = jax.jit(jax.grad(lambda p: jnp.sum(run(force, p, steps).displacement ** 2)))
        return gradient.lower(particles).compile().memory_analysis().temp_size_in_bytes

    def reversibly(force, particles, steps):
        return integrate(force, Unobserved(), particles, steps)[0]

    def remembering(force, particles, steps):
        def advance(before, step):
            return plainly(force, before, jax.tree.map(lambda x: x[None], step)), None

        return jax.lax.scan(advance, particles, steps)[0]

    assert memory(reversibly, 20) < 1.02 * memory(reversibly, 5)
    assert memory(remembering, 20) > 1.5 * memory(remembering, 5), "the comparison sees no growth where there is some"
