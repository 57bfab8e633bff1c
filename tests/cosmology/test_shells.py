"""Maps made of shells of matter have the spectra of lensing, alignment and counts: Limber, CCL, and refusals."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyccl
import pytest
from ccl_referee import ccl_universe
from scipy import stats

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology, even_shells, lensing_spectra, MatterShells, NLA, RedshiftBins


MULTIPOLES = np.array([36.0, 100.0, 300.0, 1000.0, 2300.0])
PAIRS = np.triu_indices(2)


@pytest.fixture(scope="module")
def universe():
    return Cosmology(omega_c=0.24, omega_b=0.0493, h=0.6736, n_s=0.9649, sigma_8=0.78)


@pytest.fixture(scope="module")
def bins():
    z = np.linspace(0, 1.75, 400)
    return RedshiftBins(z, np.stack([stats.norm.pdf(z, mean, 0.15) for mean in (0.4, 0.9)]))


@pytest.fixture(scope="module")
def fields(universe, bins):
    return even_shells(bins, 1.75)(universe, jnp.asarray(MULTIPOLES, float))


def summed(first, second, spectra):
    return np.einsum("ps,sl->pl", first[PAIRS[0]] * second[PAIRS[1]], spectra)


@pytest.mark.parametrize("amplitude", [0.0, 1.0, -2.0])
def test_shells_have_the_spectra_of_lensing_and_alignment(universe, bins, fields, amplitude):
    """What shells of a thirty-second of the depth do not resolve is two percent of the near bin's, and less of others."""
    weights = np.asarray(fields.lensing + amplitude * fields.alignment)
    exact = np.asarray(lensing_spectra(universe, bins, jnp.asarray(MULTIPOLES, float), alignment=NLA(amplitude)))
    scale = np.sqrt(exact[0] * exact[2])
    assert np.max(np.abs(summed(weights, weights, fields.spectra) - exact) / np.stack([exact[0], scale, exact[2]])) < 0.025


def test_counts_have_the_spectra_of_ccl(universe, bins, fields):
    """CCL's halofit is ours, of Takahashi et al.; its Limber integral is finer than shells."""
    ccl = ccl_universe((0.24, 0.0493, 0.6736, 0.9649, 0.78, -1.0))
    z = np.asarray(bins.z, float)
    counts = [
        pyccl.NumberCountsTracer(ccl, has_rsd=False, dndz=(z, np.asarray(row, float)), bias=(z, np.ones_like(z)))
        for row in bins.density
    ]
    lenses = [pyccl.WeakLensingTracer(ccl, dndz=(z, np.asarray(row, float))) for row in bins.density]
    for tracers, weights in (
        ((counts, counts), (fields.clustering,) * 2),
        ((counts, lenses), (fields.clustering, fields.lensing)),
    ):
        auto = [pyccl.angular_cl(ccl, tracers[0][i], tracers[1][i], MULTIPOLES) for i in range(2)]
        found = summed(*map(np.asarray, weights), fields.spectra)
        np.testing.assert_allclose(found[[0, 2]], auto, rtol=0.025)
        scale = np.sqrt(np.abs(auto[0] * auto[1]))
        cross = pyccl.angular_cl(ccl, tracers[0][0], tracers[1][1], MULTIPOLES)
        assert np.max(np.abs(found[1] - cross) / np.maximum(scale, np.abs(cross))) < 0.025


def test_more_shells_are_nearer_the_integral(universe, bins):
    """Quadratically: half the thickness, a quarter of the error."""
    exact = np.asarray(lensing_spectra(universe, bins, jnp.asarray(MULTIPOLES, float)))[0]
    errors = []
    for n in (16, 32):
        found = even_shells(bins, 1.75, n)(universe, jnp.asarray(MULTIPOLES, float))
        errors.append(np.abs(np.asarray(found.lensing[0] ** 2 @ found.spectra) / exact - 1).max())
    assert errors[1] < errors[0] / 2.5


