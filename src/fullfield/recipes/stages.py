"""The stages of a run: each reads what earlier stages left in the run directory and leaves its own files there.

A stage computes only what is not finished, and what it returns is always read back from the disk. So a run that was stopped
and continued goes through the same numbers as one that never was.
"""

import functools
import inspect
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield import compression
from fullfield._core import digest, load_module, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    check_alive,
    Compressor,
    load_compressor,
    save_compressor,
    standardising,
    train_compressor,
    VMIM,
)
from fullfield.datasets import OnlineSimulations, simulate_to_store, SimulationSet, StoredSimulations
from fullfield.diagnostics import thinned
from fullfield.inference import AbstractPosterior, sample_many, train_npe
from fullfield.networks import AbstractDensity, apply_many, DENSITIES, NETWORKS
from fullfield.recipes.artefacts import read_arrays, write_arrays, write_draws, write_json
from fullfield.recipes.configuration import CompressorSettings, PosteriorSettings, RunConfiguration
from fullfield.recipes.problem import HeldOut, Problem
from fullfield.recipes.rundir import RunDirectory, Work
from fullfield.report import revision
from fullfield.simulators import AbstractForwardModel
from fullfield.training import cosine_adam, History


PARTS = ("train", "inference", "validation", "calibration")


@dataclass(frozen=True)
class Run:
    """What all stages of a run know."""

    problem: Problem
    configuration: RunConfiguration
    directory: RunDirectory
    progress: Progress

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)


