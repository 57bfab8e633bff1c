import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from fullfield._core import ConfigurationError, DamagedDataError, DataError, ParameterError
from fullfield.datasets import campaign, simulate_to_store, SimulationSet, split, write_chunks
from fullfield.parameters import ParameterSpace
from fullfield.simulators import BlackBoxModel, LinearGaussian


MODEL = LinearGaussian(n_data=6, n_parameters=2)
N, CHUNK, SEED = 50, 16, 3


def simulate(path, **settings):
    return simulate_to_store(path, MODEL, **{"n": N, "seed": SEED, "chunk": CHUNK, "batch_size": 4} | settings)


def content(path):
    """Bytes of every file of a store by name."""
    path = pathlib.Path(path)
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def chunk_file(store, name, number):
    return store.path / name / "c" / str(number) / "0"


def flip_a_byte(file):
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    file.write_bytes(bytes(damaged))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("store") / "simulations.zarr", configuration={"survey": {"pixels": 64}})


@pytest.fixture
def copy(finished, tmp_path):
    return SimulationSet.open(shutil.copytree(finished.path, tmp_path / "simulations.zarr"))


class Stop(Exception):
    pass


def stop_after(chunks):
    def progress(stage, done, total, **numbers):
        if stage == "simulating" and done == chunks:
            raise Stop

    return progress


def test_store_holds_what_the_model_simulates_at_its_keys(finished):
    keys, theta, data = (finished.read(name) for name in ("key", "theta", "data"))
    assert theta.shape == (N, 2)
    assert data.shape == (N, 6)
    again = jax.vmap(MODEL.simulate_at)(jax.random.wrap_key_data(jnp.asarray(keys)), jnp.asarray(theta))
    np.testing.assert_allclose(data, again, rtol=1e-5, atol=1e-5)
    assert np.unique(theta).size == theta.size
    assert finished.missing() == finished.damaged() == []
    assert finished.facts["configuration"] == {"survey": {"pixels": 64}}
    assert finished.names == ("theta_1", "theta_2")


def test_any_zarr_reader_can_read_it(finished):
    group = zarr.open_group(finished.path, mode="r")
    assert set(group.array_keys()) == {"theta", "data", "key", "checksum", "split"}
    assert group.metadata.zarr_format == 3


def test_parts_are_disjoint_and_complete(finished):
    parts = [finished.rows(part) for part in ("train", "validation", "calibration", "test")]
    assert [part.size for part in parts] == [40, 5, 3, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(N))
    train = finished.arrays("train")
    np.testing.assert_array_equal(train.data, finished.read("data")[parts[0]])
    assert finished.batches("train", 8).cost(1) == 40
    with pytest.raises(ParameterError, match="validation"):
        finished.rows("validaton")


def test_score_and_latents_are_those_of_the_model(tmp_path):
    store = simulate(tmp_path / "simulations.zarr", n=8, chunk=8, score=True, latents=True)
    theta, data, score, z = (jnp.asarray(store.read(name)) for name in ("theta", "data", "score", "latents.z"))
    truth = jax.vmap(lambda theta, z, data: MODEL.score(theta, {"z": z}, data))(theta, z, data)
    np.testing.assert_allclose(score, truth, rtol=1e-4, atol=1e-4)


def test_interrupted_campaign_ends_with_the_same_bytes(finished, tmp_path):
    path = tmp_path / "simulations.zarr"
    settings = {"configuration": {"survey": {"pixels": 64}}}
    with pytest.raises(Stop):
        simulate(path, progress=stop_after(1), **settings)
    store = SimulationSet.open(path)
    assert 0 < len(store.missing()) < store.chunks
    with pytest.raises(DataError, match="that are missing"):
        store.arrays()
    simulate(path, **settings)
    assert content(path) == content(finished.path)


