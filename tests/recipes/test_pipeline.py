import dataclasses
import os
import shutil
import signal
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, digest, ParameterError, ShapeError
from fullfield.compression import read_provenance, standardising
from fullfield.networks import MLP
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.recipes import Problem, run_pipeline, RunConfiguration
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.configuration import CompressorSettings, resolve
from fullfield.recipes.reporting import diagnose
from fullfield.recipes.rundir import create, resume
from fullfield.recipes.stages import make_network
from fullfield.report import revision
from fullfield.simulators import BlackBoxModel, NumPyroModel


SMALL = {
    "simulations": {"training": 200, "inference": 200, "validation": 64, "calibration": 40, "chunk": 100},
    "compressor": {"summaries": 2, "training": {"epochs": 20, "batch": 32, "learning_rate": 3e-3}},
    "posterior": {"density": "real_nvp", "layers": 1, "width": 8, "draws": 300, "training": {"epochs": 20, "batch": 32}},
    "calibration": {"draws": 50, "replicas": 60},
}
MADE = 200 + 200 + 64 + 40 + 60  # stored, and drawn from the posterior
TWINS = 30
NOISE = 0.5
STAGES = ("simulating", "compressor", "summarising", "posterior", "drawing", "weighing", "replicating", "simulating twin")


def line(key, theta):
    """A straight line with noise; its posterior is Gaussian up to the uniform prior."""
    x = jnp.linspace(-1, 1, 8)
    return theta[0] + theta[1] * x + NOISE * jax.random.normal(key, (8,))


def space():
    return ParameterSpace({"offset": Parameter(dist.Uniform(-2.0, 2.0)), "slope": Parameter(dist.Normal(0.0, 1.0))})


@pytest.fixture(scope="module")
def settings():
    return resolve(RunConfiguration, SMALL)


def straight_line():
    model = BlackBoxModel(line, space())
    observation, truth = np.linspace(-0.5, 1.5, 8), np.array([0.5, 1.0])
    return Problem(model, observation=observation, truth=truth, variants={"twin": (model, TWINS)})


@pytest.fixture(scope="module")
def problem():
    return straight_line()


@pytest.fixture(scope="module")
def whole(problem, settings, tmp_path_factory):
    """A run that was never stopped, and the stages that told of their progress."""
    told = []
    path = tmp_path_factory.mktemp("whole") / "run"
    result = run_pipeline(problem, settings, path, progress=lambda stage, *_, **__: told.append(stage))
    return path, result, list(dict.fromkeys(told))


class Killed(BaseException):
    """Nothing catches this, as nothing catches `kill`."""


def killed_at(stage):
    def progress(told, done, total, **numbers):
        if told == stage:
            raise Killed

    return progress


def test_every_stage_tells_of_its_progress(whole):
    assert set(whole[2]) >= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_at_any_stage_continues_to_the_same_bits(problem, settings, whole, tmp_path, stage):
    with pytest.raises(Killed):
        run_pipeline(problem, settings, create(tmp_path / "run", settings), progress=killed_at(stage))
    assert not (tmp_path / "run" / "report.json").exists()
    result = run_pipeline(problem, settings, tmp_path / "run", resume=True)
    for name in ("posterior.npz", "posterior.txt", *(f"checkpoints/{it}.npz" for it in ("calibration", "replicas", "twin"))):
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes(), name
    assert result.report.numbers == whole[1].report.numbers


KILL_9 = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_pipeline import resolve, run_pipeline, RunConfiguration, SMALL, straight_line
moment, rename = sys.argv[3], os.replace
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def progress(stage, done, total, **numbers):
    if stage == moment and done >= min(2, total):
        kill()
def replace(old, new):
    if os.path.basename(new) == moment:
        kill()  # written beside its place, and not yet there
    rename(old, new)
