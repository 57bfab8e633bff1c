"""The whole core in float32 against CCL, over the prior of the lensing model.

CCL is the judge with three exceptions, each seen in its source (ccl_halofit.c, ccl_cls.c): it looks for the non-linear scale
only above 0.01 Mpc; for w_a ≠ 0 its halofit takes the w of an equivalent constant-w universe; its Limber integral puts
k = (ℓ + ½)/χ also in curved space. Below omega_c = 0.017 (1.5 % of the prior) the linear power crosses zero, which CCL's
table of ln P cannot hold: `test_lensing_spectra.py` compares those universes with brute-force quadrature.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ccl_referee import ccl_spectra, ccl_universe, FIDUCIAL, lensing_prior, MULTIPOLES, REDSHIFTS, WAVENUMBERS

from fullfield.cosmology import (
    comoving_distance,
    Cosmology,
    EisensteinHu,
    growth_factor,
    growth_rate,
    lensing_spectra,
    Linear,
    linear_power,
    NLA,
    nonlinear_power,
    transverse_distance,
)  # fmt: skip
from fullfield.cosmology.halofit import nonlinear_scale
from fullfield.cosmology.linear import linear_spectrum


EXTREMES = (
    (0.02, 0.0492, 0.6727, 0.9645, 0.831, -1.0),
    (0.9, 0.0492, 0.6727, 0.9645, 0.831, -1.0),
    (0.2664, 0.0492, 0.6727, 0.9645, 0.45, -1.0),
    (0.2664, 0.0492, 0.6727, 0.9645, 1.25, -0.5),
    (0.2664, 0.03, 0.5, 0.75, 0.831, -0.31),
    (0.2664, 0.068, 0.85, 1.2, 0.831, -1.99),
)
PRIOR = lensing_prior(20, seed=5)
PRIOR = np.concatenate([[FIDUCIAL], EXTREMES, PRIOR[PRIOR[:, 0] > 0.017]])
CURVED = [(*FIDUCIAL, 0.0, 0.1), (*FIDUCIAL, 0.0, -0.1)]
EVOLVING = [(*FIDUCIAL[:5], -0.9, -0.3, 0.0)]
SCALE_FACTORS = 1 / (1 + REDSHIFTS)
ALIGNMENT = 1.3


@pytest.fixture(scope="module")
def ours(bins):
    """Everything this core computes, in float32, for all universes at once."""

    @jax.jit
    def compute(thetas):
        return jax.lax.map(one, thetas)

    def one(theta):
        cosmology = Cosmology(*theta)
        z, a = jnp.asarray(REDSHIFTS, float), jnp.asarray(SCALE_FACTORS, float)
        k, multipoles = jnp.asarray(WAVENUMBERS, float), jnp.asarray(MULTIPOLES, float)
        distance = comoving_distance(cosmology, z)
        scale = nonlinear_scale(linear_spectrum(cosmology, EisensteinHu()), growth_factor(cosmology, a))
        return {
            "distance": distance,
            "transverse": transverse_distance(cosmology, distance),
            "growth": growth_factor(cosmology, a),
            "rate": growth_rate(cosmology, a),
            "linear": linear_power(cosmology, k, a),
            "tabulated": Linear()(cosmology, jnp.log(k)[:, None], a, growth_factor(cosmology, a)),
            "halofit": nonlinear_power(cosmology, k, a),
            "radius": jnp.exp(scale.log_radius) / cosmology.h,
            "spectra": lensing_spectra(cosmology, bins, multipoles),
            "linear spectra": lensing_spectra(cosmology, bins, multipoles, power=Linear()),
            "aligned": lensing_spectra(cosmology, bins, multipoles, alignment=NLA(ALIGNMENT)),
        }

    padded = [(*theta, *(0.0,) * (8 - len(theta))) for theta in (*PRIOR, *CURVED, *EVOLVING)]
    return jax.tree.map(np.asarray, compute(jnp.asarray(padded, jnp.float32)))


@pytest.fixture(scope="module")
def ccl():
    return [ccl_universe(theta) for theta in (*PRIOR, *CURVED, *EVOLVING)]


def background(cosmology):
    h = cosmology["h"]
    return {
        "distance": cosmology.comoving_radial_distance(SCALE_FACTORS) * h,
        "transverse": cosmology.comoving_angular_distance(SCALE_FACTORS) * h,
        "growth": cosmology.growth_factor(SCALE_FACTORS),
        "rate": cosmology.growth_rate(SCALE_FACTORS),
    }


@pytest.mark.parametrize(("name", "bar"), [("distance", 1e-4), ("transverse", 1e-4), ("growth", 1e-3), ("rate", 1e-3)])
def test_background(ours, ccl, name, bar):
    theirs = np.array([background(cosmology)[name] for cosmology in ccl])
    np.testing.assert_allclose(ours[name], theirs, rtol=bar)


def power(cosmology, function):
    h = cosmology["h"]
    return np.array([function(WAVENUMBERS * h, a) * h**3 for a in SCALE_FACTORS]).T


def relative_difference(mine, theirs, cosmology):
    """Relative to the larger of the neighbouring values where baryons dominate and P(k) has deep acoustic troughs."""
    size = theirs
    if cosmology["Omega_c"] < 2 * cosmology["Omega_b"]:
        size = np.maximum(theirs, np.maximum(np.roll(theirs, 1, axis=0), np.roll(theirs, -1, axis=0)))
    return np.abs(mine - theirs) / size


def test_linear_power(ours, ccl):
    for i, cosmology in enumerate(ccl):
        theirs = power(cosmology, cosmology.linear_matter_power)
        assert relative_difference(ours["linear"][i], theirs, cosmology).max() < 2e-3
        assert relative_difference(ours["tabulated"][i], theirs, cosmology).max() < 3e-3


def test_halofit_of_constant_w(ours, ccl):
    inside = ours["radius"] > 0.02  # Mpc; CCL looks for a root above 0.01, and its splines overshoot near that end
    assert inside[:, REDSHIFTS <= 1].all()
    assert inside.mean() > 0.8
    for i, cosmology in enumerate(ccl[: len(PRIOR) + len(CURVED)]):
        theirs = power(cosmology, cosmology.nonlin_matter_power)
        assert relative_difference(ours["halofit"][i], theirs, cosmology)[:, inside[i]].max() < 1e-2, i


def test_halofit_of_evolving_w_follows_w_of_a(ours, ccl):
    theirs = power(ccl[-1], ccl[-1].nonlin_matter_power)
    np.testing.assert_allclose(ours["halofit"][-1], theirs, rtol=3e-2)


def test_spectra_over_the_prior(ours, ccl, fine_bins):
    for i, cosmology in enumerate(ccl[: len(PRIOR)]):
        theirs = ccl_spectra(cosmology, fine_bins)
        np.testing.assert_allclose(ours["spectra"][i], theirs, rtol=5e-3, err_msg=str(PRIOR[i]))


def test_spectra_with_intrinsic_alignment(ours, ccl, fine_bins):
    for i in (0, 3, 8):
        theirs = ccl_spectra(ccl[i], fine_bins, ALIGNMENT)
        # Cross spectra of distant bins change sign with ℓ: 0.5 % of the geometric mean of the two bins' own spectra.
        own = {pair: theirs[n] for n, pair in enumerate(fine_bins.pairs) if pair[0] == pair[1]}
        size = np.array([np.sqrt(own[a, a] * own[b, b]) for a, b in fine_bins.pairs])
        assert np.max(np.abs(ours["aligned"][i] - theirs) / size) < 5e-3
        assert np.max(np.abs(ours["spectra"][i] - theirs) / size) > 3e-2


def test_linear_spectra_of_evolving_dark_energy(ours, fine_bins):
    theirs = ccl_spectra(ccl_universe(EVOLVING[0], "linear"), fine_bins)
    np.testing.assert_allclose(ours["linear spectra"][-1], theirs, rtol=5e-3)


def test_spectra_of_curved_space_up_to_the_distance_in_limber(ours, ccl, fine_bins):
    for i in range(len(PRIOR), len(PRIOR) + len(CURVED)):
        theirs = ccl_spectra(ccl[i], fine_bins)
        np.testing.assert_allclose(ours["spectra"][i], theirs, rtol=2e-2)
