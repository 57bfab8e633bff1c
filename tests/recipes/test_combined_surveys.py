"""Surveys of fields, their spectra, and what estimates look at."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.compression import ScaledProbes
from fullfield.cosmology import MatterShells
from fullfield.fields import band_powers, FlatSky, logarithmic_bands, smoothed
from fullfield.recipes.combined_sensitivity import against_density, linear_estimate, sensitivities
from fullfield.recipes.combined_suppliers import ASKED, LAWS, loosened, skewness
from fullfield.recipes.combined_surveys import (
    CHANNELS,
    draw_parameters,
    FieldSpectra,
    open_maps,
    read_surveys,
    simulate_surveys,
)
from fullfield.simulators import CombinedProbes, stage3_bins


SKY = FlatSky(16, 1.25)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Five light cones with galaxies drawn twice over, in chunks of two and of five."""
    model, bands = CombinedProbes(SKY), logarithmic_bands(SKY, 4)
    scaled = ScaledProbes(SKY, model.galaxies, model.ellipticity_scatter)
    theta, keys = draw_parameters(model.parameters, jax.random.key(1), 5, galaxies=2), jax.random.split(jax.random.key(2), 5)
    theta = theta.at[0].set(jnp.array([0.4, 1.1, 0.0, 1.6, 2.4, 0.999, 0.5]))
    folders = [tmp_path_factory.mktemp("surveys") for _ in range(2)]
    for chunk, folder in zip((2, 5), folders, strict=True):
        simulate_surveys(
            model, scaled, bands, keys, theta, folder, part="some", fields=3, progress=lambda *_, **__: None, chunk=chunk
        )
    return bands, *folders


def test_surveys_hold_the_maps_and_their_spectra(simulated):
    """Spectra in the file are those of the maps in the file, half precision apart; fields differ, and chunks do not matter."""
    bands, folder, other = simulated
    arrays, maps = read_surveys(folder, "some"), open_maps(folder, "some", "combined")
    np.testing.assert_array_equal(maps, open_maps(other, "some", "combined"))
    assert maps.shape == (10, 3, 16, 16, 8)
    assert len({field.tobytes() for survey in maps for field in survey}) == 30
    for probe in CHANNELS:
        some = jnp.asarray(open_maps(folder, "some", probe)[3], jnp.float32)
        np.testing.assert_allclose(arrays[f"spectra/{probe}"][3], FieldSpectra(bands)(some), atol=0.01)
        np.testing.assert_allclose(arrays[f"moduli/{probe}"][3], FieldSpectra(bands, "moduli")(some), atol=0.01)


def test_galaxies_are_drawn_anew_in_the_same_light_cone(simulated):
    """Cosmology is shared and all else is not; at equal parameters the same matter is seen under other noise."""
    _, folder, _ = simulated
    theta, maps = read_surveys(folder, "some")["theta"].reshape(5, 2, 7), open_maps(folder, "some", "combined")
    np.testing.assert_array_equal(theta[:, 0, :2], theta[:, 1, :2])
    assert np.all(theta[1:, 0, 2:] != theta[1:, 1, 2:])
    galaxies = np.float32(maps[0, ..., 5]), np.float32(maps[1, ..., 5])
    assert np.corrcoef(galaxies[0].ravel(), galaxies[1].ravel())[0, 1] > 0.9
    assert not np.array_equal(*galaxies)
    assert abs(np.corrcoef(galaxies[0].ravel(), np.float32(maps[2, ..., 5]).ravel())[0, 1]) < 0.5


class CrossPower(eqx.Module):
    """Mean product of the first convergence and the first galaxies, a summary with a known slope."""

    def __call__(self, maps):
        return jnp.stack([jnp.mean(maps[..., 0] * maps[..., 4]), jnp.mean(maps[..., 1])])


