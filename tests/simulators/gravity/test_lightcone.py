"""The light cone and the convergence against linear growth, Limber spectra, and finite differences; what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.cosmology import comoving_distance, Cosmology, growth_factor, lens_planes, nonlinear_power, RedshiftBins
from fullfield.fields import band_powers, Bands, FlatSky
from fullfield.simulators.gravity import (
    Box,
    convergence,
    lensing_weights,
    LightCone,
    linear_modes,
    ParticleMesh,
    Particles,
    perturbed,
)


LCDM = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
BOX = Box((16, 16, 32), 12.0)  # 192 x 192 x 384 Mpc/h
MESH = ParticleMesh(BOX, np.linspace(0.35, 1, 9))
CONE = LightCone(BOX, 2016.0, 42, copies=2)
Z = np.linspace(0, 1, 201)
SOURCES = RedshiftBins(Z, np.exp(-((Z - np.asarray([[0.4], [0.6]])) ** 2) / (2 * 0.04**2)))
SKY = FlatSky(16, 5.0)


def seen(cosmology, white, mesh=MESH, cone=CONE):
    particles = perturbed(mesh.box, cosmology, linear_modes(mesh.box, cosmology, white), mesh.scale_factors[0])
    return mesh.on_lightcone(cosmology, particles, cone)[1]


@jax.jit
def maps(sigma_8, omega_c, white):
    cosmology = Cosmology(omega_c, 0.05, 0.7, 0.96, sigma_8)
    return convergence(cosmology, SOURCES, CONE, seen(cosmology, white), SKY)


def scale_factors(distances):
    z = np.linspace(0, 2, 2001)
    return 1 / (1 + np.interp(distances, np.asarray(comoving_distance(LCDM, jnp.asarray(z, float))), z))


def test_particles_at_rest_fill_all_planes_evenly():
    """Whatever the steps and copies, each particle of each copy crosses the cone once."""
    rest = Particles(*(jnp.zeros((3, *BOX.shape)),) * 2)
    _, planes = jax.jit(MESH.on_lightcone, static_argnums=2)(LCDM, rest, CONE)
    np.testing.assert_allclose(planes, 0, atol=1e-3)


def test_moving_particles_cross_once():
    """All of a copy that lies within the cone are seen, however they move: clouds of particles at its two ends aside."""
    planes = np.asarray(jax.jit(seen)(LCDM, jax.random.normal(jax.random.key(0), BOX.shape)))
    assert planes.std() > 0.2
    # The first five copies reach to 1920 Mpc/h; at the far end a plane of density contrast 0.1 would change the mean by 0.0025.
    assert abs(planes[..., :40].mean()) < 0.005


@pytest.mark.parametrize("axis", [0, 1])
def test_wave_across_is_seen_at_the_growth_of_its_distance(axis):
    points = BOX.shape[axis]
    wave = 0.02 * np.cos(2 * np.pi * np.indices(BOX.shape)[axis] / points)
    modes = jnp.fft.rfftn(jnp.asarray(wave, float))
    particles = perturbed(BOX, LCDM, modes, MESH.scale_factors[0])
    _, planes = jax.jit(MESH.on_lightcone, static_argnums=2)(LCDM, particles, CONE)
    across = np.abs(np.fft.fft2(np.asarray(planes, float), axes=(0, 1))) / (16 * 16 / 2)
    found = np.where(np.arange(42) // 8 % 2 == axis, across[1, 0], across[0, 1])  # every second copy is turned
    assert BOX.sides[-1] == 8 * CONE.thickness
    inner = np.isin(np.arange(42) % 8, range(1, 7))  # not shared with the next copy, shifted and turned
    expected = 0.02 * np.asarray(growth_factor(LCDM, jnp.asarray(scale_factors(CONE.distances), float)))
    # The clouds' window is not known better than as sinc(1/16) or its square, 1.3 % apart.
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0.03)
    steepness = found[inner] / found[inner][0] / (expected[inner] / expected[inner][0])
    np.testing.assert_allclose(steepness, 1, rtol=0.02)
    assert expected[inner][-1] < 0.7 * expected[inner][0]


def test_weights_are_the_kernels_of_limber():
    weights = lensing_weights(LCDM, SOURCES, CONE)
    planes = lens_planes(LCDM, SOURCES)
    kernel = [np.interp(CONE.distances, np.asarray(planes.distance), np.asarray(row)) for row in planes.kernel]
    np.testing.assert_allclose(weights / CONE.thickness, kernel, atol=5e-3 * float(jnp.max(planes.kernel)))
    curved = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8, omega_k=0.1)
    found, planes = lensing_weights(curved, SOURCES, CONE), lens_planes(curved, SOURCES)
    at = np.asarray(planes.distance)  # transverse, which for this depth is the line of sight's to 1 %
    kernel = [np.interp(CONE.distances, at, np.asarray(row)) for row in planes.kernel]
    np.testing.assert_allclose(found / CONE.thickness, kernel, atol=2e-2 * float(jnp.max(planes.kernel)))


def test_even_planes_give_even_maps():
    weights = lensing_weights(LCDM, SOURCES, CONE)
    found = convergence(LCDM, SOURCES, CONE, jnp.full((16, 16, 42), 0.1), SKY)
    np.testing.assert_allclose(found, jnp.broadcast_to(0.1 * weights.sum(1), (16, 16, 2)), rtol=1e-4)


@pytest.mark.slow
def test_spectra_are_limbers_through_the_windows_of_plane_and_map():
    """C_ℓ = Σ_j w_j² P(ℓ/χ_j, a_j) W⁸ / (χ_j² Δχ), Limber's sum of halofit; W = sinc of cells, squared as painted and as read.

    48 cones know each of the six numbers to 8 %, and pairs are not independent; 0.3 is 3.7 of these errors. Beyond ℓ = 175
    aliases of the near planes exceed what the windows, which take three quarters of the power there, leave.
    """
    box = Box((32, 32, 64), 6.0)
    mesh, cone, sky = ParticleMesh(box, MESH.scale_factors), LightCone(box, 2016.0, 42, copies=2), FlatSky(32, 5.0)
    bands = Bands(sky, (71.0, 110.0, 175.0))

    @jax.jit
    def draw(key):
        planes = seen(LCDM, jax.random.normal(key, box.shape), mesh, cone)
        return band_powers(bands, convergence(LCDM, SOURCES, cone, planes, sky))

    found = np.mean([draw(key) for key in jax.random.split(jax.random.key(4), 48)], axis=0)
    weights, distances = np.asarray(lensing_weights(LCDM, SOURCES, cone)), np.asarray(cone.distances)
    ell = sky.multipoles()
    along = np.broadcast_arrays(np.fft.fftfreq(32, 1 / 32)[:, None], np.arange(17))
    lattice = np.zeros((3, *ell.shape))
    for j, a in enumerate(scale_factors(distances)):
        k = jnp.asarray(np.maximum(ell, 1).ravel() / distances[j], float)
        power = np.asarray(nonlinear_power(LCDM, k, jnp.asarray([a], float)))[:, 0].reshape(ell.shape)
        scale = sky.fundamental * box.cell / (2 * np.pi * distances[j])
        power = power * np.prod([np.sinc(x * scale) ** 8 for x in along], axis=0) / (distances[j] ** 2 * cone.thickness)
        for p, (first, second) in enumerate(SOURCES.pairs):
            lattice[p] += weights[first, j] * weights[second, j] * power
    expected = np.einsum("byx,pyx->pb", bands.membership / bands.modes[:, None, None], lattice)
    ratio = found / expected
    np.testing.assert_allclose(ratio, 1, atol=0.3)
    assert abs(ratio.mean() - 1) < 0.12
    assert abs(ratio.mean() * 1.2**2 - 1) > 0.12, "1 + z of the lenses left out and still accepted"


def test_gradient_is_that_of_differences():
    """The planes' cotangents enter each step back; in σ8, Ωc and the white noise."""
    noise = jax.random.normal(jax.random.key(1), BOX.shape)
    along = jnp.where(jax.random.normal(jax.random.key(2), BOX.shape) > 0, noise, 0.0)
    target = jax.random.normal(jax.random.key(3), (16, 16, 2)) + 5

    def value(sigma_8, omega_c, white):
        kappa = 100 * maps(sigma_8, omega_c, white)
        return jnp.sum(kappa**2 * target)

    found = jax.jit(jax.grad(value, argnums=(0, 1, 2)))(0.8, 0.25, noise)
    value = jax.jit(value)

    def slope(shifted, h):
        near, far = ((float(shifted(h * s)) - float(shifted(-h * s))) / (2 * h * s) for s in (1, 2))
        return (4 * near - far) / 3

    np.testing.assert_allclose(found[0], slope(lambda s: value(0.8 + s, 0.25, noise), 0.01), rtol=3e-3)
    np.testing.assert_allclose(found[1], slope(lambda s: value(0.8, 0.25 + s, noise), 0.004), rtol=5e-3)
    np.testing.assert_allclose(jnp.vdot(found[2], along), slope(lambda s: value(0.8, 0.25, noise + s * along), 0.01), rtol=3e-3)