def test_resuming_a_finished_campaign_simulates_nothing(copy):
    before = content(copy.path)
    stages = []
    simulate(copy.path, configuration={"survey": {"pixels": 64}}, progress=lambda stage, *_, **__: stages.append(stage))
    assert set(stages) == {"verifying"}
    assert content(copy.path) == before


def test_chunks_may_be_written_in_any_order_by_several_writers(finished, tmp_path):
    path = tmp_path / "simulations.zarr"
    with pytest.raises(Stop):
        simulate(path, progress=stop_after(1), configuration={"survey": {"pixels": 64}})
    store = SimulationSet.open(path)
    for number in reversed(range(store.chunks)):
        write_chunks(store, MODEL, [number], batch_size=4)
    assert content(path) == content(finished.path)


@pytest.mark.parametrize("name", ["data", "theta", "key"])
def test_damaged_chunk_is_named_and_simulated_again_bit_for_bit(finished, copy, name):
    flip_a_byte(chunk_file(copy, name, 2))
    assert copy.damaged() == [2]
    with pytest.raises(DamagedDataError, match=r"chunks \[2\]"):
        copy.verify()
    with pytest.raises(DamagedDataError, match="bit for bit"):
        copy.read(name)
    stages = []
    simulate(copy.path, configuration={"survey": {"pixels": 64}}, progress=lambda *stage, **_: stages.append(stage))
    assert [stage for stage in stages if stage[0] == "simulating"] == [("simulating", 1, 1)]
    assert content(copy.path) == content(finished.path)


def test_lost_truncated_and_swapped_chunks_are_damaged(copy):
    chunk_file(copy, "data", 0).unlink()
    truncated = chunk_file(copy, "data", 1)
    truncated.write_bytes(truncated.read_bytes()[:100])
    # A whole chunk in another's place passes the codec's own checksum, not the record.
    shutil.copy(chunk_file(copy, "theta", 3), chunk_file(copy, "theta", 2))
    assert copy.damaged() == [0, 1, 2]


def test_growing_keeps_what_there_is(finished, copy):
    grown = simulate(copy.path, n=90, configuration={"survey": {"pixels": 64}})
    assert grown.missing() == grown.damaged() == []
    for name in ("theta", "data", "key"):
        np.testing.assert_array_equal(grown.read(name)[:N], finished.read(name))
    np.testing.assert_array_equal(np.asarray(grown.array("split")[:N]), np.asarray(finished.array("split")[:]))
    assert [grown.rows(part).size for part in grown.facts["fractions"]] == [72, 9, 5, 4]
    assert np.unique(grown.read("theta")).size == 180
    with pytest.raises(ConfigurationError, match="only grows"):
        simulate(copy.path, configuration={"survey": {"pixels": 64}})


def test_damaged_description_is_refused_with_a_remedy(copy):
    description = copy.path / "zarr.json"
    description.write_bytes(description.read_bytes()[:-40])
    with pytest.raises(DamagedDataError, match=r"zarr\.json.*JSON.*delete the store"):
        SimulationSet.open(copy.path)


@pytest.mark.parametrize("damage", ["swapped", "flipped", "lost", "of another seed"])
def test_damaged_split_is_refused(copy, damage):
    labels = zarr.open_group(copy.path, mode="r+")["split"]
    file = next(file for file in (copy.path / "split" / "c").rglob("*") if file.is_file())
    if damage == "swapped":
        train, test = (copy.rows(part)[0] for part in ("train", "test"))
        labels[train], labels[test] = labels[test], labels[train]
    elif damage == "flipped":
        flip_a_byte(file)
    elif damage == "lost":
        file.unlink()
    else:
        labels[:] = split(N, copy.facts["fractions"], SEED + 1)
    with pytest.raises(DamagedDataError, match="split: expected the split that was made"):
        SimulationSet.open(copy.path)


