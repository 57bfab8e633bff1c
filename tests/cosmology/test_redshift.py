"""Tomographic bins against closed forms and the numbers of Zeghal et al. 2025 (A&A 699, A327, section 3)."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.cosmology import RedshiftBins, smail_bins


def test_lsst_bins_hold_equal_counts(bins):
    """Published mean redshifts 0.31, 0.59, 0.88, 1.26, 2.19, and a fifth of the galaxies each before the scatter."""
    z, density = np.asarray(bins.z, float), np.asarray(bins.density, float)
    np.testing.assert_allclose(np.trapezoid(density, z, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.trapezoid(z * density, z, axis=1), [0.31, 0.59, 0.88, 1.26, 2.19], atol=0.025)


def test_small_scatter_cuts_at_the_published_edges():
    bins = smail_bins(scatter=0.002, n_nodes=4000)
    z, density = np.asarray(bins.z, float), np.asarray(bins.density, float)
    # Neighbours cross at half of n(z): the first node where the farther bin leads.
    edges = [z[np.argmax(density[i + 1] > np.maximum(density[i], 0.01))] for i in range(4)]
    np.testing.assert_allclose(edges, [0.4535, 0.7224, 1.042, 1.539], atol=0.01)


def test_scatter_of_the_sum_leaves_the_distribution(bins):
    """The error functions telescope: all bins together are n(z) except at the ends, where galaxies scatter out of range."""
    z, density = np.asarray(bins.z, float), np.asarray(bins.density, float)
    parent = z**2 * np.exp(-((z / 0.11) ** 0.68))
    inner = (z > 0.4) & (z < 4)
    # Each bin is normalised to one after the scatter has changed its share by up to 1.5 %.
    ratio = density.sum(axis=0)[inner] / parent[inner]
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.03)


@pytest.mark.parametrize(
    ("z", "density", "error"),
    [
        ([0.0, 1.0], [[1.0, 1.0, 1.0]], ShapeError),
        ([0.0, 1.0], [1.0, 1.0], ShapeError),
        ([0.0, 2.0, 1.0], [[1.0, 1.0, 1.0]], DataError),
        ([-0.1, 1.0], [[1.0, 1.0]], DataError),
        ([0.0, 1.0], [[1.0, np.nan]], DataError),
        ([0.0, 1.0], [[-1.0, 3.0]], DataError),
        ([0.0, 1.0], [[1.0, 1.0], [0.0, 0.0]], DataError),
    ],
)
def test_impossible_tables_are_refused(z, density, error):
    with pytest.raises(error):
        RedshiftBins(np.array(z), np.array(density))


@pytest.mark.parametrize("setting", [{"n_bins": 0}, {"scatter": 0.0}, {"z_0": -1.0}])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        smail_bins(**setting)


def gamma(z, mean):
    return stats.gamma.pdf(z, 16, scale=mean / 16)


def test_shifted_bins_are_those_built_elsewhere():
    """n(z - Δz) of each bin, with integral one, whatever leaves the table."""
    z, offsets = np.linspace(0, 2, 401), np.array([0.037, -0.052])
    bins = RedshiftBins(z, np.stack([gamma(z, 0.4), gamma(z, 0.9)]))
    built = RedshiftBins(z, np.stack([gamma(z - offset, mean) for offset, mean in zip(offsets, (0.4, 0.9), strict=True)]))
    shifted = bins.shifted(jnp.asarray(offsets))
    np.testing.assert_allclose(shifted.density, built.density, atol=2e-3 * float(built.density.max()))
    far = bins.shifted(jnp.array([-0.3, 1.0]))
    for found in (shifted, far):
        np.testing.assert_allclose(np.trapezoid(np.asarray(found.density, float), z, axis=1), 1, rtol=1e-5)
    lost = bins.lost(0.0, 2.0, np.array([-0.3, 1.0]))
    expected = [stats.gamma.cdf(0.3, 16, scale=0.4 / 16), stats.gamma.sf(1.0, 16, scale=0.9 / 16)]
    np.testing.assert_allclose(lost, expected, rtol=0.02)
    np.testing.assert_allclose(bins.lost(0.5, 5.0), [stats.gamma.cdf(0.5, 16, scale=m / 16) for m in (0.4, 0.9)], rtol=0.02)


def test_tables_are_normalised_or_held_to_be():
    z = np.linspace(0, 2, 401)
    density = np.stack([gamma(z, 0.4), gamma(z, 0.8)])
    counts = RedshiftBins(z, 1000 * density)
    np.testing.assert_allclose(counts.density, RedshiftBins(z, density, normalised=True).density, rtol=0.01)
    with pytest.raises(DataError, match=r"density: expected integral one in every bin, got 1.5 in bin 1"):
        RedshiftBins(z, density * [[1.0], [1.5]], normalised=True)
    with pytest.raises(DataError, match="Is its tail cut off"):
        RedshiftBins(z[:200], density[:, :200], normalised=True)
