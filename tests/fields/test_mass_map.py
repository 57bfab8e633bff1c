"""Wiener filters against dense algebra in double precision, which shares nothing with them but the Fourier convention.

Error budget: comparisons of draws hold with the probabilities stated where they are made; keys are fixed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.fields import ARCMIN, FlatSky, KaiserSquires, pair_indices, PeriodicWiener, WienerFilter


N, BINS, DRAWS = 8, 2, 4000
SKY = FlatSky(N, 4.0)
PIXEL = (SKY.side_radians / N) ** 2


def power():
    """Two correlated bins, signal over noise from about 60 down to 0.1."""
    m = N // 2 + 1
    mode = np.hypot(*np.indices((m, m)))
    shape = 0.03 * np.where(mode > 0, np.maximum(mode, 1) ** -2.5, 0.0) * PIXEL
    return np.array([1.0, 1.2, 2.0])[:, None, None] * shape


def noise(kind):
    """Deviations of one value per bin, or that vary over an eightfold range and leave a corner and some pixels unseen."""
    sigma = np.broadcast_to([0.02, 0.03], (N, N, BINS)).astype(np.float32).copy()
    if kind == "survey":
        random = np.random.default_rng(0)
        sigma *= np.exp(random.uniform(-1, 1, sigma.shape))
        sigma[random.uniform(size=(N, N)) < 0.15] = np.inf
        sigma[:3, :2] = np.inf
        sigma[5, :, 1] = np.inf
    return sigma


def dense(sigma):
    """Signal covariance S and inverse noise (bins y x component) as matrices, and H, all in double precision."""
    index = np.arange(N)
    wave = np.exp(2j * np.pi * np.outer(index, index) / N)
    fourier = np.einsum("ya,xb->yxab", wave, wave).reshape(N * N, N * N)  # modes to pixels
    folded = np.minimum(index, N - index)
    first, second = pair_indices(BINS)
    spectrum = np.zeros((BINS, BINS, N, N))
    spectrum[first, second] = spectrum[second, first] = power()[:, folded][:, :, folded]
    signal = np.einsum("pk,ijk,qk->ipjq", fourier, spectrum.reshape(BINS, BINS, -1), fourier.conj()) / SKY.side_radians**2
    line = np.where(index <= N // 2 - 1, index, index - N)
    direction = (line + 1j * line[:, None]).ravel()
    factor = np.where(direction != 0, direction**2 / np.maximum(np.abs(direction), 0.5) ** 2, 0)
    shear = (fourier * factor) @ fourier.conj().T / N**2
    shear = np.stack([shear.real, shear.imag], axis=1).reshape(2 * N * N, N * N)
    operator = np.kron(np.eye(BINS), shear)
    weight = np.repeat(np.moveaxis(sigma, -1, 0).reshape(-1), 2) ** -2.0
    return signal.real.reshape(BINS * N * N, -1), operator, weight


def exact(sigma, data):
    """Mean and covariance of the posterior, S - S Hᵀ (H S Hᵀ + N)⁻¹ H S over the pixels observed."""
    signal, operator, weight = dense(sigma)
    seen = weight > 0
    cross = signal @ operator[seen].T
    gain = np.linalg.solve(operator[seen] @ cross + np.diag(1 / weight[seen]), cross.T).T
    return gain @ data[seen], signal - gain @ cross.T


def flat(maps):
    """Maps (..., n, n, bins) in the order of the matrices."""
    return np.moveaxis(np.asarray(maps, float), -1, -3).reshape(*np.shape(maps)[:-3], -1)


def observation(sigma):
    signal, operator, weight = dense(sigma)
    random = np.random.default_rng(1)
    field = np.linalg.cholesky(signal + 1e-12 * np.eye(len(signal))) @ random.normal(size=len(signal))
    spread = np.where(weight > 0, 1 / np.sqrt(np.maximum(weight, 1e-9)), 0)
    data = (operator @ field + spread * random.normal(size=len(weight))) * (weight > 0)
    shear = np.moveaxis(data.reshape(BINS, N, N, 2), 0, 2)
    return jnp.asarray(shear, jnp.float32), data


def filter_of(kind, sigma, excess=1.0):
    spectra = jnp.asarray(excess * power(), jnp.float32)
    return PeriodicWiener(SKY, spectra, sigma[0, 0]) if kind == "periodic" else WienerFilter(SKY, spectra, sigma)


@pytest.fixture(scope="module", params=["periodic", "survey"])
def case(request):
    sigma = noise(request.param)
    shear, data = observation(sigma)
    return lambda **settings: filter_of(request.param, sigma, **settings), shear, *exact(sigma, data)


def white(draws, mean, covariance):
    """Draws in the coordinates where the exact posterior is standard normal; the two means, which are zero, left out."""
    values, vectors = np.linalg.eigh(covariance)
    return (flat(draws) - mean) @ vectors[:, BINS:] / np.sqrt(values[BINS:])


def worst(y):
    """Largest deviation of mean and covariance from those of standard normals, in standard deviations."""
    n, size = y.shape
    off = (y.T @ y / n - np.eye(size)) * np.sqrt(n / (1 + np.eye(size)))
    return max(np.abs(off).max(), np.abs(y.mean(0)).max() * np.sqrt(n))


def test_mean_is_that_of_the_dense_posterior(case):
    wiener, shear, mean, covariance = case
    estimate = wiener()(shear)
    # The solver promises 1e-3 of the posterior's width in the mean over latents.
    assert np.sqrt(np.mean(white(estimate, mean, covariance) ** 2)) < 1e-3
    np.testing.assert_allclose(np.mean(estimate, axis=(0, 1)), 0, atol=1e-6)


def test_draws_have_mean_and_covariance_of_the_dense_posterior(case):
    # 126 means and 8001 covariances: one beyond 5.2 standard deviations happens in 1 of 600 keys.
    wiener, shear, mean, covariance = case
    assert worst(white(wiener().sample(jax.random.key(3), shear, DRAWS), mean, covariance)) < 5.2


def test_draws_of_a_slightly_wrong_posterior_are_told(case):
    wiener, shear, mean, covariance = case
    twin = wiener(excess=1.2)  # a fifth more power in its signal
    assert worst(white(twin.sample(jax.random.key(3), shear, DRAWS), mean, covariance)) > 8


def test_direct_and_iterated_filter_agree_where_both_hold():
    sigma = noise("periodic")
    shear, _ = observation(sigma)
    direct, iterated = filter_of("periodic", sigma), filter_of("survey", sigma)
    np.testing.assert_allclose(direct(shear), iterated(shear), atol=1e-6)
    assert int(iterated.solve(shear).steps) == 1, "the preconditioner is then the inverse itself"


def test_residual_is_reached_and_bounds_the_error():
    sigma = noise("survey")
    shear, data = observation(sigma)
    mean, covariance = exact(sigma, data)
    for tolerance in (1e-1, 1e-2, 1e-4):
        wiener = eqx.tree_at(lambda w: w.tolerance, filter_of("survey", sigma), tolerance)
        assert wiener.solve(shear).residual < 1.5 * tolerance
        assert np.sqrt(np.mean(white(wiener(shear), mean, covariance) ** 2)) < 1.5 * tolerance
    with pytest.raises(Exception, match="Allow more steps"):
        eqx.tree_at(lambda w: w.steps, filter_of("survey", sigma), 1)(shear)


def test_kaiser_squires_smooths_by_its_width():
    # A wave of multipole ℓ keeps exp(-ℓ² w² / 2) of its height.
    sky = FlatSky(16, 2.0)
    x = np.indices((16, 16))[1]
    wave = jnp.asarray(0.5 * np.cos(2 * np.pi * 3 * x / 16), jnp.float32)[..., None]
    shear = jnp.stack([wave, jnp.zeros_like(wave)], axis=-1)
    height = np.exp(-0.5 * (3 * sky.fundamental * 5.0 * ARCMIN) ** 2)
    np.testing.assert_allclose(KaiserSquires(sky, 5.0)(shear), height * wave, atol=1e-6)
    np.testing.assert_allclose(KaiserSquires(sky, 0.0)(shear), wave, atol=1e-6)


def test_shear_behind_the_mask_is_ignored_and_nan_elsewhere_is_an_error():
    sigma = noise("survey")
    shear, _ = observation(sigma)
    wiener = filter_of("survey", sigma)
    hidden = shear.at[0, 0].set(jnp.nan)
    assert np.isinf(sigma[0, 0]).all()
    np.testing.assert_array_equal(wiener(hidden), wiener(shear))
    np.testing.assert_array_equal(wiener.sample(jax.random.key(0), hidden, 2), wiener.sample(jax.random.key(0), shear, 2))
    y, x, b = np.argwhere(np.isfinite(sigma))[0]
    spoilt = shear.at[y, x, b, 0].set(jnp.nan)
    for estimate in (wiener, lambda shear: wiener.sample(jax.random.key(0), shear, 2)):
        with pytest.raises(DataError, match="in observed pixels, got 1 pixels"):
            estimate(spoilt)
        with pytest.raises(Exception, match="NaN for shear that is none"):
            jax.block_until_ready(eqx.filter_jit(estimate)(spoilt))


def test_shear_beyond_one_is_refused_where_values_are_known(unchecked):
    sigma = noise("periodic")
    shear, _ = observation(sigma)
    wide = shear.at[3, 2, 1, 0].set(1.5)
    for estimate in (KaiserSquires(SKY, 1.0), filter_of("periodic", sigma), filter_of("survey", sigma)):
        with pytest.raises(DataError, match=r"first at \(y, x, bin\) = \(3, 2, 1\)"):
            estimate(wide)
        assert jnp.isfinite(eqx.filter_jit(estimate)(wide)).all(), "inside `jit` no values are known"
        with pytest.raises(ShapeError, match="bin, component"):
            estimate(shear[..., 0, 0])
    np.testing.assert_array_equal(jax.vmap(KaiserSquires(SKY, 1.0))(shear[None])[0], KaiserSquires(SKY, 1.0)(shear))


def test_bad_noise_is_refused(unchecked):
    spectra = jnp.asarray(power(), jnp.float32)
    with pytest.raises(DataError, match=r"none in bins \[1\]\. Leave these bins out"):
        WienerFilter(SKY, spectra, np.where([False, True], np.inf, noise("periodic")))
    with pytest.raises(DataError, match="positive deviations"):
        PeriodicWiener(SKY, spectra, np.array([0.1, 0.0], np.float32))
    with pytest.raises(ShapeError, match=r"got shape \(8, 8, 2\).*WienerFilter takes maps"):
        PeriodicWiener(SKY, spectra, noise("periodic"))
    with pytest.raises(ShapeError, match="bin, component"):
        filter_of("survey", noise("survey"))(jnp.zeros((N, N, 1, 2)))
