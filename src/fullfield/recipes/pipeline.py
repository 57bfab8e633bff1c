"""From a forward model to a verdict: simulate, compress, infer, draw, calibrate, report; the same for every model."""

import os
import pathlib
import time
from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np

from fullfield._core import write_atomically
from fullfield._core.progress import Progress, silent
from fullfield.inference import AbstractPosterior, EnsemblePosterior, FlowPosterior
from fullfield.networks import AbstractDensity
from fullfield.parameters import ParameterSpace
from fullfield.recipes import rundir, stages
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.citations import bibliography, methods
from fullfield.recipes.configuration import RunConfiguration
from fullfield.recipes.problem import Outcome, Problem, Result
from fullfield.recipes.reporting import diagnose, illustrate, write_outputs
from fullfield.recipes.rundir import RunDirectory


def run_pipeline(
    problem: Problem,
    configuration: RunConfiguration,
    directory: RunDirectory | str | os.PathLike,
    *,
    resume: bool = False,
    progress: Progress = silent,
    command: str = "fullfield.recipes.run_pipeline",
    summary: str = "",
    citations: Sequence[str] = (),
) -> Result:
    """Take a forward model to a tested posterior, leaving every artefact in a run directory.

    Finished stages are not done again, so a run continues where it was stopped, with the same result.

    Args:
        problem: the forward model and the observation.
        configuration: settings.
        directory: path of a new directory, or one that `rundir.create`, `resume` or `replace` prepared.
        resume: continue the run in the directory at this path, if there is one of the same configuration.
        progress: told about every long stage.
        command: what the user typed, for the report.
        summary: one line for the report that says what is done.
        citations: BibTeX keys of what is particular to the problem.

    Returns:
        What was found, and the verdict.

    Raises:
        ConfigurationError: the directory exists and is not to be resumed, is of another configuration (names the first
            difference), or another process writes to it.
        FullfieldError: an observation or a simulation is not what it must be.
    """
    if not isinstance(directory, RunDirectory):
        directory = (rundir.resume if resume else rundir.create)(pathlib.Path(directory), configuration)
    with directory.locked():
        run = stages.Run(problem, configuration, directory, progress)
        outcome = _infer(run)
        start = time.perf_counter()
        progress("testing and drawing", 0, 3)
        numbers, calibration = diagnose(outcome, run.key("report"))
        progress("testing and drawing", 1, 3)
        pictures = illustrate(outcome, calibration, run.key("pictures"))
        progress("testing and drawing", 2, 3)
        entries = bibliography((*citations, *methods(configuration)))
        with write_atomically(directory.citations) as file:
            file.write(("\n\n".join(entries.values()) + "\n").encode())
        report = write_outputs(
            outcome, numbers, pictures, command=command, summary=summary, citations=entries,
            seconds=lambda: time.perf_counter() - start,
        )  # fmt: skip
        progress("testing and drawing", 3, 3)
    return Result(outcome, report)


def _infer(run: stages.Run) -> Outcome:
    problem, space = run.problem, run.problem.model.parameters
    observation, truth = _observe(run)
    store, identity = stages.simulate(run)
    compressor, history, identity = stages.compress(run, store, identity)
    summaries, identity = stages.summarise(run, store, compressor, identity)
    densities, histories, identity = stages.infer(run, summaries, identity)
    given_summary = _posterior(space, densities, eqx.nn.Identity(), (compressor.summary_size,))
    draws, held_out = stages.draw(run, observation, summaries, compressor, given_summary, identity)
    return Outcome(
        problem=problem,
        configuration=run.configuration,
        directory=run.directory,
        observation=observation,
        truth=truth,
        draws=draws,
        replicas=stages.replicate(run, draws, problem.measure(compressor), identity),
        compressor=compressor,
        posterior=_posterior(space, densities, compressor, problem.model.data_shape),
        histories={"compressor": history} | histories,
        training_theta=summaries["inference_theta"],
        training_summaries=summaries["inference_summary"],
        held_out=held_out,
        variants={name: stages.vary(run, name, compressor, given_summary, identity) for name in problem.variants},
    )


def _posterior(
    space: ParameterSpace, densities: Sequence[AbstractDensity], summarise: Callable, shape: tuple[int, ...]
) -> AbstractPosterior:
    members = tuple(FlowPosterior(space, density, summarise, shape) for density in densities)
    return members[0] if len(members) == 1 else EnsemblePosterior(members)


def _observe(run: stages.Run) -> tuple[np.ndarray, np.ndarray | None]:
    """The observation and the truth behind it; simulated at the fiducial parameters if none is given."""
    problem, file = run.problem, run.directory.observation
    if problem.observation is not None:
        data, truth = np.asarray(problem.observation), problem.truth
    else:
        truth = problem.model.parameters.fiducial
        data = np.asarray(eqx.filter_jit(problem.model.simulate_at)(run.key("observation"), truth))
    truth = None if truth is None else np.asarray(truth)
    write_arrays(file, data=data, **({} if truth is None else {"truth": truth}))
    return data, truth
