"""Modules to disk and back, and digests."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DamagedDataError, DataError, digest, load_module, read_header, save_module, stream, write_atomically
from fullfield.simulators import LinearGaussian, wcdm_parameters


@pytest.fixture
def module(key):
    return eqx.nn.Linear(3, 2, key=key)


def test_round_trip(tmp_path, module):
    save_module(tmp_path / "m", module, {"kind": "linear"})
    loaded = load_module(tmp_path / "m", eqx.filter_eval_shape(lambda: module))
    np.testing.assert_array_equal(loaded.weight, module.weight)
    assert read_header(tmp_path / "m") == {"kind": "linear"}


def test_a_flipped_byte_is_seen(tmp_path, module):
    save_module(tmp_path / "m", module)
    content = bytearray((tmp_path / "m").read_bytes())
    content[-3] ^= 1
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(DamagedDataError, match="checksum"):
        load_module(tmp_path / "m", module)


def test_another_structure_and_another_format_are_refused(tmp_path, module, key):
    save_module(tmp_path / "m", module)
    with pytest.raises(DataError):
        load_module(tmp_path / "m", eqx.nn.Linear(4, 2, key=key))
    (tmp_path / "text").write_text("hello\n")
    with pytest.raises(DataError, match="save_module"):
        read_header(tmp_path / "text")


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path):
    (tmp_path / "f").write_text("before")

    def stopped_halfway():
        with write_atomically(tmp_path / "f") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_halfway()
    assert (tmp_path / "f").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_digest_names_content_and_settings():
    assert digest(LinearGaussian()) == digest(LinearGaussian())
    others = [LinearGaussian(n_data=25), LinearGaussian(noise_scale=1.1), LinearGaussian(n_parameters=2)]
    assert len({digest(m) for m in [LinearGaussian(), *others]}) == 4
    assert digest(jnp.zeros(2)) != digest(jnp.zeros((2, 1)))
    assert digest({"a": 1, "f": jnp.tanh}) != digest({"a": 2, "f": jnp.tanh})


def test_digest_is_the_same_in_another_process():
    code = "from fullfield._core import digest; from fullfield.simulators import LinearGaussian as L; print(digest(L()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(LinearGaussian())


def test_streams_depend_on_name_and_parent(key):
    names = [stream(key, "a"), stream(key, "b"), stream(stream(key, "a"), "a")]
    assert len({tuple(np.asarray(jax.random.key_data(k))) for k in names}) == 3
    assert stream(key, "a") == stream(key, "a")


def test_distributions_keep_their_fields_whatever_the_order_of_sets(tmp_path):
    # NumPyro flattens a distribution in the order of a set of strings, which PYTHONHASHSEED decides.
    code = """
import sys
from fullfield._core import digest, save_module
from fullfield.simulators import LinearGaussian, wcdm_parameters
save_module(sys.argv[1], wcdm_parameters())
print(digest(LinearGaussian(), wcdm_parameters()))
"""
    digests = []
    for seed in ("1", "9"):
        file = tmp_path / seed
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True, env=environment)
        digests.append(done.stdout)
        w_0 = load_module(file, wcdm_parameters()).entries[5].prior
        np.testing.assert_allclose([w_0.base_dist.loc, w_0.base_dist.scale], [-1.0, 0.9], rtol=1e-6)
    assert len(set(digests)) == 1


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with write_atomically(tmp_path / "ours") as file:
        file.write(b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