def test_a_grown_store_opens_with_its_split(copy):
    for n in (60, 90):
        simulate(copy.path, n=n, configuration={"survey": {"pixels": 64}})
    assert SimulationSet.open(copy.path).rows("train").size == 72


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 4}, "seed: expected 3"),
        ({"configuration": {"survey": {"pixels": 32}}}, r"configuration\.survey\.pixels: expected 64.*got 32"),
        ({"configuration": {}}, r"configuration\.survey"),
        ({"chunk": 8}, "chunk"),
        ({"score": True}, "arrays"),
        ({"fractions": {"train": 1.0}}, r"fractions"),
    ],
)
def test_store_of_another_campaign_is_refused(copy, settings, named):
    before = content(copy.path)
    with pytest.raises(ConfigurationError, match=named):
        simulate(copy.path, **{"configuration": {"survey": {"pixels": 64}}} | settings)
    assert content(copy.path) == before


def test_store_of_another_model_is_refused(copy):
    other = LinearGaussian(n_data=6, n_parameters=2, noise_scale=2.0)
    with pytest.raises(ConfigurationError, match="model"):
        simulate_to_store(copy.path, other, n=N, seed=SEED, chunk=CHUNK, configuration={"survey": {"pixels": 64}})


def test_foreign_folder_is_refused_untouched(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(DataError, match="another folder or none"):
        simulate(tmp_path)
    assert content(tmp_path) == {"precious.txt": b"mine"}


def test_full_disk_is_a_clear_error_and_keeps_finished_chunks(finished, tmp_path, monkeypatch):
    path, written = tmp_path / "simulations.zarr", []
    checksums = campaign.checksums

    def full_after_two(arrays):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(1)
        return checksums(arrays)

    monkeypatch.setattr(campaign, "checksums", full_after_two)
    with pytest.raises(DataError, match=r"GB of free disk.*finished chunks are kept"):
        simulate(path, configuration={"survey": {"pixels": 64}})
    assert SimulationSet.open(path).missing() == [2, 3]
    monkeypatch.undo()
    simulate(path, configuration={"survey": {"pixels": 64}})
    assert content(path) == content(finished.path)


def test_too_small_a_disk_is_refused_before_simulating(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(campaign.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match="free disk"):
        simulate(tmp_path / "simulations.zarr")


def test_non_finite_simulation_is_reported_with_its_parameters(tmp_path):
    model = BlackBoxModel(lambda key, theta: jnp.where(theta[0] > 0, jnp.log(theta), jnp.nan), MODEL.parameters)
    with pytest.raises(DataError, match=r"NaN or infinity in \d+ of the 16 simulations so far, .*theta_1.*leave_out"):
        simulate_to_store(tmp_path / "simulations.zarr", model, n=16, seed=0, chunk=16)


def test_black_box_has_no_score(tmp_path):
    model = BlackBoxModel(lambda key, theta: theta, ParameterSpace(dict(zip("ab", MODEL.parameters.entries, strict=True))))
    with pytest.raises(ConfigurationError, match="explicit model"):
        simulate_to_store(tmp_path / "simulations.zarr", model, n=4, seed=0, score=True)


KILLED = """
import sys, time
from fullfield.datasets import simulate_to_store
from fullfield.simulators import LinearGaussian

simulate_to_store(
    sys.argv[1], LinearGaussian(n_data=6, n_parameters=2), n=50, seed=3, chunk=16, batch_size=4,
    configuration={"survey": {"pixels": 64}}, progress=lambda *_, **__: time.sleep(60),
)
"""


def test_kill_9_loses_nothing_that_was_finished(finished, tmp_path):
    path = tmp_path / "simulations.zarr"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=os.environ) as process:
        deadline = time.monotonic() + 120
        while not (path.exists() and len(SimulationSet.open(path).missing()) < 4):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    store = SimulationSet.open(path)
    assert store.missing()
    simulate(path, configuration={"survey": {"pixels": 64}})
    left = {name for name in content(path) if name.endswith(".partial")}
    assert {name: body for name, body in content(path).items() if name not in left} == content(finished.path)
