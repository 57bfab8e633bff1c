"""Simulations that lie in memory or on disk, dealt in batches."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped

from fullfield._core import DataError, digest, ShapeError
from fullfield.datasets.simulations import AbstractShard, AbstractSimulations, augmented, check_positive


class StoredSimulations(AbstractSimulations):
    """Simulations made earlier, in another random order every epoch.

    They go to the device once when they fit `memory` bytes; else they are read from disk (or from a host array) whole
    chunk by whole chunk, in random order, into shards of a quarter of `memory`, which are shuffled again.

    A set of at least 16 batches is dealt in batches of exactly `batch_size`, a smaller one evenly in slightly smaller
    batches; what is left over after the last full batch sits out this epoch.

    Args:
        theta: parameters (n, p).
        data: data (n, ...): a NumPy or JAX array, or a Zarr array.
        batch_size: examples per step.
        rows: which examples to use, all if not given.
        passes: how often an epoch goes through all examples. Epochs of a step or two cost more on the host than on the device.
        augment: optional `(key, theta, data) -> data`, applied to each example inside the compiled step.
        memory: bytes that data may take on the device.

    Raises:
        ShapeError: `theta` and `data` differ in length.
        DataError: there is no example, or one is not finite; data read from disk are looked at when they are read.
        ConfigurationError: a size is not positive.
    """

    theta: Float[Any, "n p"]
    data: Any
    rows: Int[np.ndarray, " m"] | None
    batch_size: int
    steps_per_epoch: int
    passes: int
    augment: Callable | None
    memory: int

    def __init__(
        self,
        theta: Float[Any, "n p"],
        data: Any,
        *,
        batch_size: int,
        rows: Int[Any, " m"] | None = None,
        passes: int = 1,
        augment: Callable | None = None,
        memory: int = 4 * 2**30,
    ):
        check_positive(batch_size=batch_size, memory=memory, passes=passes)
        if len(theta) != data.shape[0]:
            raise ShapeError("data", expected=f"{len(theta)} examples, as many as theta", got=data.shape[0])
        rows = np.arange(len(theta)) if rows is None else np.asarray(rows)
        if rows.size == 0:
            raise DataError("theta", expected="at least one simulation", got="none")
        self.batch_size, steps = deal(rows.size, batch_size)
        self.passes, self.steps_per_epoch = passes, passes * steps
        self.augment, self.memory = augment, memory
        theta = np.asarray(theta[...])
        _check_finite("theta", theta[rows], rows)
        if rows.size * _example_bytes(data) > memory:
            self.theta, self.data, self.rows = theta, data, np.sort(rows)
        else:
            chosen = read_rows(data, rows)
            _check_finite("data", chosen, rows)
            self.theta, self.data, self.rows = jnp.asarray(theta[rows]), jnp.asarray(chosen), None

    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Go through all examples, `passes` times, in orders that depend on `key` alone."""
        keys = [key] if self.passes == 1 else jax.random.split(key, self.passes)
        if self.rows is not None:
            for one in keys:
                yield from self._stream(one, self.rows)
        elif self.passes == 1:
            yield self._shard(self.theta, self.data, jax.random.permutation(key, len(self.theta)), self.steps_per_epoch)
        else:
            used = self.steps_per_epoch // self.passes * self.batch_size
            orders = jax.vmap(lambda one: jax.random.permutation(one, len(self.theta))[:used])(keys)
            yield self._shard(self.theta, self.data, orders.ravel(), self.steps_per_epoch)

    def cost(self, epochs: int) -> int:
        """Number of distinct simulations, which more epochs do not raise."""
        return len(self.theta) if self.rows is None else self.rows.size

    @property
    def identity(self) -> str:
        """Digest of all parameters, of sixteen data sets, and of the batches."""
        rows = np.arange(len(self.theta)) if self.rows is None else self.rows
        some = rows[np.linspace(0, rows.size - 1, 16).astype(int)]
        data = [np.asarray(self.data[int(row)]) for row in some]
        return digest(
            "stored", np.asarray(self.theta)[rows], data, self.augment, self.batch_size, self.passes, self.data.shape[1:]
        )

    def _shard(self, theta, data, order, steps):
        return _StoredShard(jnp.asarray(steps, jnp.int32), theta, data, order, self.augment, self.batch_size)

    def _stream(self, key, rows):
        """Yield shards of whole batches; rows that do not fill a shard move on to the next one."""
        random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        chunk = _rows_per_chunk(self.data)
        size = max(1, self.memory // 4 // _example_bytes(self.data) // self.batch_size) * self.batch_size
        size = min(size, self.steps_per_epoch // self.passes * self.batch_size)
        theta = np.zeros((size + chunk, *self.theta.shape[1:]), self.theta.dtype)
        data = np.zeros((size + chunk, *self.data.shape[1:]), self.data.dtype)
        filled, remaining = 0, self.steps_per_epoch // self.passes
        for number in random.permutation(np.unique(rows // chunk)):
            start = number * chunk
            mine = random.permutation(rows[(rows >= start) & (rows < start + chunk)])
            stop = filled + mine.size
            theta[filled:stop] = self.theta[mine]
            data[filled:stop] = np.asarray(self.data[start : start + chunk])[mine - start]
            _check_finite("data", data[filled:stop], mine)
            filled = stop
            while filled >= size and remaining:
                yield self._emit(theta, data, random, size)
                theta[: filled - size], data[: filled - size] = theta[size:filled], data[size:filled]
                filled, remaining = filled - size, remaining - size // self.batch_size
        if remaining > 0:
            yield self._emit(theta, data, random, filled)

    def _emit(self, theta, data, random, filled):
        size = len(theta) - _rows_per_chunk(self.data)
        order = np.zeros(size, np.int32)
        order[:filled] = random.permutation(filled)
        # Copies, because the buffers are filled anew while the device computes.
        return self._shard(jnp.array(theta[:size]), jnp.array(data[:size]), jnp.array(order), filled // self.batch_size)


class _StoredShard(AbstractShard):
    steps: Int[Array, ""]
    theta: Float[Array, "n p"]
    data: Shaped[Array, "n ..."]
    order: Int[Array, " m"]
    augment: Callable | None
    batch_size: int = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Float[Array, "b p"], Shaped[Array, "b ..."]]:
        rows = jax.lax.dynamic_slice_in_dim(self.order, step * self.batch_size, self.batch_size)
        theta, data = self.theta[rows], self.data[rows]
        return theta, augmented(self.augment, key, theta, data)


def read_rows(data: Any, rows: Int[np.ndarray, " m"]) -> Shaped[np.ndarray, "m ..."]:
    """Read some rows of an array (n, ...); a Zarr array is read whole chunk by whole chunk."""
    if not hasattr(data, "chunks"):
        return np.asarray(data) if np.array_equal(rows, np.arange(len(data))) else np.asarray(data)[rows]
    chosen = np.empty((rows.size, *data.shape[1:]), data.dtype)
    size = _rows_per_chunk(data)
    for number in np.unique(rows // size):
        mine = rows // size == number
        chosen[mine] = np.asarray(data[number * size : (number + 1) * size])[rows[mine] - number * size]
    return chosen


def deal(n: int, batch_size: int) -> tuple[int, int]:
    """Size and number of the batches in which `n` examples are dealt."""
    steps = n // batch_size if n >= 16 * batch_size else -(-n // batch_size)
    return min(batch_size, n // steps), steps


def _example_bytes(data: Any) -> int:
    return int(np.prod(data.shape[1:])) * np.dtype(data.dtype).itemsize


def _rows_per_chunk(data: Any) -> int:
    chunks = getattr(data, "shards", None) or getattr(data, "chunks", None)
    return chunks[0] if chunks else max(1, 2**24 // _example_bytes(data))


def _check_finite(name: str, values: np.ndarray, rows: np.ndarray) -> None:
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise DataError(
            name,
            expected="finite numbers",
            got=f"NaN or infinity in {bad.sum()} of {bad.size} examples, first at row {rows[bad.argmax()]}",
            remedy="Leave these simulations out or mend the simulator.",
        )
