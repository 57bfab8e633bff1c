"""What a run is about, and what it found."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from fullfield._core import ConfigurationError, DataError, nearest, ShapeError
from fullfield.compression import Compressor
from fullfield.datasets import SimulationSet
from fullfield.diagnostics import Report
from fullfield.inference import AbstractPosterior, check_observation
from fullfield.recipes.configuration import RunConfiguration
from fullfield.recipes.rundir import RunDirectory
from fullfield.report import RunReport
from fullfield.simulators import AbstractForwardModel
from fullfield.training import History


Numeric = Array | np.ndarray
MOST_NUMBERS = 500


@dataclass(frozen=True)
class HeldOut:
    """Posterior draws at simulations that no training has seen.

    Args:
        truths: parameters (T, p) that made them.
        summaries: their summaries (T, s).
        draws: posterior draws (T, S, p).
        log_prob_truths: log posterior density (T,) at the truths.
        log_prob_draws: log posterior density (T, S) at the draws.
    """

    truths: Float[np.ndarray, "T p"]
    summaries: Float[np.ndarray, "T s"]
    draws: Float[np.ndarray, "T S p"]
    log_prob_truths: Float[np.ndarray, " T"]
    log_prob_draws: Float[np.ndarray, "T S"]


@dataclass(frozen=True)
class Outcome:
    """What a finished run found; every part of it also lies in the run directory.

    Args:
        problem: what the run was about.
        configuration: its settings.
        directory: where its artefacts lie.
        observation: the observed data.
        truth: parameters (p,) behind the observation, None where unknown.
        draws: posterior draws (n, p) at the observation.
        replicas: statistic (n, k) of data sets drawn from the posterior.
        compressor: `compressor(data) -> summary (s,)`.
        posterior: `sample(key, data, n) -> (n, p)`, `log_prob(theta, data)`.
        histories: training records by stage.
        training_theta: parameters (t, p) of the stored training simulations.
        training_summaries: their summaries (t, s).
        held_out: draws at held-out simulations.
        variants: draws at simulations of other models, by name.
    """

    problem: "Problem"
    configuration: RunConfiguration
    directory: RunDirectory
    observation: Float[np.ndarray, "..."]
    truth: Float[np.ndarray, " p"] | None
    draws: Float[np.ndarray, "n p"]
    replicas: Float[np.ndarray, "m k"]
    compressor: Compressor
    posterior: AbstractPosterior
    histories: Mapping[str, History]
    training_theta: Float[np.ndarray, "t p"]
    training_summaries: Float[np.ndarray, "t s"]
    held_out: HeldOut
    variants: Mapping[str, HeldOut]

    def store(self) -> SimulationSet:
        """The run's simulations."""
        return SimulationSet.open(self.directory.simulations)


@dataclass(frozen=True)
class Result:
    """A finished run: what it found, and the verdict."""

    outcome: Outcome
    report: RunReport


@dataclass(frozen=True)
class Illustration:
    """A figure for the report: heading of its section, file name, figure, caption."""

    section: str
    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Problem:
    """A forward model, what was observed, and what a recipe knows beyond that. Only the model is needed.

    A network named in the configuration comes before `network`.

    Args:
        model: the forward model.
        observation: observed data; simulated at the model's fiducial parameters if not given.
        truth: parameters (p,) behind the observation, where known.
        network: `(outputs, key) -> module`, a network from data to (outputs,) for the compressor; chosen by the shape of the
            data if not given.
        augment: `(key, theta, data) -> data`, applied to every training example (fresh noise, flips).
        statistic: `data -> (k,)`, in which data drawn from the posterior are compared with the observation; if not given, the
            data themselves, or their summary where they are more than 500 numbers.
        variants: by name, other models of data of this shape and how many simulations of each the posterior is tested on.
        published_merit: figures of merit in the literature for this observation, by pair of parameters.
        exact: `(key, data, n) -> (n, p)`, draws of the exact posterior, where there is one.
        examine: further numbers, such as the comparison of every stage with an exact answer; each is held to a bar of its own.
        illustrate: figures beyond those that every report has, and what replaces the plain picture of the data.
    """

    model: AbstractForwardModel
    observation: Float[Numeric, "..."] | None = None
    truth: Float[Numeric, " p"] | None = None
    network: Callable[[int, Key[Array, ""]], Callable[..., Array]] | None = None
    augment: Callable | None = None
    statistic: Callable[[Array], Array] | None = None
    variants: Mapping[str, tuple[AbstractForwardModel, int]] = field(default_factory=dict)
    published_merit: Mapping[tuple[str, str], float] | None = None
    exact: Callable[[Key[Array, ""], Array, int], Array] | None = None
    examine: Callable[[Outcome], Report] | None = None
    illustrate: Callable[[Outcome], list[Illustration]] | None = None

    def measure(self, compressor: Compressor) -> Callable[[Array], Array]:
        """`statistic`, or what stands for it."""
        if self.statistic is not None:
            return self.statistic
        # The comparison inverts a covariance of the statistic: of raw maps, it would take hours and all memory.
        return jnp.ravel if math.prod(self.model.data_shape) <= MOST_NUMBERS else compressor

    def __post_init__(self):
        if self.observation is not None:
            check_observation(self.observation, self.model.data_shape)
            values = np.asarray(self.observation)
            if values.size > 1 and values.min() == values.max():
                raise DataError("observation", expected="data that vary", got=f"{values.size} times {values.flat[0]:g}")
        if self.truth is not None:
            self.model.parameters.check(jnp.asarray(self.truth))
        for name, (model, count) in self.variants.items():
            if model.data_shape != self.model.data_shape or model.parameters.names != self.model.parameters.names:
                raise ShapeError(name, expected="parameters and data as those of the model", got=f"data {model.data_shape}")
            if count < 20:
                raise ConfigurationError(name, expected="at least 20 simulations", got=count)


def read_observation(path: str, known: Sequence[str] = ()) -> Float[np.ndarray, "..."]:
    """Read observed data from a NumPy file; single precision, as the models compute.

    Args:
        path: the file.
        known: names that the recipe takes instead of a file, for the message.

    Raises:
        DataError: there is no such file, or it is no array of numbers.
    """
    try:
        with open(path, "rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        remedy = nearest(path, known) if known else "Check the path."
        raise DataError(path, expected="a file with the observed data", got="no such file", remedy=remedy) from None
    except (ValueError, OSError, EOFError) as error:
        remedy = "Save the array with numpy.save."
        raise DataError(path, expected="a file of NumPy (.npy)", got="another format", remedy=remedy) from error
    if values.dtype.kind not in "fiu":
        raise DataError(path, expected="real numbers", got=f"an array of {values.dtype}", remedy="Save it as float32.")
    return values.astype(np.float32)
