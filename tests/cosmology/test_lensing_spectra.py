"""Limber spectra: brute-force quadrature, derivatives, and finite numbers everywhere in the prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ccl_referee import FIDUCIAL, lensing_prior, MULTIPOLES

from fullfield.cosmology import (
    comoving_distance,
    Cosmology,
    expansion_rate,
    growth_factor,
    lensing_spectra,
    Linear,
    linear_power,
    RedshiftBins,
    smail_bins,
)  # fmt: skip
from fullfield.cosmology.constants import HUBBLE_DISTANCE


FIELDS = ("omega_c", "omega_b", "h", "n_s", "sigma_8", "w_0", "w_a", "omega_k")
NAMED = np.array([*FIDUCIAL, 0.0, 0.0])
BARYONIC = np.array([[0.003, 0.05, 0.65, 1.0, 0.7, -0.4, 0.0, 0.0], [0.0085, 0.0493, 0.67, 0.94, 0.68, -1.36, 0.0, 0.0]])


def brute_force(theta, bins, multipoles):
    """Linear spectra by trapezoids: 3000 lenses, every source of the table, distances and S_k from NumPy."""
    with jax.enable_x64(True):
        cosmology = Cosmology(*(jnp.asarray(x, float) for x in theta))
        z = np.expm1(np.linspace(np.log1p(1e-4), np.log1p(float(bins.z[-1])), 3000))
        a = jnp.asarray(1 / (1 + z))
        chi = np.asarray(comoving_distance(cosmology, jnp.asarray(z)))
        growth, rate = np.asarray(growth_factor(cosmology, a)), np.asarray(expansion_rate(cosmology, a))
        k = np.geomspace(1e-5, 1e4, 40000)
        today = np.asarray(linear_power(cosmology, jnp.asarray(k), jnp.ones(1)))[:, 0]
    curvature = theta[7]
    root = np.sqrt(abs(curvature)) / HUBBLE_DISTANCE

    def transverse(chi):
        return chi if curvature == 0 else (np.sinh if curvature > 0 else np.sin)(root * chi) / root

    source_z = np.asarray(bins.z, float)
    kernels = []
    for density in np.asarray(bins.density, float):
        at = np.interp(z, source_z, density)
        ratio = transverse(np.maximum(chi[None, :] - chi[:, None], 0)) / transverse(chi)[None, :]
        kernels.append(np.trapezoid(at * ratio, z, axis=1))
    kernels = 1.5 * (theta[0] + theta[1]) / HUBBLE_DISTANCE**2 * (1 + z) * transverse(chi) * np.array(kernels)
    power = np.interp((multipoles[:, None] + 0.5) / transverse(chi), k, today) * growth**2
    weight = HUBBLE_DISTANCE / rate / transverse(chi) ** 2
    prefactor = (multipoles * (multipoles + 1) / (multipoles + 0.5) ** 2) ** 2
    return np.array([prefactor * np.trapezoid(kernels[i] * kernels[j] * weight * power, z, axis=1) for i, j in bins.pairs])


def spectra(theta, bins, power=None):
    return lensing_spectra(Cosmology(*theta), bins, jnp.asarray(MULTIPOLES, theta.dtype), power=power)


@pytest.mark.parametrize("curvature", [-0.15, 0.0, 0.2])
def test_brute_force(bins, curvature):
    theta = np.array([*FIDUCIAL[:5], -0.9, -0.2, curvature])
    mine = spectra(jnp.asarray(theta, jnp.float32), bins, Linear())
    np.testing.assert_allclose(mine, brute_force(theta, smail_bins(n_nodes=1500), MULTIPOLES), rtol=2e-3)


@pytest.mark.parametrize("theta", BARYONIC)
def test_brute_force_where_baryons_dominate(bins, theta):
    """The lowest 1 % of the prior in omega_c, where P(k) has zeros: a few percent at worst, and only where it oscillates."""
    mine = spectra(jnp.asarray(theta, jnp.float32), bins, Linear())
    difference = np.abs(mine / brute_force(theta, smail_bins(n_nodes=1500), MULTIPOLES) - 1)
    assert difference.max() < 3e-2
    assert np.median(difference) < 5e-3


def test_finite_values_and_gradients_over_the_whole_prior(bins):
    """4096 draws of the prior and its corners, float32, from ℓ = 0 to 20000."""
    corners = [
        (0.0, 0.05, 0.5, 0.8, 0.3, -2.0), (1e-7, 0.0492, 0.6727, 0.9645, 0.831, -1.0), (1e-4, 0.03, 0.9, 1.2, 1.3, -0.3),
        (1.2, 0.05, 0.67, 0.96, 0.83, -0.3), (0.2664, 0.0492, 0.6727, 0.9645, 0.1, -1.0), (0.05, 0.07, 0.45, 0.65, 1.4, -0.3),
    ]  # fmt: skip
    thetas = jnp.asarray(np.concatenate([corners, lensing_prior(4090, seed=0)]), jnp.float32)
    multipoles = jnp.asarray([0.0, 0.5, *np.geomspace(10, 20000, 14)], jnp.float32)

    def value_and_sum(theta):
        values = lensing_spectra(Cosmology(*theta), bins, multipoles)
        return jnp.sum(jnp.log(values[:, 1:])), values

    evaluate = jax.jit(lambda t: jax.lax.map(jax.value_and_grad(value_and_sum, has_aux=True), t, batch_size=64))
    (_, values), slopes = evaluate(thetas)
    assert jnp.all(values[:, :, 0] == 0)
    assert jnp.all(values[:, :, 1:] > 0)
    assert jnp.all(jnp.isfinite(values))
    assert jnp.all(jnp.isfinite(slopes))


def test_derivatives_are_those_of_finite_differences(bins):
    """Forward and reverse mode in float64 against central differences, in all eight parameters; float32 against float64."""
    thetas = np.concatenate([[NAMED], np.pad(lensing_prior(3, seed=8), ((0, 0), (0, 2)))])

    def log_spectra(theta, bins):
        return jnp.log(spectra(theta, bins))

    forward = jax.jit(jax.vmap(jax.jacfwd(log_spectra), in_axes=(0, None)))
    single = forward(jnp.asarray(thetas, jnp.float32), bins)
    with jax.enable_x64(True):
        bins = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), bins)
        exact = forward(jnp.asarray(thetas), bins)
        summed = jax.grad(lambda t, b: jnp.sum(log_spectra(t, b)))
        reverse = jax.jit(jax.vmap(summed, in_axes=(0, None)))(jnp.asarray(thetas), bins)
        many = jax.jit(jax.vmap(log_spectra, in_axes=(0, None)))
        step = 1e-4 * np.eye(8)
        high, low = (many(jnp.asarray((thetas[:, None] + sign * step).reshape(-1, 8)), bins) for sign in (1, -1))
        differences = jnp.moveaxis(((high - low) / 2e-4).reshape(len(thetas), 8, *exact.shape[1:3]), 1, -1)
        total = jnp.sum(exact, axis=(1, 2))
    # Between two tabulated radii the derivative is exact; a difference that straddles their border sees a step of 1e-6 in ln C.
    np.testing.assert_allclose(exact, differences, rtol=5e-3, atol=1e-3)
    assert np.median(np.abs(exact - differences) / (1e-2 + np.abs(exact))) < 1e-7
    np.testing.assert_allclose(reverse, total, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(single, exact, rtol=2e-3, atol=2e-3)


def test_batches_equal_loops_and_equal_shapes_share_a_trace(bins):
    thetas = jnp.asarray(lensing_prior(3, seed=2), jnp.float32)
    traces = []

    @jax.jit
    def one(theta):
        traces.append(1)
        return spectra(theta, bins)

    loop = jnp.stack([one(theta) for theta in thetas])
    assert len(traces) == 1
    np.testing.assert_allclose(jax.vmap(one)(thetas), loop, rtol=1e-5)


def test_pairs_are_the_upper_triangle(bins):
    """A pair's spectrum is that of a survey of these two bins alone, and more distant bins lens more."""
    theta = jnp.asarray(FIDUCIAL, jnp.float32)
    values = spectra(theta, bins)
    two = RedshiftBins(np.asarray(bins.z), np.asarray(bins.density)[[1, 3]])
    chosen = [bins.pairs.index(pair) for pair in ((1, 1), (1, 3), (3, 3))]
    np.testing.assert_allclose(spectra(theta, two), values[np.array(chosen)], rtol=1e-5)
    autos = values[np.array([bins.pairs.index((i, i)) for i in range(5)])]
    assert np.all(np.diff(autos, axis=0) > 0)


def test_field_order_is_that_of_the_record():
    assert tuple(Cosmology.__dataclass_fields__) == FIELDS
