"""Simulations seen through a function of their data."""

import warnings
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from fullfield._core import digest
from fullfield.datasets import AbstractShard, AbstractSimulations


class Mapped(AbstractSimulations):
    """Simulations whose data pass through a function, inside the compiled step.

    Args:
        simulations: where examples come from.
        function: of one example's data, a module.
    """

    simulations: AbstractSimulations
    function: Callable
    batch_size: int
    steps_per_epoch: int

    def __init__(self, simulations: AbstractSimulations, function: Callable):
        self.simulations, self.function = simulations, function
        self.batch_size, self.steps_per_epoch = simulations.batch_size, simulations.steps_per_epoch

    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Go through one epoch."""
        for shard in self.simulations.shards(key):
            yield _MappedShard(shard.steps, shard, self.function)

    def cost(self, epochs: int) -> int:
        """Number of distinct simulations that `epochs` epochs use."""
        return self.simulations.cost(epochs)

    @property
    def identity(self) -> str:
        """Digest of the simulations and the function."""
        return digest("mapped", self.simulations.identity, self.function)


class _MappedShard(AbstractShard):
    steps: Int[Array, ""]
    shard: AbstractShard
    function: Callable

    def draw(self, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Float[Array, "b p"], Float[Array, "b s"]]:
        theta, data = self.shard.draw(key, step)
        return theta, jax.vmap(self.function)(data)


class FirstColumns(eqx.Module):
    """The first `size` numbers of a row."""

    size: int = eqx.field(static=True)

    def __call__(self, row: Float[Array, " columns"]) -> Float[Array, " size"]:
        """Cut a row."""
        return row[: self.size]


class ConstantSummaryWarning(UserWarning):
    """Summaries never vary."""


class Selected(eqx.Module):
    """Some numbers of a function's.

    Args:
        function: of one example's data.
        columns: which numbers, in the order wanted.
    """

    function: Callable
    columns: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, data: Float[Array, " s"]) -> Float[Array, " chosen"]:
        """The numbers chosen."""
        return self.function(data)[np.array(self.columns, int)]


def varying(data: Float[np.ndarray, "n s"]) -> tuple[int, ...]:
    """Columns of summaries that vary. What never varies says nothing, unless it is another number in the observation.

    Warns:
        ConstantSummaryWarning: some do not; says which.
    """
    warn_of_constant(data, "are left out", stacklevel=4)
    return tuple(np.flatnonzero(np.ptp(data, axis=0) > 0).tolist())


def warn_of_constant(data: Float[np.ndarray, "n s"], fate: str, *, stacklevel: int) -> None:
    """Say which summaries never vary.

    Args:
        data: the summaries.
        fate: what becomes of those.
        stacklevel: as `warnings.warn` has it.

    Warns:
        ConstantSummaryWarning: some do not; says which.
    """
    constant = np.flatnonzero(np.ptp(data, axis=0) == 0).tolist()
    if constant:
        words = f"summaries in columns {constant} are the same in every simulation, and {fate}"
        warnings.warn(words, ConstantSummaryWarning, stacklevel=stacklevel)


def one_epoch(
    simulations: AbstractSimulations, key: Key[Array, ""]
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n s"]]:
    """Parameters and data of one epoch, in its order."""
    parts = []
    for shard in simulations.shards(key):
        draw = eqx.filter_jit(lambda shard, i: shard.draw(jax.random.fold_in(key, i), i))
        parts += [draw(shard, jnp.asarray(i, jnp.int32)) for i in range(int(shard.steps))]
    theta, data = (np.concatenate([np.asarray(part) for part in side]) for side in zip(*parts, strict=True))
    return theta, data


class Logarithms(eqx.Module):
    """Takes the logarithm of some numbers of a summary.

    Args:
        chosen: of which (s,).
        offset: what is added first (s,), so that a zero has a logarithm.
        least: smallest number (s,) that still counts as such.
    """

    chosen: Bool[Array, " s"]
    offset: Float[Array, " s"]
    least: Float[Array, " s"]

    def __call__(self, summary: Float[Array, " s"]) -> Float[Array, " s"]:
        """Transformed summary (s,)."""
        return jnp.where(self.chosen, jnp.log(jnp.maximum(summary, self.least) + self.offset), summary)


def logarithms(data: Float[np.ndarray | Array, "n s"]) -> Logarithms:
    """Logarithms of those columns that are never negative and whose logarithm is less skewed than they are.

    Where there are zeros, half the smallest positive value is added.
    """
    data = np.asarray(data, float)
    positive = (data >= 0).all(axis=0) & (data.max(axis=0) > 0)
    smallest = np.where(data > 0, data, np.inf).min(axis=0)
    zeros = (data == 0).any(axis=0)
    offset, least = np.where(positive & zeros, smallest / 2, 0.0), np.where(zeros, 0.0, smallest / 2)
    offset, least = (np.where(positive, values, 1.0) for values in (offset, least))
    logs = np.log(np.where(positive, np.maximum(data, least), 1.0) + offset)
    chosen = positive & (_skewness(logs) < _skewness(data))
    return Logarithms(jnp.asarray(chosen), jnp.asarray(offset, jnp.float32), jnp.asarray(least, jnp.float32))


def _skewness(data):
    deviation = np.where(data.std(axis=0) > 0, data.std(axis=0), 1.0)
    return np.abs(np.mean(((data - data.mean(axis=0)) / deviation) ** 3, axis=0))
