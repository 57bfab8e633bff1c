import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest
import zarr

from fullfield._core import DataError, load_module, save_module, ShapeError
from fullfield.compression import (
    check_alive,
    Composed,
    compress,
    fixed,
    Joined,
    Projection,
    sensitivity,
    standardising,
    whitened,
)
from fullfield.networks import ConvNet, MLP


def test_vectors_are_standardised_element_by_element(key):
    data = jax.random.normal(key, (5000, 3)) * jnp.array([1.0, 100.0, 1e-4]) + jnp.array([0.0, 1e3, 0.0])
    seen = jax.vmap(standardising(eqx.nn.Identity(), data).standardise)(data)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-3)


def test_maps_are_standardised_per_bin_and_keep_their_pattern(key):
    pattern = jnp.arange(16.0).reshape(1, 4, 4, 1)
    data = (pattern + 0.1 * jax.random.normal(key, (50, 4, 4, 2))) * jnp.array([1.0, 1e-3])
    compressor = standardising(lambda x: jnp.ravel(x), data)
    seen = jax.vmap(compressor.standardise)(data)
    np.testing.assert_allclose(seen.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(seen.std((0, 1, 2)), 1, atol=1e-3)
    assert np.corrcoef(np.asarray(seen.mean(0))[..., 0].ravel(), pattern.ravel())[0, 1] > 0.99
    assert compressor.summary_size == 32


@pytest.mark.parametrize(("shape", "moments"), [((), ()), ((3,), (3,)), ((4, 5), ()), ((4, 5, 2), (2,)), ((2, 4, 5, 3), (3,))])
def test_moments_have_the_shape_that_the_data_call_for(shape, moments, key):
    data = 2 + 3 * jax.random.normal(key, (400, *shape))
    compressor = standardising(jnp.ravel, data)
    loc, scale = paramax.unwrap((compressor.standardise.loc, compressor.standardise.scale))
    assert loc.shape == scale.shape == moments
    np.testing.assert_allclose(loc, 2, atol=1)
    np.testing.assert_allclose(scale, 3, atol=0.5)
    assert compressor(data[0]).shape == (data[0].size,)


def test_a_constant_element_stays_finite():
    compressor = standardising(MLP(2, 1, key=jax.random.key(0)), jnp.stack([jnp.ones(10), jnp.arange(10.0)], axis=1))
    assert bool(jnp.all(jnp.isfinite(compressor(jnp.array([1.0, 3.0])))))


def test_compress_equals_a_loop_and_reads_zarr(key):
    data = np.asarray(jax.random.normal(key, (7, 16, 16, 2)))
    network = ConvNet((16, 16, 2), 3, key=key, widths=(4,), blocks=(1,))
    compressor = standardising(network, jnp.asarray(data))
    expected = np.stack([compressor(jnp.asarray(x)) for x in data])
    for source in (data, zarr.array(data)):
        np.testing.assert_allclose(compress(compressor, source, batch_size=3), expected, rtol=1e-4, atol=1e-5)
    assert compressor.summary_size == 3
    with pytest.raises(ShapeError, match=r"\('n', 16, 16, 2\)"):
        compress(compressor, data[:, :8])


def test_data_that_are_not_finite_and_maps_without_scatter_are_named_by_their_rows(key):
    maps = np.asarray(jax.random.normal(key, (12, 4, 4, 2))).copy()
    compressor = standardising(MLP((4, 4, 2), 3, key=key, width=4, depth=1), jnp.asarray(maps))
    sound = compress(compressor, maps, batch_size=5)
    np.testing.assert_allclose(sound, jax.vmap(compressor)(jnp.asarray(maps)), rtol=1e-5, atol=1e-6)
    maps[[3, 11], 0, 0, 1] = np.nan, np.inf
    with pytest.raises(DataError, match=r"finite numbers, got others in 2 of 12 rows: \[3, 11\]"):
        compress(compressor, maps, batch_size=5)
    maps[3], maps[11] = 0.3, maps[0]
    maps[7, ..., 1] = -1.0
    with pytest.raises(DataError, match=r"maps that vary, got others in 2 of 12 rows: \[3, 7\]"):
        compress(compressor, maps, batch_size=5)
    vectors = fixed(Projection(jnp.ones((1, 3))), (3,))
    np.testing.assert_array_equal(compress(vectors, np.ones((2, 3), np.float32)), [[3.0], [3.0]])  # no maps


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 9, 2), (8,)])
def test_a_network_for_other_data_is_refused(shape, key):
    network = ConvNet((8, 8, 2), 3, key=key, patch=2, widths=(4,), blocks=(1,))
    with pytest.raises(ShapeError, match=r"data of shape .* got ConvNet, which does not take them"):
        standardising(network, jnp.ones((5, *shape)))


