"""A compressor on disk is the compressor that was trained, or an error that says why not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DamagedDataError, DataError, save_module, ShapeError
from fullfield.compression import load_compressor, read_provenance, save_compressor, standardising, whitened
from fullfield.networks import ConvNet, MLP


MAPS = jax.random.normal(jax.random.key(0), (40, 8, 8, 2)) + 3.0


def network(key, width=4, shape=(8, 8, 2)):
    return ConvNet(shape, 2, key=jax.random.key(key), patch=2, widths=(width, width), blocks=(1, 1))


def blank(**settings):
    shape = settings.get("shape", (8, 8, 2))
    return standardising(network(9, **settings), jnp.zeros((1, *shape)))


@pytest.fixture
def saved(tmp_path):
    compressor = standardising(network(1), MAPS)
    save_compressor(tmp_path / "c.eqx", compressor, {"objective": "VMIM", "simulations": 2000})
    return tmp_path / "c.eqx", compressor


def test_it_comes_back_with_its_weights_its_moments_and_where_it_came_from(saved):
    path, compressor = saved
    loaded = load_compressor(path, blank())
    np.testing.assert_array_equal(loaded(MAPS[0]), compressor(MAPS[0]))
    found = read_provenance(path)
    assert (found["objective"], found["simulations"], found["data_shape"], found["summary_size"]) == (
        "VMIM",
        2000,
        [8, 8, 2],
        2,
    )
    assert found["fullfield"]


def test_a_whitened_one_comes_back_too(tmp_path):
    compressor = whitened(standardising(network(1), MAPS), MAPS)
    save_compressor(tmp_path / "w.eqx", compressor)
    other = whitened(blank(), MAPS[::-1] + jax.random.normal(jax.random.key(3), MAPS.shape))
    np.testing.assert_array_equal(load_compressor(tmp_path / "w.eqx", other)(MAPS[0]), compressor(MAPS[0]))


def test_other_pixels_or_bins_are_named(saved):
    with pytest.raises(ShapeError, match=r"\(8, 8, 2\)"):
        load_compressor(saved[0], blank(shape=(16, 16, 2)))
    with pytest.raises(ShapeError, match=r"\(8, 8, 3\)"):
        load_compressor(saved[0], blank(shape=(8, 8, 3)))


def test_another_network_a_damaged_file_and_other_files_are_refused(saved, tmp_path):
    path, _ = saved
    with pytest.raises(DataError, match="structure"):
        load_compressor(path, blank(width=8))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    (tmp_path / "damaged.eqx").write_bytes(content)
    with pytest.raises(DamagedDataError, match="checksum"):
        load_compressor(tmp_path / "damaged.eqx", blank())
    save_module(tmp_path / "other.eqx", MLP(3, 2, key=jax.random.key(0)))
    with pytest.raises(DataError, match="save_compressor"):
        read_provenance(tmp_path / "other.eqx")
