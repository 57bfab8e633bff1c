"""Universes drawn from the lensing prior, and CCL to referee them."""

import numpy as np
import pyccl


FIDUCIAL = (0.2664, 0.0492, 0.6727, 0.9645, 0.831, -1.0)  # omega_c, omega_b, h, n_s, sigma_8, w_0
WIDTH = (0.2, 0.006, 0.063, 0.08, 0.14, 0.9)
MULTIPOLES = np.array([10.0, 30, 100, 300, 1000, 3000, 5000])
REDSHIFTS = np.array([1e-3, 0.1, 0.5, 1.0, 2.0, 4.0, 9.0])
WAVENUMBERS = np.geomspace(1e-3, 20, 48)  # h/Mpc


def lensing_prior(n, seed):
    """`n` draws (n, 6) of the prior of the lensing benchmark: normal, omega_c > 0, -2 < w_0 < -0.3."""
    draws = np.array(FIDUCIAL) + np.array(WIDTH) * np.random.default_rng(seed).normal(size=(8 * n, 6))
    return draws[(draws[:, 0] > 0) & (draws[:, 5] > -2) & (draws[:, 5] < -0.3)][:n]


def ccl_universe(theta, power="halofit"):
    """The same in CCL: no radiation, no neutrinos, tables wide and fine enough to be a referee."""
    omega_c, omega_b, h, n_s, sigma_8, w_0, w_a, omega_k = (*map(float, theta), *(0.0,) * (8 - len(theta)))
    return pyccl.Cosmology(
        Omega_c=omega_c, Omega_b=omega_b, h=h, n_s=n_s, sigma8=sigma_8, w0=w_0, wa=w_a, Omega_k=omega_k,
        Omega_g=0, Neff=0, transfer_function="eisenstein_hu", matter_power_spectrum=power,
    )  # fmt: skip


def ccl_spectra(cosmology, bins, alignment=0.0):
    """CCL's Limber spectra (pairs, n_ell) of the convergence at `MULTIPOLES`, from its spectra of the shear."""
    z = np.asarray(bins.z, float)
    tracers = [
        pyccl.WeakLensingTracer(
            cosmology,
            dndz=(z, np.asarray(n, float)),
            ia_bias=(z, np.full_like(z, alignment)) if alignment else None,
            n_samples=1024,
        )
        for n in bins.density
    ]
    of_convergence = MULTIPOLES * (MULTIPOLES + 1) / ((MULTIPOLES + 2) * (MULTIPOLES - 1))
    return np.array([pyccl.angular_cl(cosmology, tracers[i], tracers[j], MULTIPOLES) * of_convergence for i, j in bins.pairs])