def test_impossible_cones_are_refused():
    with pytest.raises(ConfigurationError, match="planes: expected at most 168"):
        LightCone(BOX, 2016.0, 169)
    with pytest.raises(ConfigurationError, match="distance: expected a positive length"):
        LightCone(BOX, 0.0, 4)
    rest = Particles(*(jnp.zeros((3, *BOX.shape)),) * 2)
    with pytest.raises(ConfigurationError, match="box: expected all that the light cone crosses in a step to fit 1 times"):
        MESH.on_lightcone(LCDM, rest, LightCone(BOX, 2016.0, 42))
    with pytest.raises(ConfigurationError, match=r"distance: .*got 4000 Mpc/h. Begin the steps earlier"):
        MESH.on_lightcone(LCDM, rest, LightCone(BOX, 4000.0, 42, copies=9))
    with pytest.raises(ConfigurationError, match="scale_factors: expected steps that end today"):
        ParticleMesh(BOX, (0.35, 0.5)).on_lightcone(LCDM, rest, CONE)
    with pytest.raises(ConfigurationError, match="cone: expected a light cone in"):
        MESH.on_lightcone(LCDM, rest, LightCone(Box((16, 16, 16), 12.0), 2016.0, 42))


def test_sources_and_patches_beyond_the_cone_are_refused():
    planes = jnp.zeros((16, 16, 42))
    with pytest.raises(ConfigurationError, match=r"sky: expected a patch that fits the box, 5.52 degrees"):
        convergence(LCDM, SOURCES, CONE, planes, FlatSky(16, 6.0))
    far = RedshiftBins(Z + 0.3, SOURCES.density)
    with pytest.raises(ConfigurationError, match=r"bins: expected at most a share of 0.01 .* Take a deeper cone"):
        convergence(LCDM, far, CONE, planes, SKY)
    with pytest.raises(Exception, match=r"bins: expected at most a share of 0.01"):
        jax.jit(lambda c: lensing_weights(c, far, CONE))(LCDM)
