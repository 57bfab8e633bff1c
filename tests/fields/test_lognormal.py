"""Lognormal fields hit their spectra and their skewness, averaged ones included.

Error budget: each comparison is a chi-square or a z-score whose false-alarm probability is stated where it is made; the keys
are fixed, so a pass is a pass for ever.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fullfield.fields import (
    averaged_skewness,
    band_powers,
    banded,
    block_average,
    FlatSky,
    gaussian_correlation,
    Lattice,
    logarithmic_bands,
    lognormal_field,
    lognormal_skewness,
    normal,
    pair_indices,
    PixelAveraged,
    power_root,
    shift_of_skewness,
    unrealised_fraction,
)
from fullfield.simulators import lsst_y10_model


BINS, MAPS = 5, 1200
SHIFT = jnp.array([0.0053, 0.0152, 0.0287, 0.0497, 0.0975])


def spectra(multipoles):
    """Five correlated bins with about the amplitudes and correlations of a lensing survey."""
    amplitude = np.array([0.16, 0.35, 0.52, 0.71, 1.0])
    overlap = 0.9 ** np.abs(np.arange(5)[:, None] - np.arange(5))
    first, second = pair_indices(BINS)
    scale = amplitude[first] * amplitude[second] * overlap[first, second]
    return jnp.asarray(scale[:, None] * 4e-10 * (np.asarray(multipoles) / 1000) ** -1.3 / (1 + np.asarray(multipoles) / 5000))


@pytest.fixture(scope="module")
def measured():
    lattice = Lattice(FlatSky(32, 5.0))
    bands = logarithmic_bands(lattice.sky, 8)
    target = spectra(lattice.multipoles)

    @jax.jit
    @jax.vmap
    def one(key):
        field = lognormal_field(lattice, target, SHIFT, normal(key, (BINS, 32, 32)))
        return band_powers(bands, field), (field**2).mean((0, 1)), (field**3).mean((0, 1)), field.min((0, 1))

    return lattice, bands, target, [np.asarray(x) for x in one(jax.random.split(jax.random.key(5), MAPS))]


def chi_square(samples, expected):
    """P-value of the mean of correlated samples (n, d) by Hotelling's T², with the samples' own covariance."""
    n, d = samples.shape
    deviation = samples.mean(0) - expected
    t2 = n * deviation @ np.linalg.solve(np.cov(samples.T), deviation)
    return scipy.stats.f.sf(t2 * (n - d) / (d * (n - 1)), d, n - d)


def test_all_fifteen_spectra_agree_with_theory_within_cosmic_variance(measured):
    lattice, bands, target, (powers, *_) = measured
    theory = np.asarray(banded(bands, lattice.power(target)))
    for pair in range(15):  # 15 tests at 1e-4: false alarm 0.15 %
        assert chi_square(powers[:, pair], theory[pair]) > 1e-4, pair
    # A twin whose target is 3 % off is seen in the auto spectra.
    assert chi_square(powers[:, 14], 1.03 * theory[14]) < 1e-4


def test_skewness_is_the_lognormal_prediction(measured):
    lattice, _, target, (_, second, third, lowest) = measured
    first_bin, second_bin = pair_indices(BINS)
    variance = lattice.correlation(target)[first_bin == second_bin, 0, 0]
    expected = np.asarray(lognormal_skewness(variance, SHIFT) * variance**1.5)
    error = third.std(0) / np.sqrt(MAPS)
    assert np.abs((third.mean(0) - expected) / error).max() < 4  # 5 z-scores: false alarm 3e-4
    np.testing.assert_allclose(second.mean(0), variance, rtol=0.02)
    assert (lowest > -np.asarray(SHIFT)).all()
    gaussian_twin = np.zeros(5)
    assert np.abs((third.mean(0) - gaussian_twin) / error).max() > 4


def test_averaged_lognormal_has_the_predicted_skewness():
    fine, coarse = Lattice(FlatSky(32, 5.0)), Lattice(FlatSky(8, 5.0), PixelAveraged(), 4)
    target = spectra(fine.multipoles)[:1]

    @jax.jit
    @jax.vmap
    def one(key):
        field = block_average(lognormal_field(fine, target, SHIFT[:1], normal(key, (1, 32, 32))), 4)
        return (field**2).mean(), (field**3).mean()

    second, third = (np.asarray(x) for x in one(jax.random.split(jax.random.key(6), 6000)))
    correlation = coarse.block_correlation(spectra(coarse.multipoles)[:1])
    variance, skewness = averaged_skewness(correlation, SHIFT[:1])
    expected = float((skewness * variance**1.5)[0])
    np.testing.assert_allclose(second.mean(), float(variance[0]), rtol=0.02)
    error = third.std() / np.sqrt(6000)
    assert abs(third.mean() - expected) < 4 * error  # false alarm 6e-5
    assert error < 0.05 * expected  # sharp enough to see a 20 % wrong shift


@pytest.mark.parametrize("f", [1, 2, 3, 4, 5])
def test_averaged_skewness_is_the_mean_over_all_triples_of_pixels(f):
    """Against the sum itself, term by term, for a correlation that falls off differently along the two axes."""
    y, x = np.indices((f, f))
    correlation = 1e-4 * np.exp(-(y**2) / 8 - x / 3)
    shift = 0.03
    row, column = y.ravel(), x.ravel()
    eta = correlation[abs(row[:, None] - row), abs(column[:, None] - column)] / shift**2
    chains = np.einsum("ab,ac->abc", eta, eta) + np.einsum("ab,bc->abc", eta, eta) + np.einsum("ac,bc->abc", eta, eta)
    third = np.mean(chains + np.einsum("ab,ac,bc->abc", eta, eta, eta))
    variance, skewness = averaged_skewness(jnp.asarray(correlation, jnp.float32)[None], jnp.asarray([shift]))
    np.testing.assert_allclose(variance, shift**2 * eta.mean(), rtol=1e-5)
    np.testing.assert_allclose(skewness, third / eta.mean() ** 1.5, rtol=1e-5)


def test_shift_of_skewness_inverts_lognormal_skewness():
    variance, shift = jnp.array([1e-5, 1e-3, 1e-2]), jnp.array([0.5, 0.02, 0.005])
    np.testing.assert_allclose(shift_of_skewness(variance, lognormal_skewness(variance, shift)), shift, rtol=1e-4)


def test_gaussian_correlation_of_a_small_field_is_the_correlation_itself():
    correlation = jnp.full((1, 2, 2), 1e-8)
    np.testing.assert_allclose(gaussian_correlation(correlation, jnp.array([0.1])), correlation / 0.01, rtol=1e-5)


def matrix(pairs):
    full = np.zeros((3, 3, *pairs.shape[1:]))
    first, second = pair_indices(3)
    full[first, second] = full[second, first] = pairs
    return np.moveaxis(full, (0, 1), (-2, -1))


def test_root_times_its_transpose_is_the_power(key):
    factor = jax.random.normal(key, (3, 3, 4, 4))
    power = jnp.einsum("ikyx,jkyx->ijyx", factor, factor)[pair_indices(3)]
    lower = np.tril(np.ones((3, 3))) * np.swapaxes(matrix(np.asarray(power_root(power))), -1, -2)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix(np.asarray(power))), rtol=2e-3, atol=1e-3)


def test_modes_without_a_positive_matrix_are_counted_and_keep_gradients_finite():
    power = jnp.ones((3, 2, 2)).at[1].set(0.5).at[1, 1, 1].set(2.0)  # correlation 2 at one mode
    power = power.at[:, 0, 0].set(0.0)
    assert float(unrealised_fraction(power)) == pytest.approx(1 / 3)
    gradient = jax.grad(lambda p: jnp.sum(power_root(p) ** 2))(power)
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert bool(jnp.all(jnp.isfinite(power_root(power))))


def test_a_vanishing_power_beside_a_finite_cross_power_makes_no_huge_field():
    """As rounding leaves it where one bin's field hardly varies (omega_c near zero)."""
    power = jnp.ones((3, 2, 2)).at[0, 1, 1].set(1e-20).at[1].set(0.5)
    root = power_root(power)
    assert float(jnp.abs(root).max()) <= 1
    assert float(root[2, 1, 1]) == 1, "the other bin keeps its own power"
    gradient = jax.grad(lambda p: jnp.sum(power_root(p) ** 2))(power)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_white_latents_come_back_from_the_field_they_made():
    model = lsst_y10_model(16)
    theta = model.parameters.fiducial
    white = jax.random.normal(jax.random.key(3), (5, 16, 16))
    again = model.latents(theta, model.convergence(theta, white))
    # The mode of the mean has no power, and nothing is known of it.
    np.testing.assert_array_equal(again[:, 0, 0], 0)
    np.testing.assert_allclose(np.delete(np.asarray(again).reshape(5, -1), 0, axis=1), white.reshape(5, -1)[:, 1:], atol=0.02)
