import pathlib
import typing

import pytest
import yaml

from fullfield._core import ConfigurationError
from fullfield.networks import DENSITIES, NETWORKS
from fullfield.recipes.configuration import (
    CompressorSettings,
    load_settings,
    PosteriorSettings,
    resolve,
    RunConfiguration,
)
from fullfield.recipes.lensing import LensingConfiguration


def test_later_layers_win_key_by_key():
    configuration = resolve(
        RunConfiguration,
        {"simulations": {"training": 10, "validation": 20}},
        {"simulations": {"training": 30}},
        overrides=["simulations.calibration=40", "posterior.training.epochs=7"],
    )
    simulations = configuration.simulations
    assert (simulations.training, simulations.validation, simulations.calibration) == (30, 20, 40)
    assert configuration.posterior.training.epochs == 7
    assert configuration.posterior.training.learning_rate == RunConfiguration().posterior.training.learning_rate


@pytest.mark.parametrize(("text", "value"), [("1e4", 10_000), ("2.0e3", 2000), ("500", 500)])
def test_numbers_are_read_as_scientists_write_them(text, value):
    assert resolve(RunConfiguration, overrides=[f"simulations.training={text}"]).simulations.training == value


def test_yaml_round_trip(tmp_path):
    before = resolve(RunConfiguration, {"seed": 3}, overrides=["posterior.training.learning_rate=3e-4"])
    file = tmp_path / "config.yaml"
    file.write_text(before.to_yaml())
    assert resolve(RunConfiguration, load_settings(file)) == before


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simulations.trainig=3", ["simulations.trainig", "'training'"]),
        ("posterior.training.epoch=3", ["posterior.training.epoch", "'epochs'"]),
        ("sed=3", ["sed", "'seed'"]),
    ],
)
def test_unknown_key_names_the_nearest(override, words):
    with pytest.raises(ConfigurationError) as caught:
        resolve(RunConfiguration, overrides=[override])
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simulations.validation=0", ["simulations.validation", "greater than 0", "got 0"]),
        ("simulations.training=-5", ["simulations.training", "greater than or equal to 20", "-5"]),
        ("compressor.network=resnet", ["compressor.network", "Did you mean 'resnet18'?"]),
        ("posterior.density=spline_flaw", ["posterior.density", "Did you mean 'spline_flow'?"]),
        ("simulations.training=many", ["simulations.training", "integer", "many"]),
        ("simulations.training=1.5", ["simulations.training", "integer", "1.5"]),
        ("posterior.training.learning_rate=.nan", ["posterior.training.learning_rate", "nan"]),
        ("seed=-1", ["seed", "-1"]),
        ("simulations=3", ["simulations", "3"]),
        ("simulations.training", ["--set", "key=value"]),
        ("simulations.training.more=3", ["simulations.training", "integer"]),
    ],
)
def test_impossible_value_is_one_clear_line(override, words):
    with pytest.raises(ConfigurationError) as caught:
        resolve(RunConfiguration, overrides=[override])
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "lowest"),
    [
        ("simulations.training", 20), ("simulations.inference", 20), ("simulations.calibration", 20),
        ("posterior.draws", 80), ("calibration.draws", 20), ("calibration.replicas", 40), ("averaged", 20),
    ],
)  # fmt: skip
def test_what_is_too_little_for_the_tests_at_the_end_is_refused_at_the_beginning(name, lowest):
    resolve(LensingConfiguration, overrides=[f"{name}={lowest}"])
    with pytest.raises(ConfigurationError, match=rf"{name}: expected .*{lowest}.*, got {lowest - 1}"):
        resolve(LensingConfiguration, overrides=[f"{name}={lowest - 1}"])


def test_no_averaged_maps_at_all_are_allowed():
    assert resolve(LensingConfiguration, overrides=["averaged=0"]).averaged == 0


def test_choices_are_those_of_the_registries():
    assert {*typing.get_args(PosteriorSettings.model_fields["density"].annotation)} <= {*DENSITIES}
    network = typing.get_args(CompressorSettings.model_fields["network"].annotation)[0]
    assert {*typing.get_args(network)} == {*NETWORKS}


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", "", "\x00"])
def test_files_that_are_no_settings_are_refused(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.yaml") as caught:
        load_settings(file)
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused():
    with pytest.raises(ConfigurationError, match="no such file"):
        load_settings(pathlib.Path("nowhere.yaml"))


def test_resolved_file_names_every_setting():
    written = yaml.safe_load(RunConfiguration().to_yaml())
    assert set(written) == set(RunConfiguration.model_fields)
    assert written["compressor"]["training"]["patience"] == RunConfiguration().compressor.training.patience
