"""Suppression of the power by baryons against CCL and where it must vanish."""

import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.cosmology import baryon_fraction_suppression, ejected_gas_suppression


K = np.geomspace(0.01, 10, 40)


def test_both_fits_against_ccl():
    ccl = pytest.importorskip("pyccl")
    universe = ccl.CosmologyVanillaLCDM()
    h = universe["h"]
    for log_mass, ejection in ((14.08, 0.5), (13.2, 0.25), (15.2, 0.8)):
        theirs = ccl.BaryonsSchneider15(log10Mc=log_mass, eta_b=ejection).boost_factor(universe, K * h, 1.0)
        np.testing.assert_allclose(ejected_gas_suppression(jnp.asarray(K), log_mass, ejection), theirs, rtol=2e-5)
    for fraction in (0.5, 0.7, 0.9):
        theirs = ccl.BaryonsvanDaalen19(fbar=fraction).boost_factor(universe, K * h, 1.0)
        np.testing.assert_allclose(baryon_fraction_suppression(jnp.asarray(K), fraction), theirs, rtol=2e-5)


def test_large_scales_know_nothing_of_baryons_and_more_lost_gas_suppresses_more():
    large, small = jnp.array([1e-3]), jnp.array([2.0])
    assert float(ejected_gas_suppression(large, 14.0, 0.5)[0]) == pytest.approx(1, abs=1e-4)
    assert float(baryon_fraction_suppression(large, 0.7)[0]) == pytest.approx(1, abs=1e-4)
    by_mass = [float(ejected_gas_suppression(small, mass, 0.5)[0]) for mass in (13.0, 14.0, 15.0)]
    by_fraction = [float(baryon_fraction_suppression(small, kept)[0]) for kept in (0.9, 0.7, 0.5)]
    assert 1 > by_mass[0] > by_mass[1] > by_mass[2] > 0.5
    assert 1 > by_fraction[0] > by_fraction[1] > by_fraction[2] > 0.5