def simulate(run: Run) -> tuple[SimulationSet, str]:
    """Bring the store to the wanted number of simulations, split into the parts that compressor, posterior and tests use.

    What a compressor or posterior was trained on serves nothing else: a posterior trained on summaries of the compressor's own
    training data would inherit its overfitting. Only the validation part serves twice, to stop both trainings.

    The store verifies what it holds and simulates again what is missing or damaged, so it is called in every run.
    """
    settings = run.configuration.simulations
    counts = np.array([settings.training, settings.inference, settings.validation, settings.calibration])
    total = int(counts.sum())
    start = time.perf_counter()
    store = simulate_to_store(
        run.directory.simulations, run.problem.model,
        n=total, seed=run.configuration.seed, chunk=min(settings.chunk, total),
        configuration=run.configuration.model_dump(mode="json"),
        fractions=dict(zip(PARTS, (counts / total).tolist(), strict=True)),
        batch_size=settings.batch, progress=run.progress,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    facts = (run.problem.model, settings.model_dump(), run.configuration.seed)
    identity = run.directory.once("simulate", facts, lambda: Work((), total, seconds=seconds))
    return store, identity


def compress(run: Run, store: SimulationSet, inputs: str) -> tuple[Compressor, History, str]:
    """Train the compressor."""
    settings, problem = run.configuration.compressor, run.problem
    training, key = settings.training, run.key("compressor")
    file, history_file = run.directory.checkpoint("compressor.eqx"), run.directory.checkpoint("compressor.history.json")
    network = make_network(problem, settings, stream(key, "network"))

    def work() -> Work:
        online = settings.simulations == "online"
        if online:
            source = OnlineSimulations(
                model=problem.model, batch_size=training.batch, steps_per_epoch=training.steps, augment=problem.augment
            )
        else:
            source = store.batches("train", training.batch, augment=problem.augment)
        compressor, history = train_compressor(
            VMIM(), network, problem.model.parameters, source, store.batches("validation", training.batch),
            key=key, optimiser=cosine_adam(training.learning_rate, training.epochs * source.steps_per_epoch),
            max_epochs=training.epochs, patience=training.patience,
            checkpoint=run.directory.checkpoint("compressor.training"), progress=run.progress,
        )  # fmt: skip
        told = {
            "objective": "VMIM", "recipe": run.configuration.recipe, "seed": run.configuration.seed,
            "simulations": "online" if online else source.cost(history.epochs),
            "model": digest(problem.model), "revision": revision(),
        }  # fmt: skip
        save_compressor(file, compressor, told)
        write_json(history_file, history.to_dict())
        return Work((file, history_file), source.cost(history.epochs) if online else 0, seconds=sum(history.seconds))

    identity = run.directory.once("compress", (inputs, settings.model_dump(), network, problem.augment), work)
    skeleton = standardising(network, jnp.zeros((1, *problem.model.data_shape)))
    return load_compressor(file, skeleton), read_history(history_file), identity


def make_network(problem: Problem, settings: CompressorSettings, key: Key[Array, ""]) -> Callable[..., Array]:
    """The untrained network from data to summary: the one named, the problem's own, or one that suits the data's shape."""
    outputs, shape = settings.summaries or problem.model.parameters.size, problem.model.data_shape
    if problem.network is not None and settings.network is None:
        return problem.network(outputs, key)
    return NETWORKS[settings.network or ("cnn" if len(shape) == 3 else "mlp")](shape, outputs, key=key)


def summarise(run: Run, store: SimulationSet, compressor: Compressor, inputs: str) -> tuple[dict[str, np.ndarray], str]:
    """Compress every stored simulation: arrays `<part>_theta` and `<part>_summary`.

    Raises:
        DataError: a summary has collapsed in training, says which; no posterior is trained on it.
    """
    file = run.directory.checkpoint("summaries.npz")

    def work() -> Work:
        summaries = compression.compress(compressor, store.array("data"), progress=run.progress, stage="summarising")
        check_alive(summaries)
        theta, rows = store.read("theta"), {part: store.rows(part) for part in PARTS}
        arrays = {f"{part}_theta": theta[chosen] for part, chosen in rows.items()}
        write_arrays(file, **arrays, **{f"{part}_summary": summaries[chosen] for part, chosen in rows.items()})
        return Work((file,))

    identity = run.directory.once("summarise", inputs, work)
    return read_arrays(file), identity


def make_density(settings: PosteriorSettings) -> Callable[..., AbstractDensity]:
    """What builds the untrained density: the one named, with those of its settings that it has."""
    build = DENSITIES[settings.density]
    wanted = {"layers": settings.layers, "width": settings.width}
    return functools.partial(build, **{name: wanted[name] for name in wanted.keys() & inspect.signature(build).parameters})


def infer(
    run: Run, summaries: Mapping[str, np.ndarray], inputs: str
) -> tuple[tuple[AbstractDensity, ...], dict[str, History], str]:
    """Train the densities of parameters given summaries that make up the posterior."""
    settings, space = run.configuration.posterior, run.problem.model.parameters
    training = settings.training
    make = make_density(settings)
    size = summaries["inference_summary"].shape[1]
    members, histories, identity = [], {}, inputs
    for number in range(1, settings.ensemble + 1):
        name = "posterior" if settings.ensemble == 1 else f"posterior-{number}"
        file, history_file = run.directory.checkpoint(f"{name}.eqx"), run.directory.checkpoint(f"{name}.history.json")

        def work(name: str = name, file: pathlib.Path = file, history_file: pathlib.Path = history_file) -> Work:
            source, validation = (
                StoredSimulations(summaries[f"{part}_theta"], summaries[f"{part}_summary"], batch_size=training.batch)
                for part in ("inference", "validation")
            )
            posterior, history = train_npe(
                space, source, validation,
                key=run.key(name), density=make,
                optimiser=cosine_adam(training.learning_rate, training.epochs * source.steps_per_epoch),
                max_epochs=training.epochs, patience=training.patience,
                checkpoint=run.directory.checkpoint(f"{name}.training"), progress=run.progress, stage=name,
            )  # fmt: skip
            save_module(file, posterior.density)
            write_json(history_file, history.to_dict())
            return Work((file, history_file), seconds=sum(history.seconds))

        identity = run.directory.once(f"infer.{name}", (identity, settings.model_dump()), work)
        members.append(load_module(file, make(space.size, size, key=run.key(name))))
        histories[name] = read_history(history_file)
    return tuple(members), histories, identity


def draw(
    run: Run,
    observation: np.ndarray,
    summaries: Mapping[str, np.ndarray],
    compressor: Compressor,
    posterior: AbstractPosterior,
    inputs: str,
) -> tuple[np.ndarray, HeldOut]:
    """Draw the posterior at the observation and at every calibration simulation, in one program.

    Args:
        run: the run.
        observation: the observed data.
        summaries: what `summarise` returned.
        compressor: data to summary.
        posterior: a posterior given summaries.
        inputs: digest of what made it.

    Returns:
        Draws (n, p) at the observation, and those at held-out simulations.
    """
    file, space = run.directory.checkpoint("calibration.npz"), run.problem.model.parameters
    each, wanted = run.configuration.calibration.draws, run.configuration.posterior.draws
    truths, at = summaries["calibration_theta"], summaries["calibration_summary"]

    def work() -> Work:
        count, repeats = len(truths), -(-wanted // each)
        observed = np.asarray(compressor(jnp.asarray(observation)))
        everything = np.concatenate([at, np.broadcast_to(observed, (repeats, observed.size))])
        draws = sample_many(posterior, run.key("draws"), jnp.asarray(everything), each, progress=run.progress, stage="drawing")
        # At each truth as well as at its draws; at the observation, where there is none, one draw counts twice.
        theta = np.concatenate([draws, np.concatenate([truths, draws[count:, 0]])[:, None]], axis=1)
        densities = apply_many(LogProbs(posterior), theta, everything, batch_size=16, progress=run.progress, stage="weighing")
        at_observation = draws[count:].reshape(-1, space.size)[:wanted]
        files = write_draws(run.directory.path, space, at_observation, densities[count:, :-1].reshape(-1)[:wanted])
        write_arrays(file, draws=draws[:count], log_prob_draws=densities[:count, :-1], log_prob_truths=densities[:count, -1])
        return Work((*files, file))

    run.directory.once("draw", (inputs, observation, each, wanted), work)
    named = read_arrays(run.directory.posterior)
    return np.column_stack([named[name] for name in space.names]), HeldOut(truths, at, **read_arrays(file))


def vary(run: Run, name: str, compressor: Compressor, posterior: AbstractPosterior, inputs: str) -> HeldOut:
    """Draw the posterior at simulations of another model of the same data.

    Args:
        run: the run.
        name: name of the variant in `Problem.variants`.
        compressor: data to summary.
        posterior: a posterior given summaries.
        inputs: digest of what made both.
    """
    model, count = run.problem.variants[name]
    file, key, each = run.directory.checkpoint(f"{name}.npz"), run.key(f"variants/{name}"), run.configuration.calibration.draws

    def work() -> Work:
        tell, batch = run.progress, run.configuration.simulations.batch or model.batch_size
        truths = np.asarray(model.parameters.sample(stream(key, "prior"), (count,)))
        keys = jax.random.split(stream(key, "simulations"), count)
        summaries = apply_many(
            Replicate(model, compressor), keys, truths, batch_size=batch, progress=tell, stage=f"simulating {name}"
        )
        draws = sample_many(
            posterior, stream(key, "draws"), jnp.asarray(summaries), each, progress=tell, stage=f"drawing {name}"
        )
        theta = np.concatenate([draws, truths[:, None]], axis=1)
        densities = apply_many(LogProbs(posterior), theta, summaries, batch_size=16, progress=tell, stage=f"weighing {name}")
        log_probs = {"log_prob_draws": densities[:, :-1], "log_prob_truths": densities[:, -1]}
        write_arrays(file, truths=truths, summaries=summaries, draws=draws, **log_probs)
        return Work((file,), count)

    run.directory.once(f"vary.{name}", (inputs, model, count, each), work)
    return HeldOut(**read_arrays(file))


def replicate(run: Run, draws: np.ndarray, statistic: Callable, inputs: str) -> np.ndarray:
    """Statistic (m, k) of data simulated at posterior draws."""
    file, m = run.directory.checkpoint("replicas.npz"), run.configuration.calibration.replicas

    def work() -> Work:
        theta = thinned(draws, m)
        simulate_statistic = Replicate(run.problem.model, statistic)
        keys = jax.random.split(run.key("replicas"), m)
        batch = run.configuration.simulations.batch or run.problem.model.batch_size
        found = apply_many(simulate_statistic, keys, theta, batch_size=batch, progress=run.progress, stage="replicating")
        write_arrays(file, replicas=found)
        return Work((file,), m)

    run.directory.once("replicate", (inputs, draws, statistic, m), work)
    return read_arrays(file)["replicas"]


class LogProbs(eqx.Module):
    """Log densities (n,) of one posterior at many parameter vectors (n, p)."""

    posterior: AbstractPosterior

    def __call__(self, theta: Float[Array, "n p"], summary: Float[Array, " s"]) -> Float[Array, " n"]:
        """Evaluate the posterior given one summary."""
        return jax.vmap(lambda one: self.posterior.log_prob(one, summary))(theta)


class Replicate(eqx.Module):
    """Statistic of one data set simulated at given parameters."""

    model: AbstractForwardModel
    statistic: Callable

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, " k"]:
        """Simulate and measure."""
        return self.statistic(self.model.simulate_at(key, theta))


def read_history(path: pathlib.Path) -> History:
    """Read a training record."""
    return History.from_dict(json.loads(path.read_bytes()))