def test_a_cross_spectrum_looks_at_the_convergence_where_galaxies_are():
    """∂(Σ κ δ)/∂κ = δ, smoothed as κ was; so its correlation with the galaxies is that of white noise smoothed twice."""
    scaled = ScaledProbes(SKY, 50.0, 0.4)
    maps = np.asarray(jax.random.normal(jax.random.key(0), (4, 9, 16, 16, 8)))
    found = sensitivities(scaled, CrossPower(), np.array([[2.0, 0.0]]), maps)[:, 0]
    widths = sum(scaled.widths, ())
    expected = 2 / (9 * 256) * np.asarray(smoothed(SKY, jnp.asarray(maps[1, 3][..., [4]]), (widths[0],)))[..., 0]
    np.testing.assert_allclose(found[1, 3, ..., 0], expected, atol=1e-7)
    np.testing.assert_allclose(found[..., 2:4], 0.0)
    looked, galaxies = (array.reshape(-1, 16, 16) for array in (found[..., 0], maps[..., 4]))
    density, stacked, correlation = against_density(SKY, looked, galaxies)
    beams = np.exp(-0.5 * (SKY.multipoles() * np.deg2rad(np.array([widths[0], 5.0])[:, None, None] / 60)) ** 2)
    weight = np.full(beams[0].shape, 2.0)
    weight[:, [0, -1]] = 1.0
    weight[0, 0] = 0.0
    one, two, cross = (np.sum(weight * beams[i] * beams[j]) for i, j in ((0, 0), (1, 1), (0, 1)))
    # Of 36 fields of some 30 independent patches of smoothing.
    np.testing.assert_allclose(correlation, cross / np.sqrt(one * two), atol=0.03)
    assert np.all(np.diff(stacked) > 0)
    assert np.all(np.diff(density) > 0)


def test_the_line_from_summaries_is_that_of_least_squares():
    random = np.random.default_rng(0)
    t = random.normal(size=(200, 3))
    slopes = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    np.testing.assert_allclose(linear_estimate(t @ slopes.T + 7.0, t), slopes, atol=1e-10)


def test_spectra_of_a_survey_are_means_over_its_fields():
    bands = logarithmic_bands(SKY, 4)
    maps = jax.random.normal(jax.random.key(3), (2, 16, 16, 2))
    powers = (band_powers(bands, maps[0]) + band_powers(bands, maps[1])) / 2
    floor = (powers[0, -1] + powers[2, -1]) / 2
    np.testing.assert_allclose(FieldSpectra(bands)(maps), np.arcsinh(powers / floor).ravel(), rtol=1e-5)


def test_lognormal_matter_is_as_skewed_as_its_shells_say():
    """Of one lognormal shell of variance s², unsmoothed, skewness is 3 s + s³; to 5 errors of 60 fields."""
    sky, bins = FlatSky(16, 8.0), stage3_bins()
    model = CombinedProbes(sky, MatterShells(bins, (0.02, 1.75)))
    scaled = ScaledProbes(sky, 50.0, 0.4, ((0.0,) * 4, (0.0,) * 4))
    found = skewness(model, scaled, jax.random.key(0), 60, lambda *_, **__: None)
    np.testing.assert_allclose(found, found[:, :1] * np.ones(8), rtol=1e-3)  # one shell, of which every map is a multiple
    fields = model.supplier.shells(model.cosmology(model.parameters.fiducial), model.supplier.lattice.multipoles)
    one = jax.jit(jax.vmap(lambda white: model.matter(model.parameters.fiducial, white)[2][..., 0] / fields.clustering[0, 0]))
    contrast = np.asarray(one(jax.random.normal(jax.random.key(1), (60, *model.supplier.white_shape))))
    deviation = contrast.std()
    # Each field's own mean is taken off, and its third moment is over its own variance, which scatters.
    assert found[:, 0].mean() == pytest.approx(
        3 * deviation + deviation**3, abs=5 * found[:, 0].std() / np.sqrt(60) + 0.1 * deviation
    )


def test_galaxies_are_loosened_as_the_law_says():
    """Of 20 fields at every r_g asked for: right by the exact law, off by the cardinal sine of the published one."""
    model, bands = CombinedProbes(SKY), logarithmic_bands(SKY, 4)
    found = loosened(model, bands, jax.random.key(5), 20)
    for curves, law in zip(found.values(), LAWS.values(), strict=True):
        expected = np.sinc(np.asarray([law(r) for r in ASKED]))
        # Powers weigh cosines unevenly; of modes that are their own image, which stay, the last band holds a few per cent.
        np.testing.assert_allclose(curves[:, 1:].mean(axis=1), expected, atol=0.06)
