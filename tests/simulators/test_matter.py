"""Matter of a light cone, for combined probes: spectra against Limber's, weights against those of shells, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.cosmology import comoving_distance, Cosmology, even_shells, nonlinear_power, RedshiftBins
from fullfield.fields import band_powers, Bands, FlatSky, pair_indices
from fullfield.simulators import CombinedProbes, evolved_matter, EvolvedMatter, LognormalMatter, stage3_bins
from fullfield.simulators.gravity import Box, galaxy_weights, lensing_weights, LightCone, ParticleMesh


COSMOLOGY = Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
POINTS, SIDE = 32, 32
# Bins within one copy of the box each: what lies on two sides of a seam is not correlated, as Limber's matter is.
Z = np.linspace(0, 1, 201)
BINS = RedshiftBins(Z, np.exp(-((Z - np.array([[0.505], [0.67]])) ** 2) / (2 * 0.04**2)))
BOX = Box((POINTS, POINTS, 64), 6.0)
CONE = LightCone(BOX, 2016.0, 42, copies=2)
SKY = FlatSky(SIDE, 5.0)
STAGE3 = stage3_bins(100)


def expected_bands(bands):
    """Limber's sums over planes of halofit, through the mesh's windows and for the part of the box that the patch is."""
    galaxies, alignment = galaxy_weights(COSMOLOGY, BINS, CONE)
    weights = np.concatenate([lensing_weights(COSMOLOGY, BINS, CONE), alignment, galaxies])
    first, second = pair_indices(len(weights))
    # Particles are shared between neighbouring planes.
    shared = np.stack([np.convolve(np.pad(row, 1, mode="edge"), [1 / 6, 2 / 3, 1 / 6], "valid") for row in weights])
    z = np.linspace(0, 1, 1001)
    distances = np.asarray(CONE.distances)
    at = 1 / (1 + np.interp(distances, np.asarray(comoving_distance(COSMOLOGY, jnp.asarray(z, float))), z))
    mode = np.fft.fftfreq(POINTS, 1 / POINTS)
    basis = np.exp(2j * np.pi * np.outer(np.arange(POINTS), mode) / POINTS)
    k = np.maximum(2 * np.pi / BOX.sides[0] * np.hypot(mode[:, None], mode), 1e-3)
    power = np.asarray(nonlinear_power(COSMOLOGY, jnp.asarray(k.ravel(), float), jnp.asarray(at, float)))
    window = np.outer(np.sinc(mode / POINTS), np.sinc(mode / POINTS)) ** 4 * (np.add.outer(mode**2, mode**2) > 0)
    lattice = np.zeros((len(first), SIDE, SIDE // 2 + 1))
    for plane, distance in enumerate(distances):
        # Modes of the box, interpolated to pixels, as modes of the patch.
        pixel = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) * SKY.side_radians * distance / BOX.cell + POINTS / 2
        between = np.maximum(0, 1 - np.abs((pixel[:, None] - np.arange(POINTS) + POINTS / 2) % POINTS - POINTS / 2))
        seen = np.abs(np.fft.fft(between @ basis, axis=0)) ** 2
        box = power[:, plane].reshape(k.shape) * window / (CONE.thickness * BOX.sides[0] ** 2)
        patch = (seen @ box @ seen.T)[:, : SIDE // 2 + 1] * SKY.side_radians**2 / SIDE**4
        lattice += (weights[first, plane] * shared[second, plane])[:, None, None] * patch
    return np.einsum("byx,pyx->pb", bands.membership / bands.modes[:, None, None], lattice)


@pytest.mark.slow
def test_all_probes_of_a_light_cone_have_limbers_spectra():
    """Of 32 cones, autos and pairs of unlike probes of the same galaxies, where cells of 6 Mpc/h resolve them, to ℓ = 260.

    Each number is known to some 8 %, and pairs of a bin are nearly the same ones; they may be off by five errors, which is the
    scatter's, and their mean by 12 %.
    """
    matter = EvolvedMatter(SKY, BINS, ParticleMesh(BOX, np.linspace(0.35, 1, 9)), CONE)
    bands = Bands(SKY, (71.0, 110.0, 175.0, 260.0))

    @jax.jit
    def draw(key, sigma_8):
        cosmology = eqx.tree_at(lambda c: c.sigma_8, COSMOLOGY, sigma_8)
        seen = matter.slices(cosmology, jax.random.normal(key, BOX.shape))
        return band_powers(bands, jnp.concatenate(seen.maps(), axis=-1)), jnp.min(seen.contrast)

    found, least = zip(*(draw(key, 0.8) for key in jax.random.split(jax.random.key(4), 32)), strict=True)
    assert min(*least, draw(jax.random.key(5), 2.0)[1]) > -1 - 1e-5
    first, second = pair_indices(6)
    known = (first == second) | ((first % 2 == second % 2) & (first > 1))
    found, expected = np.stack(found)[:, known], expected_bands(bands)[known]
    assert (expected[(first[known] < 4) & (second[known] > 3)] < 0).all(), "galaxies are aligned against the shear"
    ratio, error = found.mean(0) / expected, found.std(0) / np.sqrt(len(found)) / np.abs(expected)
    assert error.max() < 0.12
    aligned = np.sum([(index[known] > 1) & (index[known] < 4) for index in (first, second)], axis=0)
    np.testing.assert_array_less(np.abs(ratio - 1), 5 * error)
    assert abs(ratio.mean() - 1) < 0.12
    assert abs((ratio * 1.3 ** aligned[:, None]).mean() - 1) > 0.12, "alignment less growth, three quarters, and still accepted"


def test_both_suppliers_weigh_matter_alike():
    """All of it, in every map of every bin, and at the same distances on average."""
    evolved = evolved_matter(FlatSky(8, 5.0), STAGE3, 8)
    shells = even_shells(STAGE3, 1.75)
    fields = shells(COSMOLOGY, jnp.array([100.0]))
    galaxies, alignment = galaxy_weights(COSMOLOGY, STAGE3, evolved.cone)
    weights = lensing_weights(COSMOLOGY, STAGE3, evolved.cone), alignment, galaxies
    middles = (np.array(shells.edges[1:]) + shells.edges[:-1]) / 2
    distance = np.asarray(comoving_distance(COSMOLOGY, jnp.asarray(middles, float)))
    for found, expected in zip(weights, (fields.lensing, fields.alignment, fields.clustering), strict=True):
        np.testing.assert_allclose(found.sum(1), expected.sum(1), rtol=0.01)
        np.testing.assert_allclose(found @ np.array(evolved.cone.distances), expected @ distance, rtol=0.01)
    np.testing.assert_allclose(galaxies.sum(1), 1, rtol=0.01)


def test_the_density_of_maps_of_a_light_cone_has_finite_gradients():
    """By all parameters and by the initial conditions, up to the corner of the prior where distances are longest."""
    model = CombinedProbes(matter=evolved_matter(FlatSky(8, 5.0), STAGE3, 8))
    assert model.hartley == ()
    theta = model.parameters.fiducial
    latents, data = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(1), theta)
    assert data.shape == model.data_shape == (8, 8, 8)
    assert latents["white"].shape == (8, 8, 8)
    gradient = jax.jit(jax.grad(lambda *given: model.log_joint(*given, data), argnums=(0, 1)))
    low, high = map(jnp.asarray, zip(*model.parameters.bounds, strict=True))
    for at in (theta, low + 1e-3, high - 1e-3):
        found = gradient(at, latents)
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(found))
        assert float(jnp.abs(found[1]["white"] + latents["white"]).max()) > 0, "data say something of initial conditions"


def test_cones_that_do_not_hold_the_survey_are_refused():
    sky = FlatSky(8, 5.0)
    short = CombinedProbes(matter=evolved_matter(sky, STAGE3, 8, depth=2000.0))
    with pytest.raises(ConfigurationError, match="of the sources of each bin behind the end of the light cone"):
        short.matter(short.parameters.fiducial, jnp.zeros((8, 8, 8)))
    full = evolved_matter(sky, STAGE3, 8)
    with pytest.raises(ConfigurationError, match=r"sky: expected a patch that fits the box, 5.06 degrees at the last plane"):
        EvolvedMatter(FlatSky(8, 6.0), STAGE3, full.dynamics, full.cone)
    with pytest.raises(ConfigurationError, match="cone: expected a light cone in"):
        EvolvedMatter(sky, STAGE3, full.dynamics, CONE)
    with pytest.raises(ConfigurationError, match="oversampling: expected a positive number"):
        EvolvedMatter(sky, STAGE3, full.dynamics, full.cone, oversampling=0)
    with pytest.raises(ConfigurationError, match="matter: expected a supplier alone"):
        CombinedProbes(sky, matter=full)
    assert CombinedProbes(matter=LognormalMatter(sky, even_shells(STAGE3, 1.75, 4))).hartley == ("white",)
