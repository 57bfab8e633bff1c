"""NPE tuned once for all: several networks, some of them taught by a learned likelihood, weighted by what they predict.

Few simulations teach a likelihood more than a posterior where data given parameters are simple and the other way round is
not (four points of a Gaussian, say). A likelihood is also an emulator: from it a posterior network can be taught on as many
emulated data as it takes. Where the likelihood is the harder part the emulated posterior is worse, and weights found on
held-out simulations (`stack`) leave it out.
"""

import functools
import os
from collections.abc import Callable, Iterator

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations, OnlineSimulations
from fullfield.inference.implicit.ensemble import stack
from fullfield.inference.implicit.estimate import columns
from fullfield.inference.implicit.mapped import FirstColumns, logarithms, Mapped, one_epoch, Selected, varying
from fullfield.inference.implicit.nle import train_nle
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.observation import remember, Seen
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior, FlowPosterior
from fullfield.networks import AbstractDensity, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractForwardModel
from fullfield.training import cosine_adam, History


DEEP = functools.partial(spline_flow, layers=2, width=128, depth=4)
"""A density whose scales may follow parameters over orders of magnitude: on SLCP two hidden layers less cost it a nat."""

EPOCHS = 40  # of emulated simulations, after each of which the held-out ones are looked at


class LearnedModel(AbstractForwardModel):
    """A learned likelihood as a forward model of summaries.

    Args:
        parameters: the parameters.
        density: density of summaries (s,) given unconstrained parameters (p,).
    """

    parameters: ParameterSpace
    density: AbstractDensity

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, " s"]:
        """Draw one summary at parameters `theta` (p,)."""
        return self.density.sample(key, self.parameters.to_unconstrained(theta), 1)[0]


class Emulated(AbstractSimulations):
    """Fresh emulated summaries in every step, which cost no simulation beyond those the emulator was trained on.

    Args:
        model: the emulator.
        batch_size, steps_per_epoch: as `OnlineSimulations` has them.
        simulations: how many the emulator was trained on.
    """

    model: LearnedModel
    batch_size: int
    steps_per_epoch: int
    simulations: int

    def __init__(self, model: LearnedModel, batch_size: int, steps_per_epoch: int, simulations: int):
        self.model, self.batch_size, self.steps_per_epoch = model, batch_size, steps_per_epoch
        self.simulations = simulations

    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Yield the one shard of an epoch."""
        yield from self._online.shards(key)

    def cost(self, epochs: int) -> int:
        """Number of simulations that the emulator has seen."""
        return self.simulations

    @property
    def identity(self) -> str:
        """Digest of the emulator and the batches."""
        return self._online.identity

    @property
    def _online(self):
        return OnlineSimulations(model=self.model, batch_size=self.batch_size, steps_per_epoch=self.steps_per_epoch)


class OnSummaries(eqx.Module):
    """A function of the summary in a row of summary and score, which stays: data are held fixed in it, in any coordinates.

    Args:
        function: of a summary (s,).
        size: length s of the summary.
    """

    function: Callable
    size: int = eqx.field(static=True)

    def __call__(self, row: Float[Array, " columns"]) -> Float[Array, " others"]:
        """Row whose summary went through the function."""
        return jnp.concatenate([self.function(row[: self.size]), row[self.size :]])


def train_amortised(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = spline_flow,
    likelihood: Callable[..., AbstractDensity] = DEEP,
    score_weight: float | None = None,
    members: int = 2,
    learning_rate: float = 1e-2,
    max_epochs: int = 100,
    patience: int = 25,
    average: float = 0.99,
    emulated_steps: int = 8000,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "posterior",
) -> tuple[EnsemblePosterior, History]:
    """Fit the posterior by networks taught by simulations and by an emulator, in the best mixture.

    Summaries that are positive and skewed are seen in the logarithm, ones that never vary not at all, with a warning.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters and summaries (s,) to train on.
        validation: held-out pairs, for early stopping and for the weights.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density` of parameters.
        likelihood: the same of summaries.
        score_weight: if given, rows of both sources carry summary and simulator score (p,) side by side, and what is taught
            by simulations, networks and emulator, is taught by scores too (`fullfield.inference.implicit.scores`).
        members: networks of each kind.
        learning_rate: highest rate of those taught by simulations; those taught by the emulator take a third of it, and the
            emulator a tenth.
        max_epochs: most epochs of those taught by simulations.
        patience: epochs without a lower held-out loss before they stop.
        average: decay per step of a running average of the weights of those taught by simulations.
        emulated_steps: of 256 emulated simulations, for those taught by the emulator.
        checkpoint: stem of files to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The mixture, and the history of its first member.
    """
    size = columns(simulations, key) - (0 if score_weight is None else parameters.size)
    data = one_epoch(simulations, stream(key, "data"))[1][:, :size]
    rescale, kept = logarithms(data), varying(data)
    if len(kept) < size:
        rescale = Selected(rescale, kept)
    on_rows = rescale if score_weight is None else OnSummaries(rescale, size)
    seen, held_out = Mapped(simulations, on_rows), Mapped(validation, on_rows)
    unscored, judge = held_out, validation
    if score_weight is not None:
        unscored, judge = Mapped(held_out, FirstColumns(len(kept))), Mapped(validation, FirstColumns(size))

    def settings(name):
        file = None if checkpoint is None else f"{checkpoint}.{name}"
        return {"key": stream(key, name), "checkpoint": file, "progress": progress, "stage": f"{stage}: {name}"}

    def usual(rate):
        optimiser = cosine_adam(rate, max_epochs * simulations.steps_per_epoch)
        epochs = {"max_epochs": max_epochs, "patience": patience, "average": average}
        return {"optimiser": optimiser, "score_weight": score_weight} | epochs

    results = []
    for i in range(1, members + 1):
        direct = usual(learning_rate) | settings(f"simulated {i}")
        results.append(train_npe(parameters, seen, held_out, density=density, **direct))
    for i in range(1, members + 1):
        taught = usual(learning_rate / 10) | settings(f"likelihood {i}")
        emulator, _ = train_nle(parameters, seen, held_out, density=likelihood, **taught)
        source = Emulated(LearnedModel(parameters, emulator.density), 256, -(-emulated_steps // EPOCHS), simulations.cost(1))
        results.append(
            train_npe(
                parameters, source, unscored, density=density, optimiser=cosine_adam(learning_rate / 3, emulated_steps),
                max_epochs=EPOCHS, patience=EPOCHS, **settings(f"emulated {i}"),
            )
        )  # fmt: skip
    known = remember(data)
    posteriors = tuple(_behind(rescale, posterior, known) for posterior, _ in results)
    return stack(posteriors, judge, key=stream(key, "weights")), results[0][1]


def _behind(rescale: Callable, posterior: FlowPosterior, known: Seen) -> AbstractPosterior:
    return FlowPosterior(posterior.parameters, posterior.density, rescale, known.constant.shape, known)
