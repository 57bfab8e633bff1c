"""A compressor on disk is the compressor that was trained, or an error that says why not."""

import json
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DamagedDataError, DataError, save_module, ShapeError
from fullfield.compression import load_compressor, moped, read_provenance, save_compressor, scoring, standardising, whitened
from fullfield.networks import ConvNet, MLP
from fullfield.simulators import LinearGaussian


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


IN_A_FRESH_PROCESS = """
import sys, equinox as eqx, jax, jax.numpy as jnp, numpy as np
from fullfield.compression import load_compressor, scoring, standardising, whitening
from fullfield.networks import ConvNet
network = ConvNet((8, 8, 2), 2, key=jax.random.key(0), patch=2, widths=(4, 4), blocks=(1, 1))
unit = load_compressor("unit.eqx", whitening(standardising(network, jnp.zeros((1, 8, 8, 2)))))
hard = load_compressor("hard.eqx", scoring(eqx.nn.Identity(), (4,), 1))
with np.load("data.npz") as data:
    np.savez("found.npz", unit=unit(data["one"]), hard=hard(data["other"]))
"""


def test_whitened_and_score_compressors_are_read_in_a_fresh_process_without_data(tmp_path):
    unit = whitened(standardising(network(1), MAPS), MAPS)
    world = LinearGaussian(n_data=4, n_parameters=2, latent_scale=0.5, noise_scale=0.3)
    hard = moped(world, eqx.nn.Identity(), key=jax.random.key(2), simulations=100, nuisance=["theta_2"])
    for name, compressor in (("unit", unit), ("hard", hard)):
        save_compressor(tmp_path / f"{name}.eqx", compressor)
    one, other = np.asarray(MAPS[3]), np.arange(4, dtype=np.float32)
    np.savez(tmp_path / "data.npz", one=one, other=other)
    subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS], cwd=tmp_path, check=True)
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["unit"], unit(MAPS[3]), rtol=1e-6)
        np.testing.assert_allclose(found["hard"], hard(jnp.asarray(other)), rtol=1e-6)
    with pytest.raises(ShapeError, match=r"summaries \(1,\)"):
        load_compressor(tmp_path / "hard.eqx", scoring(eqx.nn.Identity(), (4,), 2))


def test_other_pixels_or_bins_are_named(saved):
    with pytest.raises(ShapeError, match=r"\(8, 8, 2\)"):
        load_compressor(saved[0], blank(shape=(16, 16, 2)))
    with pytest.raises(ShapeError, match=r"\(8, 8, 3\)"):
        load_compressor(saved[0], blank(shape=(8, 8, 3)))


def test_a_whitened_one_is_not_a_plain_one_nor_the_other_way_round(saved, tmp_path):
    path, compressor = saved
    turned = whitened(compressor, MAPS)
    save_compressor(tmp_path / "w.eqx", turned)
    for file, like in ((tmp_path / "w.eqx", compressor), (path, turned)):
        with pytest.raises(DataError, match="one of other parts or settings"):
            load_compressor(file, like)


def vectors(activation=jax.nn.silu, outputs=2):
    return standardising(MLP(3, outputs, key=jax.random.key(0), width=4, activation=activation), jnp.zeros((1, 3)))


def test_another_activation_and_another_length_of_summaries_are_refused(tmp_path):
    save_compressor(tmp_path / "silu.eqx", vectors())
    assert load_compressor(tmp_path / "silu.eqx", vectors()).summary_size == 2
    with pytest.raises(DataError, match="activations"):
        load_compressor(tmp_path / "silu.eqx", vectors(jax.nn.relu))
    with pytest.raises(ShapeError, match=r"summaries \(2,\)"):
        load_compressor(tmp_path / "silu.eqx", vectors(outputs=3))


def test_files_of_earlier_versions_are_read_and_hold_no_more_than_is_read(saved, tmp_path):
    def without_structure(path, compressor):
        save_compressor(path, compressor)
        line, body = path.read_bytes().split(b"\n", 1)
        record = json.loads(line)
        del record["header"]["structure"]
        path.write_bytes(json.dumps(record).encode() + b"\n" + body)
        return path

    plain = saved[1]
    old = without_structure(tmp_path / "plain.eqx", plain)
    np.testing.assert_array_equal(load_compressor(old, blank())(MAPS[0]), plain(MAPS[0]))
    old = without_structure(tmp_path / "whitened.eqx", whitened(plain, MAPS))
    with pytest.raises(DataError, match="got further ones"):
        load_compressor(old, blank())


def test_provenance_takes_numbers_of_numpy(tmp_path):
    told = {"simulations": np.int64(2000), "merits": np.array([1.5, 2.0]), "share": np.float32(0.5)}
    save_compressor(tmp_path / "c.eqx", vectors(), told)
    found = read_provenance(tmp_path / "c.eqx")
    assert (found["simulations"], found["merits"], found["share"]) == (2000, [1.5, 2.0], 0.5)
    with pytest.raises(TypeError, match="object is not a number"):
        save_compressor(tmp_path / "d.eqx", vectors(), {"what": object()})


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
