import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.fields import FlatSky, pair_indices
from fullfield.simulators import LensingModel, linear_bands, lsst_y10_model, modes_of_sky, SpectrumModel


LENSING = lsst_y10_model(32)
THETA = LENSING.parameters.fiducial


@pytest.fixture(scope="module")
def model():
    return SpectrumModel(LENSING, fixed_at=THETA)


def test_bands_are_the_published_ones_up_to_nyquist():
    assert linear_bands(FlatSky(256, 10.0)).edges == tuple(100.0 + 50 * i for i in range(91))  # Nyquist at 4608
    assert linear_bands(FlatSky(32, 10.0)).edges[-1] == 550.0
    with pytest.raises(ConfigurationError, match="Nyquist"):
        linear_bands(FlatSky(4, 10.0))


def test_a_patch_counts_as_many_modes_as_its_fraction_of_the_sky():
    """The modes of one band scatter about the mean by the lattice's own unevenness; all together agree to a percent."""
    bands = linear_bands(FlatSky(256, 10.0))
    fraction = np.radians(10.0) ** 2 / (4 * np.pi)
    counted = modes_of_sky(bands, fraction)
    assert bands.modes.sum() == pytest.approx(counted.sum(), rel=0.01)
    np.testing.assert_allclose(bands.modes, counted, rtol=0.2)


def test_mean_and_covariance_are_those_of_measured_maps(model):
    """Means to 5 standard errors over 135 numbers; the variances of lognormal maps exceed Gaussian ones a little."""

    @jax.jit
    def measured(keys):
        return jax.lax.map(lambda key: model.measure(LENSING.simulate_at(key, THETA)), keys)

    data = np.asarray(measured(jax.random.split(jax.random.key(0), 1500)))
    mean, root = np.asarray(model.mean(THETA)).T, np.asarray(model.fixed)
    covariance = root @ root.swapaxes(1, 2)
    std = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    pull = (data.mean(0) - mean) / (data.std(0) / np.sqrt(len(data)))
    assert np.abs(pull).max() < 5
    assert np.abs((data.mean(0) - 1.05 * mean) / (data.std(0) / np.sqrt(len(data)))).max() > 5
    # Standard deviations are known to 1.8 %, and lognormal fields add to them where the signal is large.
    ratio = data.std(0) / std
    assert np.all(np.abs(np.median(ratio) - 1) < 0.05)
    assert ratio.min() > 0.9
    # Correlations between pairs of bins, in one band.
    scaled = np.corrcoef(data[:, 4].T) - covariance[4] / np.outer(std[4], std[4])
    assert np.abs(scaled).max() < 0.15


def test_simulations_have_the_model_s_mean_and_covariance_and_a_score(model):
    draws = np.asarray(
        jax.jit(lambda keys: jax.vmap(lambda k: model.simulate_at(k, THETA))(keys))(jax.random.split(jax.random.key(1), 4000))
    )
    assert draws.shape[1:] == model.data_shape == (9, 15)
    root = np.asarray(model.fixed)
    white = np.stack([np.linalg.solve(root[b], (draws[:, b] - np.asarray(model.mean(THETA)).T[b]).T) for b in range(9)])
    np.testing.assert_allclose(white.mean(-1), 0, atol=4.5 / np.sqrt(4000))
    np.testing.assert_allclose(white.var(-1), 1, atol=4.5 * np.sqrt(2 / 4000))


@pytest.mark.slow
def test_a_covariance_that_follows_the_cosmology_brings_its_determinant():
    free = SpectrumModel(LENSING)
    held = SpectrumModel(LENSING, fixed_at=THETA)
    data = free.measure(LENSING.simulate_at(jax.random.key(2), THETA))
    other = THETA.at[2].mul(1.1)
    at = lambda model, theta: float(model.log_joint(theta, {}, data))  # noqa: E731
    assert at(free, THETA) == pytest.approx(at(held, THETA), rel=1e-5)
    mean, root = np.asarray(free.mean(other), np.float64), np.asarray(free.root(free.mean(other)), np.float64)
    exact = float(free.parameters.log_prob(other))
    for b in range(9):
        residual = np.linalg.solve(root[b], np.asarray(data[b], np.float64) - mean[:, b])
        exact += -0.5 * residual @ residual - np.log(np.diag(root[b])).sum() - 7.5 * np.log(2 * np.pi)
    assert at(free, other) == pytest.approx(exact, abs=0.02)
    assert abs(at(free, other) - at(held, other)) > 1


def test_masked_surveys_and_foreign_bands_are_refused():
    import equinox as eqx

    mask = jnp.ones((32, 32), bool).at[0, 0].set(False)
    masked = eqx.tree_at(lambda m: m.survey.mask, LENSING, mask, is_leaf=lambda x: x is None)
    assert isinstance(masked, LensingModel)
    with pytest.raises(ConfigurationError, match="couple modes"):
        SpectrumModel(masked)
    with pytest.raises(ConfigurationError, match="bands"):
        SpectrumModel(LENSING, linear_bands(FlatSky(64, 10.0)))
    assert len(pair_indices(5)[0]) == 15
