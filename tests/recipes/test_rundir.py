import fcntl
import os

import getdist
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.recipes import artefacts
from fullfield.recipes.artefacts import read_arrays, write_draws
from fullfield.recipes.configuration import resolve, RunConfiguration
from fullfield.recipes.rundir import create, read_configuration, replace, resume, StageRecord, tell_difference


RECORD = StageRecord(inputs="abc", seconds=1.5, simulations=3, gradients=0, peak_memory_gb=0.1, files={})


@pytest.fixture
def settings():
    return RunConfiguration()


def test_a_run_is_never_overwritten(tmp_path, settings):
    create(tmp_path / "run", settings)
    with pytest.raises(ConfigurationError, match=r"--resume.*--force"):
        create(tmp_path / "run", settings)


def test_a_file_in_the_way_is_refused(tmp_path, settings):
    (tmp_path / "run").write_text("mine")
    for start in (create, resume, replace):
        with pytest.raises(ConfigurationError):
            start(tmp_path / "run", settings)
    assert (tmp_path / "run").read_text() == "mine"


def test_resume_of_another_configuration_names_the_first_difference(tmp_path, settings):
    create(tmp_path, settings)
    other = resolve(RunConfiguration, overrides=["posterior.width=17"])
    with pytest.raises(ConfigurationError, match=r"posterior\.width is 64 there and 17 here"):
        resume(tmp_path, other)
    assert resume(tmp_path, settings).path == tmp_path
    assert read_configuration(tmp_path, RunConfiguration) == settings


def test_first_difference_is_named_with_both_values():
    one = RunConfiguration()
    other = resolve(RunConfiguration, overrides=["simulations.chunk=7", "posterior.draws=800"])
    assert tell_difference(one, one) is None
    difference = tell_difference(one, other)
    assert difference is not None
    assert "simulations.chunk is 250 there and 7 here" in difference


def test_resume_starts_what_never_started(tmp_path, settings):
    assert resume(tmp_path / "new", settings).configuration.exists()
    early = tmp_path / "killed-early"
    (early / "checkpoints").mkdir(parents=True)
    (early / ".config.yaml.x7").write_text("half")
    assert resume(early, settings).configuration.exists()


def test_force_deletes_the_run_and_nothing_else(tmp_path, settings):
    directory = create(tmp_path, settings)
    directory.finish("simulate", RECORD)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".posterior.npz.k3").write_text("half")
    replaced = replace(tmp_path, settings)
    assert replaced.stage("simulate") is None
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / ".posterior.npz.k3").exists()


def test_force_refuses_a_directory_that_is_no_run(tmp_path, settings):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match="no run"):
        replace(tmp_path, settings)
    with pytest.raises(ConfigurationError, match="no run"):
        resume(tmp_path, settings)
    assert (tmp_path / "thesis.tex").exists()


def test_a_stage_is_finished_only_with_its_inputs_and_files(tmp_path, settings):
    directory = create(tmp_path, settings)
    artefact = directory.checkpoint("thing")
    artefact.write_text("content")
    assert not directory.finished("thing", "abc")
    directory.finish("thing", RECORD, [artefact])
    assert directory.finished("thing", "abc")
    assert not directory.finished("thing", "other inputs")
    artefact.write_text("damaged")
    assert not directory.finished("thing", "abc")
    artefact.unlink()
    assert not directory.finished("thing", "abc")


def test_an_unreadable_record_means_not_finished(tmp_path, settings):
    directory = create(tmp_path, settings)
    for text in ("{", "{}", "[]"):
        directory.checkpoint("thing.stage.json").write_text(text)
        assert directory.stage("thing") is None


def test_two_processes_never_write_to_one_run(tmp_path, settings):
    directory = create(tmp_path, settings)
    with open(tmp_path / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another process"), directory.locked():
            pass
    with directory.locked():
        pass


def test_draws_come_back_named_and_as_a_getdist_chain(tmp_path):
    space = ParameterSpace(
        {"width": Parameter(dist.Uniform(0.0, 2.0), label="w"), "slope": Parameter(dist.Normal(0.0, 1.0), label=r"\alpha")}
    )
    draws = np.random.default_rng(0).uniform(size=(500, 2)).astype(np.float32)
    files = write_draws(tmp_path, space, draws, -np.arange(500.0))
    assert all(file.exists() for file in files)
    named = read_arrays(tmp_path / "posterior.npz")
    np.testing.assert_array_equal(named["slope"], draws[:, 1])
    chain = getdist.loadMCSamples(str(tmp_path / "posterior"))
    np.testing.assert_allclose(chain["width"], draws[:, 0], rtol=1e-6)
    np.testing.assert_allclose(chain.loglikes, np.arange(500.0))
    assert chain.ranges.getLower("width") == 0.0
    assert chain.ranges.getUpper("slope") is None
    assert chain.paramNames.parWithName("slope").label == r"\alpha"


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "arrays.npz"
    artefacts.write_arrays(path, a=np.arange(3))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        artefacts.write_arrays(path, a=np.arange(4))
    assert read_arrays(path)["a"].size == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["arrays.npz"]


def test_damaged_arrays_are_named(tmp_path):
    path = tmp_path / "arrays.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"arrays\.npz"):
        read_arrays(path)
