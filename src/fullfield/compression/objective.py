"""What a network is trained for to become a compressor, and the training that all objectives share.

An objective reads the summary t = f(data) with a head of its own, which training fits along with the network and then leaves
behind. All objectives see the parameters in the unconstrained coordinates u of `ParameterSpace`, which have about unit variance
and no edges; mutual information is the same in them.
"""

import abc
import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.compression.base import check_varying, Compressor, standardising
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History


class AbstractObjective(eqx.Module):
    """What summaries are trained for."""

    def least_summaries(self, p: int) -> int:
        """Length of the shortest summary of p parameters that the objective can be asked of."""
        return p

    def head(self, p: int, s: int, *, key: Key[Array, ""]) -> Any:
        """What reads summaries (s,) of p parameters in training; None where they are read as they are."""
        return None

    @abc.abstractmethod
    def __call__(self, head: Any, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean loss of a batch of unconstrained parameters and summaries."""


class Trained(eqx.Module):
    """What is trained: the compressor, and the head that reads its summaries.

    Args:
        compressor: data to summary (s,).
        head: of the objective.
    """

    compressor: Compressor
    head: Any


class CompressionLoss(eqx.Module):
    """An objective's loss of compressor and head.

    Args:
        objective: what the compressor is trained for.
        parameters: the parameters, for their unconstrained coordinates.
    """

    objective: AbstractObjective
    parameters: ParameterSpace

    def __call__(
        self, module: Trained, theta: Float[Array, "b p"], data: Float[Array, "b ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, p) and data (b, ...); `key` is ignored."""
        return self.objective(module.head, self.parameters.to_unconstrained(theta), jax.vmap(module.compressor)(data))


def untrained(
    objective: AbstractObjective, compressor: Compressor, parameters: ParameterSpace, *, key: Key[Array, ""]
) -> Trained:
    """Compressor and head before training.

    Raises:
        ConfigurationError: the summary is too short for the objective; says how long it must be.
    """
    least = objective.least_summaries(parameters.size)
    if compressor.summary_size < least:
        raise ConfigurationError(
            "network", expected=f"at least {least} outputs for {type(objective).__name__} of {parameters.size} parameters",
            got=compressor.summary_size, remedy="Give the network more outputs.",
        )  # fmt: skip
    return Trained(compressor, objective.head(parameters.size, compressor.summary_size, key=key))


def train_compressor(
    objective: AbstractObjective,
    network: Callable,
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 30,
    patience: int = 10,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "compressor",
) -> tuple[Compressor, History]:
    """Train a network to compress data.

    Args:
        objective: what its summaries are for: `VMIM()` to keep all information on the parameters.
        network: data to summary (s,), e.g. an entry of `fullfield.networks.NETWORKS`; s = p is the usual choice.
        parameters: the parameters, in the order of the simulations' theta.
        simulations: parameters and data to train on.
        validation: held-out simulations, for early stopping.
        key: scalar key.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of a running average of the weights, 0 for none.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The compressor, and the training history.

    Raises:
        ConfigurationError: the network has too few outputs for the objective, or a setting is impossible.
        DataError: data never vary, pixels of a map or of one of its bins are all alike, or data are not finite.
        ShapeError: theta has another length than there are parameters, or the network does not take the data.
        DivergenceError: a loss is not finite.
    """
    theta, examples = first_batch(simulations, stream(key, "examples"))
    check_length(theta, parameters)
    check_varying(examples)
    compressor = standardising(network, examples)
    start = eqx.filter_jit(untrained)(objective, compressor, parameters, key=stream(key, "companion"))
    trained, history = fit(
        start,
        CompressionLoss(objective, parameters),
        simulations,
        validation=validation,
        key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return trained.compressor, history


def check_length(theta: Float[Array | np.ndarray, "n p"], parameters: ParameterSpace) -> None:
    """Refuse parameter vectors of another length than there are parameters.

    Raises:
        ShapeError: says both lengths.
    """
    if theta.shape[1] != parameters.size:
        raise ShapeError(
            "theta", expected=f"vectors of {parameters.size} parameters: {', '.join(parameters.names)}", got=theta.shape[1],
            remedy="Give the parameters that the simulations were made with, in their order.",
        )  # fmt: skip


def first_batch(simulations: AbstractSimulations, key: Key[Array, ""]) -> tuple[Float[Array, "b p"], Float[Array, "b ..."]]:
    """Parameters and data of one batch."""
    return _draw_first(next(simulations.shards(key)), key)


@eqx.filter_jit
def _draw_first(shard: AbstractShard, key):
    return shard.draw(key, jnp.zeros((), jnp.int32))
