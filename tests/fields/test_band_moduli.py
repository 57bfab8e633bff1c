"""Spectra of moduli: equal to spectra of one map with itself, and of two maps nearly blind to their correlation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from fullfield.fields import band_moduli, band_powers, FlatSky, logarithmic_bands


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.6])
def test_moduli_follow_the_square_of_the_correlation(correlation):
    """Mean |a b*| = π/4 F(-1/2, -1/2; 1; r²) of normal modes, to 4 errors of 100 maps of 32 x 32 pixels."""
    bands = logarithmic_bands(FlatSky(32, 5.0), 4)
    first, other = jax.random.normal(jax.random.key(0), (2, 100, 32, 32))
    maps = jnp.stack([first, correlation * first + np.sqrt(1 - correlation**2) * other], axis=-1)
    both = eqx.filter_jit(jax.vmap(lambda one: (band_powers(bands, one), band_moduli(bands, one))))(maps)
    powers, moduli = (np.asarray(values) for values in both)
    np.testing.assert_allclose(moduli[:, [0, 2]], powers[:, [0, 2]], rtol=1e-4)  # a map with itself
    white = np.prod([np.deg2rad(5.0) / 32] * 2)  # power of unit white noise
    expected = white * np.pi / 4 * scipy.special.hyp2f1(-0.5, -0.5, 1, correlation**2)
    # The scatter of |a b*| about its mean is less than the mean, and modes stand in pairs.
    error = white / np.sqrt(100 * bands.modes / 2)
    assert np.all(np.abs(moduli[:, 1].mean(axis=0) - expected) < 4 * error)
    assert np.all(np.abs(powers[:, 1].mean(axis=0) - correlation * white) < 4 * error * np.sqrt(2))