def test_save_and_load_keep_the_moments(key, tmp_path):
    data = 5 + 3 * jax.random.normal(key, (20, 4))
    compressor = standardising(MLP(4, 2, key=key, width=8), data)
    save_module(tmp_path / "compressor", compressor, {"data_shape": [4]})
    blank = standardising(MLP(4, 2, key=jax.random.key(9), width=8), jnp.zeros((20, 4)))
    loaded = load_module(tmp_path / "compressor", blank)
    np.testing.assert_array_equal(loaded(data[0]), compressor(data[0]))


def test_whitened_summaries_have_unit_covariance(key):
    data = jax.random.normal(key, (400, 5)) @ jax.random.normal(jax.random.key(1), (5, 5)) + 3.0
    compressor = standardising(MLP(5, 3, key=key, width=8), data)
    summaries = compress(whitened(compressor, data), data)
    np.testing.assert_allclose(summaries.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(summaries.T), np.eye(3), atol=1e-3)
    with pytest.raises(DataError, match=r"at least 6 data sets, for the covariance of 3 summaries, got 5\. Give more"):
        whitened(compressor, data[:5])


def test_collapsed_and_repeated_summaries_are_named():
    x = np.random.default_rng(0).normal(size=(100, 3))
    check_alive(x)
    with pytest.raises(DataError, match=r"collapsed ones: \[1\]"):
        check_alive(np.stack([x[:, 0], np.full(100, 7.0), x[:, 1]], axis=1))
    with pytest.raises(DataError, match=r"ones that repeat the others: \[(0|1|3)\]"):
        check_alive(np.stack([x[:, 0], x[:, 1], x[:, 2], x[:, 0] - 2 * x[:, 1]], axis=1))
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="others in 1 of 100 rows, first in row 3"):
        check_alive(x)


def test_sensitivity_is_the_derivative_and_joined_statistics_stand_in_line(key):
    first, second = Projection(jnp.arange(6.0).reshape(2, 3)), Composed((jnp.square, Projection(jnp.ones((1, 3)))))
    compressor = fixed(Joined((first, second)), (3,))
    x = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(compressor(x), [8.0, 26.0, 14.0])
    np.testing.assert_allclose(sensitivity(compressor, x), [[0, 1, 2], [3, 4, 5], [2, 4, 6]])
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        sensitivity(compressor, x[:2])
    with pytest.raises(DataError, match="finite numbers, got others in 1 of 1"):
        sensitivity(compressor, x.at[1].set(jnp.nan))
    maps = fixed(lambda data: jnp.sum(data**2, axis=(0, 1)), (2, 2, 2))
    sound = jnp.arange(8.0).reshape(2, 2, 2)
    np.testing.assert_array_equal(sensitivity(maps, sound)[1, ..., 1], 2 * sound[..., 1])
    np.testing.assert_array_equal(jax.vmap(lambda one: sensitivity(maps, one))(sound[None])[0], sensitivity(maps, sound))
    with pytest.raises(DataError, match=r"constant ones in bins \[1\]"):
        sensitivity(maps, sound.at[..., 1].set(3.0))
