"""The COSMOS field: what the shipped maps hold, clusters under their peaks, no B modes, and the model of the survey."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from fullfield._core import ConfigurationError
from fullfield.fields import gaussian_correlation, kaiser_squires, lognormal_skewness, unrealised_fraction
from fullfield.simulators import cosmos_clusters, cosmos_maps, cosmos_model, cosmos_sources, pixelised_cosmos, TabulatedShift
from fullfield.simulators.cosmos import CENTRE


@pytest.fixture(scope="module")
def fine():
    return cosmos_maps(192)


@pytest.fixture(scope="module")
def model():
    return cosmos_model(64)


def test_shipped_maps_hold_the_catalogue(fine):
    # Numbers of the catalogue itself: galaxies, mean weight, weighted means of (e1, -e2).
    coarse = cosmos_maps(64)
    for maps in (fine, coarse):
        assert maps.counts.sum() == 417117
        np.testing.assert_allclose(maps.weight.sum(), 417117 * 0.9971545, rtol=1e-5)
        mean = (maps.weight[..., None] * maps.shear).sum((0, 1, 2)) / maps.weight.sum()
        np.testing.assert_allclose(mean, [8.79e-4, 2.96e-4], atol=2e-6)
    assert fine.observed.mean() * 1.92**2 == pytest.approx(1.64, abs=0.05)  # deg²
    np.testing.assert_allclose(np.median(coarse.noise[coarse.observed]), 0.0209, atol=0.0001)


def test_the_catalogue_s_e2_runs_west():
    # One bright galaxy half a degree east of the centre, and a faint one beside it beyond |e| = 1.
    east = {"ra": np.full(2, CENTRE[0] + 0.5), "dec": np.full(2, CENTRE[1])}
    maps = pixelised_cosmos(east | {"e1": np.array([0.1, -1.2]), "e2": np.array([0.2, 0.0]), "weight": np.array([1.0, 1e-3])})
    ((row, column, _),) = np.argwhere(maps.observed)
    np.testing.assert_allclose(maps.places(*(np.array([east[name][0]]) for name in ("ra", "dec"))), [[row], [column]], atol=0.5)
    assert column == 96 + int(0.5 * np.cos(np.radians(CENTRE[1])) * 100)
    np.testing.assert_allclose(maps.shear[row, column, 0], [0.0987, -0.1998], atol=2e-4)


def modes_of(shear, sky, arcmin):
    """E and B modes of one bin (n, n, 2), smoothed with a Gaussian."""
    width = arcmin / sky.pixel_arcmin
    return scipy.ndimage.gaussian_filter(np.asarray(kaiser_squires(shear))[:, :, 0], (width, width, 0), mode="wrap")


def covered(maps, arcmin, least):
    """Where the smoothed mask exceeds a limit."""
    mask = maps.observed[..., 0].astype(float)
    return scipy.ndimage.gaussian_filter(mask, arcmin / maps.sky.pixel_arcmin, mode="wrap") > least


def significances(maps, flips=(1, 1), most=30):
    """Mean E and B mode at the most massive clusters in the observed field, in standard deviations of such a mean elsewhere."""
    modes = modes_of(maps.shear * np.asarray(flips, np.float32), maps.sky, 1.0)
    field, clusters = covered(maps, 1.0, 0.8), cosmos_clusters()
    places = np.rint(np.stack(maps.places(clusters.ra, clusters.dec))).astype(int)
    inside = np.all((places >= 0) & (places < maps.sky.pixels), axis=0)
    inside[inside] = field[tuple(places[:, inside])]
    heaviest = [i for i in np.argsort(-clusters.mass) if inside[i]][:most]
    found = modes[tuple(places[:, heaviest])].mean(0) - modes[field].mean(0)
    return found / (modes[field].std(0) / np.sqrt(most))


def test_masses_lie_where_clusters_shine(fine):
    # The 30 heaviest clusters: 8.6 and -0.8 were found; each flip of an axis is a broken twin, and leaves 0.4 at most.
    e, b = significances(fine)
    assert e > 6
    assert abs(b) < 3
    for flips in ((1, -1), (-1, 1), (-1, -1)):
        assert significances(fine, flips)[0] < 3


def test_b_modes_are_noise_and_what_the_mask_leaks(model):
    """Variance of the smoothed modes against 60 simulations, which have no B modes but those that the mask makes of E modes.

    Four standard deviations either way. The broken twin, shear turned by 45 degrees, has the E modes for B modes. Against 60
    catalogues of randomly rotated galaxies, whose scatter the noise map gives to 0.1 %, E modes are 15 standard deviations up
    in variance and B modes 2, the mask's share.
    """
    maps = cosmos_maps(64)
    data = model.prepare(maps)
    field = covered(maps, 2.0, 0.9)

    def variances(shear):
        return modes_of(shear, maps.sky, 2.0)[field].var(0)

    keys = jax.random.split(jax.random.key(3), 60)
    simulate = eqx.filter_jit(lambda keys: jax.lax.map(lambda key: model.simulate_at(key, model.parameters.fiducial), keys))
    _, b = np.transpose([variances(one) for one in np.asarray(simulate(keys))])
    assert abs(variances(data)[1] - b.mean()) < 4 * b.std()
    turned = np.stack([-data[..., 1], data[..., 0]], axis=-1)
    assert variances(turned)[1] - b.mean() > 5 * b.std()


def test_lognormal_field_of_the_survey_exists_and_is_as_skewed_as_the_published_table_says(model):
    lensing = model.lensing

    @jax.jit
    def properties(theta):
        spectra = lensing.spectra(theta)
        shift, correlation = lensing.pixel_shift(theta, spectra), lensing.lattice.correlation(spectra)
        unrealised = unrealised_fraction(lensing.lattice.power_of(gaussian_correlation(correlation, shift)))
        return shift[0], correlation[0, 0, 0], unrealised

    thetas = model.parameters.sample(jax.random.key(0), (100,))
    shifts, variances, unrealised = jax.lax.map(properties, thetas)
    assert not unrealised.any()
    assert jnp.all((jnp.sqrt(variances) < shifts) & (shifts < 0.2))
    # LSST's fourth bin is at a mean redshift of 1.26 too, and narrower, and the table is for pixels of 2.34 arcmin.
    shift, variance, _ = properties(model.parameters.fiducial)
    table = TabulatedShift()(lensing.cosmology(model.parameters.fiducial))
    assert 0.8 < shift / table[3] < 1.25
    assert 0.7 < lognormal_skewness(variance, shift) < 1.5


def test_sources_and_settings():
    sources = cosmos_sources()
    assert np.trapezoid(sources.z * sources.density[0], sources.z) == pytest.approx(1.27, abs=0.005)
    assert len(cosmos_clusters().mass) == 72
    for pixels in (7, 128, 2):
        with pytest.raises(ConfigurationError, match="pixels: expected an even divisor of 192"):
            cosmos_model(pixels)


def test_maps_of_another_size_are_refused(model):
    with pytest.raises(ConfigurationError, match="expected pixels = 64, as the model, got pixels = 32"):
        model.prepare(cosmos_maps(32))
