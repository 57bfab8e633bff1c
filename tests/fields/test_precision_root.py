"""Roots of the precision of white latents against a general Cholesky factorisation."""

import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.fields import FlatSky, power_root, precision_root


SKY = FlatSky(8, 4.0)
BINS = 3


@pytest.mark.parametrize(
    "weight", [(0.5, 2.0, 1.0), (0.0, 1e4, 3.0)]
)  # the second: a bin that is not observed, one of little noise
def test_precision_root_is_the_cholesky_factor_of_each_mode(weight):
    root, lower = spectra()
    found = np.asarray(precision_root(SKY, root, jnp.asarray(weight, jnp.float32)))
    exact = np.linalg.cholesky(np.eye(BINS) + np.swapaxes(lower, -1, -2) @ np.diag(weight) @ lower)
    np.testing.assert_allclose(np.moveaxis(found[:, :, :5, :5], (0, 1), (2, 3)), exact, rtol=2e-3, atol=5e-3)
    np.testing.assert_array_equal(found[..., 1, 7], found[..., 1, 1])  # and mirrored beyond the Nyquist mode


def test_no_mode_is_lost_where_one_bin_has_next_to_no_noise():
    """Single precision does not resolve what is left of the others' pivots, which are one at least."""
    found = np.asarray(precision_root(SKY, spectra()[0], jnp.asarray([0.0, 1e9, 3.0], jnp.float32)))
    assert np.isfinite(found).all()
    assert np.einsum("iiyx->iyx", found).min() >= 1.0


def spectra():
    """Root of some power in sr^½, and as matrices for pixels of unit size."""
    random = np.random.default_rng(0)
    first, second = np.triu_indices(BINS)
    mixing = random.normal(size=(5, 5, BINS, BINS))
    covariance = mixing @ np.swapaxes(mixing, -1, -2) + 0.1 * np.eye(BINS)
    pixel = (SKY.side_radians / SKY.pixels) ** 2
    root = power_root(jnp.asarray(np.moveaxis(covariance[..., first, second], -1, 0) * pixel, jnp.float32))
    return root, np.linalg.cholesky(covariance)