os.replace = replace
run_pipeline(straight_line(), resolve(RunConfiguration, SMALL), sys.argv[2], progress=progress)
"""
FILES = (
    "observation.npz", "compress.stage.json", "compressor.eqx", "summaries.npz", "posterior.eqx", "posterior.npz",
    "posterior.txt", "calibration.npz", "replicas.npz", "twin.npz", "corner.png", "ranks.png", "citations.bib",
    "report.html", "report.json",
)  # fmt: skip


@pytest.mark.parametrize(
    "moment",
    ["compressor", *(pytest.param(name, marks=pytest.mark.slow) for name in (*STAGES, *FILES) if name != "compressor")],
)
def test_kill_9_in_another_process_loses_nothing(problem, settings, whole, tmp_path, moment):
    here = os.path.dirname(__file__)
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", KILL_9, here, str(tmp_path / "run"), moment], check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / "report.json").exists()
    result = run_pipeline(problem, settings, resume(tmp_path / "run", settings))
    for name in ("posterior.npz", "checkpoints/calibration.npz", "checkpoints/replicas.npz", "checkpoints/twin.npz"):
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes(), name
    assert result.report.numbers == whole[1].report.numbers


def test_a_finished_run_is_not_done_again(problem, settings, whole):
    told = []
    again = run_pipeline(problem, settings, resume(whole[0], settings), progress=lambda stage, *_, **__: told.append(stage))
    assert set(told) <= {"verifying", "testing and drawing"}
    assert again.report.numbers == whole[1].report.numbers
    assert again.report.cost.seconds.keys() == whole[1].report.cost.seconds.keys()


def test_a_damaged_artefact_is_made_again(problem, settings, whole, tmp_path):
    path = shutil.copytree(whole[0], tmp_path / "run")
    for name in ("checkpoints/summaries.npz", "posterior.npz"):
        (path / name).write_bytes(b"damaged")
    chunk = next(file for file in (path / "simulations.zarr" / "data").rglob("c/*/*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[10] ^= 255
    chunk.write_bytes(bytes(content))
    run_pipeline(problem, settings, resume(path, settings))
    assert (path / "posterior.npz").read_bytes() == (whole[0] / "posterior.npz").read_bytes()


def test_another_observation_needs_no_new_training(problem, settings, whole, tmp_path):
    told = []
    path = shutil.copytree(whole[0], tmp_path / "run")
    other = Problem(problem.model, observation=np.linspace(0.5, -1.5, 8))
    run_pipeline(other, settings, resume(path, settings), progress=lambda stage, *_, **__: told.append(stage))
    assert "drawing" in told
    assert not {"compressor", "posterior", "simulating"} & set(told)
    assert read_arrays(path / "posterior.npz")["slope"].mean() < read_arrays(whole[0] / "posterior.npz")["slope"].mean()


def test_simulations_of_another_model_are_tested_like_the_held_out_ones(whole):
    report = whole[1].report
    names = {number.name for number in report.numbers}
    ours = {name for name in names if name.split("/")[0] in ("sbc", "coverage", "tarp", "mira")}
    assert {name.removeprefix("twin/") for name in names if name.startswith("twin/")} == ours
    assert report.cost.simulations == MADE + TWINS
    assert report.cost.gradients == 0


def test_one_false_alarm_budget_covers_the_whole_report(whole):
    bars = {number.name: number.bar for number in whole[1].report.numbers}
    # Four reports share it: the held-out simulations', the twin's, and these two of two p-values each.
    for name in ("misspecification/mahalanobis", "misspecification/neighbours"):
        assert bars[name] == ">= 0.000125"
    for name in ("predictive/statistic/joint", "predictive/statistic/largest"):
        assert bars[name] == ">= 0.000125"


def test_draws_at_the_very_edge_of_the_prior_gain_nothing(whole, problem, settings):
    outcome = whole[1].outcome
    truths, draws = outcome.held_out.log_prob_truths.copy(), outcome.held_out.log_prob_draws.copy()
    theta = outcome.held_out.draws.copy()
    theta[0, 0, 0], draws[0, 0] = 2.0 + 1e-6, -np.inf
    held_out = dataclasses.replace(outcome.held_out, draws=theta, log_prob_draws=draws, log_prob_truths=truths)
    report, _ = diagnose(dataclasses.replace(outcome, held_out=held_out), jax.random.key(0))
    assert np.isfinite(report["sbc/gain/deviation"].value)


def test_a_named_network_comes_before_the_problems_own(problem):
    own = dataclasses.replace(problem, network=lambda outputs, key: MLP((8,), outputs, key=key, width=5))
    key = jax.random.key(0)

    def width(settings):
        return max(leaf.shape[0] for leaf in jax.tree.leaves(make_network(own, settings, key)) if hasattr(leaf, "shape"))

    assert width(CompressorSettings()) == 5
    assert width(CompressorSettings(network="mlp")) > 5


class Collapsed(eqx.Module):
    """A network whose second output says nothing."""

    first: MLP

    def __call__(self, x, *, key=None):
        return jnp.append(self.first(x), 7.0)


def test_a_collapsed_summary_is_named_and_no_posterior_is_trained_on_it(problem, tmp_path):
    dead = dataclasses.replace(problem, network=lambda outputs, key: Collapsed(MLP((8,), 1, key=key, width=5)))
    short = resolve(RunConfiguration, SMALL, overrides=["compressor.training.epochs=1"])
    with pytest.raises(DataError, match=r"numbers that vary, got collapsed ones: \[1\]\. Train anew"):
        run_pipeline(dead, short, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints" / "summaries.npz").exists()


def test_a_compressor_tells_which_model_and_code_made_it(whole, problem):
    told = read_provenance(whole[0] / "checkpoints" / "compressor.eqx")
    assert (told["objective"], told["model"], told["revision"]) == ("VMIM", digest(problem.model), revision())
    assert told["simulations"] > 0


def test_weights_of_another_network_are_never_taken(whole, problem, settings, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    own = dataclasses.replace(problem, network=lambda outputs, key: MLP((8,), outputs, key=key, width=5))
    with pytest.raises(ConfigurationError, match="module"):
        run_pipeline(own, settings, resume(tmp_path / "run", settings))


def test_of_many_numbers_the_summary_is_compared_with_its_prediction():
    few, many = (BlackBoxModel(lambda key, theta, n=n: theta[0] + jnp.zeros(n), space()) for n in (500, 501))
    compressor = standardising(lambda data: data[:2], jnp.zeros((1, 501)))
    assert Problem(few).measure(compressor) is jnp.ravel
    assert Problem(many).measure(compressor) is compressor
    assert Problem(many, statistic=jnp.sum).measure(compressor) is jnp.sum


def test_variants_of_another_shape_or_too_few_are_refused(problem):
    other = BlackBoxModel(lambda key, theta: theta[0] + jnp.zeros(9), space())
    with pytest.raises(ShapeError, match="twin"):
        Problem(problem.model, variants={"twin": (other, 100)})
    with pytest.raises(ConfigurationError, match="at least 20"):
        Problem(problem.model, variants={"twin": (problem.model, 19)})


def test_the_posterior_finds_a_straight_line(whole):
    draws = whole[1].outcome.draws
    # Weighted least squares: offset and slope are independent, with variances σ²/8 and σ²/Σx².
    spread = NOISE / np.sqrt([8, np.sum(np.linspace(-1, 1, 8) ** 2)])
    # The prior's mean (0, 0) is 2.8 and 3.7 of these deviations away; little training on 256 simulations comes within 1.5.
    assert np.all(np.abs(draws.mean(axis=0) - (0.5, 1.0)) < 1.5 * spread)
    assert np.all(np.abs(draws[:, 0]) <= 2.0)


def test_a_host_simulator_and_a_numpyro_program_run_through_the_same_code(settings, tmp_path):
    def host(key, theta):
        random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return theta[0] + theta[1] * np.linspace(-1, 1, 8) + NOISE * random.normal(size=8)

    def program():
        offset = numpyro.sample("offset", dist.Uniform(-2.0, 2.0))
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
        numpyro.sample("data", dist.Normal(offset + slope * jnp.linspace(-1, 1, 8), NOISE).to_event(1))

    for name, model in {"host": BlackBoxModel(host, space()), "program": NumPyroModel(program, ("offset", "slope"))}.items():
        result = run_pipeline(Problem(model), settings, tmp_path / name)
        assert result.report.cost.simulations == MADE
        assert result.outcome.truth is not None


def test_online_simulations_and_ensembles_are_settings(problem, tmp_path):
    changes = ["compressor.simulations=online", "compressor.training.steps=4", "posterior.ensemble=2"]
    settings = resolve(RunConfiguration, SMALL, overrides=changes)
    result = run_pipeline(problem, settings, tmp_path / "run")
    assert set(result.outcome.histories) == {"compressor", "posterior-1", "posterior-2"}
    epochs = result.outcome.histories["compressor"].epochs
    assert result.report.cost.simulations == MADE + TWINS + epochs * 4 * 32


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        (np.zeros((8, 4, 4)), ShapeError, r"Move the axes into the order \(4, 4, 8\)"),
        (np.zeros((4, 4, 5)), ShapeError, r"expected shape \(4, 4, 8\)"),
        (np.zeros((4, 4, 8)), DataError, "vary"),
        (np.where(np.arange(128).reshape(4, 4, 8) == 7, np.inf, 1.0), DataError, "1 of 128"),
    ],
)
def test_impossible_observations_are_refused(values, error, said):
    with pytest.raises(error, match=said):
        Problem(BlackBoxModel(lambda key, theta: theta[0] + jnp.zeros((4, 4, 8)), space()), observation=values)


def test_a_truth_outside_the_prior_is_refused():
    with pytest.raises(ParameterError, match="offset"):
        Problem(BlackBoxModel(line, space()), truth=np.array([5.0, 0.0]))
