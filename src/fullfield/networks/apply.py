"""The one vmap at the border: an unbatched function over many examples that need not fit memory together."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fullfield._core.progress import Progress, silent


def apply_many(
    function: Callable[..., Array], *arrays: Any, batch_size: int, progress: Progress = silent, stage: str = "applying"
) -> np.ndarray:
    """Apply an unbatched function to every example, batch by batch, and collect the results in host memory.

    Batches follow each other on the host and not in a compiled loop, inside which XLA's CPU convolutions are several times
    slower. All batches have one shape, so that the function is compiled once.

    Args:
        function: module or function of one example of each array; modules of equal structure share one compiled program.
        arrays: JAX, NumPy, Zarr or key arrays with one leading axis of n examples each.
        batch_size: examples at a time; it sets speed and memory, not results.
        progress: told after every batch.
        stage: name for `progress`.

    Returns:
        Results (n, ...).
    """
    n = arrays[0].shape[0]
    batch_size = min(batch_size, n)
    parts = []
    for start in range(0, n, batch_size):
        # The last batch reaches back, so that it is as long as the others.
        first = min(start, n - batch_size)
        part = _apply_batch(function, *(jnp.asarray(array[first : first + batch_size]) for array in arrays))
        parts.append(np.asarray(jax.block_until_ready(part))[start - first :])
        progress(stage, min(start + batch_size, n), n)
    return np.concatenate(parts)


@eqx.filter_jit
def _apply_batch(function, *batches):
    return jax.vmap(function)(*batches)