def test_weights_follow_the_cosmology(universe, bins):
    """Against finite differences in double precision."""

    def weight(shells, omega_c):
        found = shells(Cosmology(omega_c, 0.0493, h=0.6736, n_s=0.9649, sigma_8=0.78), jnp.array([100.0], float))
        return jnp.stack([found.lensing[1, 2], found.alignment[0, 2], found.spectra[2, 0] * 1e4])

    with jax.enable_x64(True):
        weight = jax.jit(functools.partial(weight, even_shells(bins, 1.75, 8)))
        slope = jax.jacfwd(weight)(jnp.asarray(0.24))
        step = 1e-4
        expected = (weight(jnp.asarray(0.24 + step)) - weight(jnp.asarray(0.24 - step))) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((0.0, 0.5), "edges: expected shells that hold all but 0.01 of the galaxies.*of bin 1 outside 0 to 0.5"),
        ((0.0, 2.0, 1.0), "edges: expected increasing redshifts"),
        ((-0.1, 2.0), "edges: expected increasing redshifts"),
        ((1.0,), "at least two"),
    ],
)
def test_shells_that_cannot_be_are_refused(bins, edges, message):
    with pytest.raises(ConfigurationError, match=message):
        MatterShells(bins, edges)


def test_shifted_shells_are_those_of_shifted_bins(universe):
    """Kernels of lensing, alignment and clustering, against tables that were made shifted; those of one bin stay."""
    z, offsets, means = np.linspace(0, 1.75, 400), np.array([0.03, -0.04]), np.array([0.6, 1.0])
    bins, built = (RedshiftBins(z, np.stack([stats.norm.pdf(z, m, 0.15) for m in some])) for some in (means, means + offsets))
    ell, made = jnp.array([300.0]), eqx.filter_jit(MatterShells.__call__)
    plain, shifted, expected = (
        made(shells, universe, ell)
        for shells in (even_shells(bins, 1.75), even_shells(bins, 1.75).shifted(jnp.asarray(offsets)), even_shells(built, 1.75))
    )
    for kind in ("lensing", "alignment", "clustering"):
        found, wanted, before = (np.asarray(getattr(fields, kind)) for fields in (shifted, expected, plain))
        largest = np.abs(wanted).max(axis=1, keepdims=True)
        assert np.abs((found - wanted) / largest).max() < 0.005
        assert np.abs((before - wanted) / largest).max() > 0.03, "a shift that is not there is seen"
    np.testing.assert_array_equal(shifted.spectra, plain.spectra)


def test_weights_follow_the_shifts(universe, bins):
    """Against finite differences, between nodes of the table."""
    with jax.enable_x64(True):
        shells = even_shells(bins, 1.75, 8)

        @jax.jit
        def weights(offset):
            found = shells.shifted(jnp.stack([offset, -offset]))(universe, jnp.array([100.0], float))
            return jnp.stack([found.lensing[1], found.alignment[0], found.clustering[1]])

        at, step = jnp.asarray(0.0123, float), 1e-5  # of a type that is not weak, beside tables of single precision
        slope = jax.jit(jax.jacfwd(weights))(at)
        expected = (weights(at + step) - weights(at - step)) / (2 * step)
        slope, expected = np.asarray(slope), np.asarray(expected)
    largest = np.abs(expected).max(axis=1, keepdims=True)
    np.testing.assert_allclose(slope / largest, expected / largest, atol=1e-3)


def test_shifts_that_lose_galaxies_are_refused(bins):
    shells = even_shells(bins, 1.75)
    shells.check(np.array([0.02, 0.05]))
    with pytest.raises(ConfigurationError, match=r"of bin 1 outside 0 to 1.75 when shifted by 0.6"):
        shells.check(np.array([0.0, 0.6]))
    with pytest.raises(ConfigurationError, match=r"of bin 0 outside 0 to 1.75 when shifted by -0.3"):
        shells.check(np.array([-0.3, 0.0]))
