"""Compressors: data to summaries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ShapeError
from fullfield._core.progress import Progress, silent
from fullfield.networks import apply_many, moments, Standardise


class Compressor(eqx.Module):
    """A network behind the standardisation of its input: data of a fixed shape to a summary (s,).

    Args:
        standardise: moments of the training data.
        network: standardised data to summary, e.g. an entry of `fullfield.networks.NETWORKS`.
        data_shape: shape of one data set.
    """

    standardise: Standardise
    network: Callable
    data_shape: tuple[int, ...] = eqx.field(static=True)
    summary_size: int = eqx.field(static=True)

    def __init__(self, standardise: Standardise, network: Callable, data_shape: tuple[int, ...]):
        self.standardise, self.network, self.data_shape = standardise, network, tuple(data_shape)
        blank = jax.ShapeDtypeStruct(self.data_shape, jnp.float32)
        (self.summary_size,) = eqx.filter_eval_shape(lambda x: network(standardise(x)), blank).shape

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """Summarise one data set."""
        return self.network(self.standardise(data))


def standardising(network: Callable, examples: Float[Array, "n ..."]) -> Compressor:
    """A compressor whose input moments are measured on examples (n, ...).

    Numbers () and vectors (d,) are standardised element by element; maps (y, x) as a whole and maps (y, x, bins) per bin,
    since pixels are alike and their differences are signal.
    """
    axes = (0,) if examples.ndim < 3 else tuple(range(max(3, examples.ndim - 1)))
    return Compressor(moments(examples, axes=axes), network, examples.shape[1:])


def compress(
    compressor: Compressor, data: Any, *, batch_size: int = 128, progress: Progress = silent, stage: str = "compressing"
) -> Float[np.ndarray, "n s"]:
    """Summarise many data sets, batch by batch.

    Args:
        compressor: the compressor.
        data: data (n, ...): a JAX, NumPy or Zarr array.
        batch_size: data sets at a time; sets speed and memory, not results.
        progress: told after every batch.
        stage: name for `progress`.

    Returns:
        Summaries (n, s) in host memory.

    Raises:
        ShapeError: the data sets have another shape than those the compressor was made for.
    """
    if tuple(data.shape[1:]) != compressor.data_shape:
        raise ShapeError("data", expected=f"shape {('n', *compressor.data_shape)}", got=tuple(data.shape))
    return apply_many(compressor, data, batch_size=batch_size, progress=progress, stage=stage)
