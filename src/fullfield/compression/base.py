"""Compressors: data to summaries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from fullfield._core import DataError, full_precision, ShapeError
from fullfield._core.progress import Progress, silent
from fullfield.datasets import check_alive
from fullfield.networks import apply_many, moments, Standardise


OTHER = "Bring the data to the pixels and bins that the compressor was trained on, or train one on data like these."
LOOK = "Look at these data, and leave them out if they cannot be mended."


class Compressor(eqx.Module):
    """A network behind the standardisation of its input: data of a fixed shape to a summary (s,).

    Args:
        standardise: moments of the training data.
        network: standardised data to summary, e.g. an entry of `fullfield.networks.NETWORKS`.
        data_shape: shape of one data set.

    Raises:
        ShapeError: the network does not take such data, or does not make vectors of them.
    """

    standardise: Standardise
    network: Callable
    data_shape: tuple[int, ...] = eqx.field(static=True)
    summary_size: int = eqx.field(static=True)

    def __init__(self, standardise: Standardise, network: Callable, data_shape: tuple[int, ...]):
        self.standardise, self.network, self.data_shape = standardise, network, tuple(data_shape)
        blank = jax.ShapeDtypeStruct(self.data_shape, jnp.float32)
        try:
            (self.summary_size,) = eqx.filter_eval_shape(lambda x: network(standardise(x)), blank).shape
        except (TypeError, ValueError) as error:
            raise ShapeError(
                "network", expected=f"one from data of shape {self.data_shape} to a vector",
                got=f"{getattr(network, '__name__', type(network).__name__)}, which does not take them",
                remedy="Make the network for data of this shape.",
            ) from error  # fmt: skip

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """Summarise one data set; unlike `compress`, without a look at its values, be they constant or not finite.

        Raises:
            ShapeError: it has other pixels or bins than those the compressor was made for.
        """
        if tuple(data.shape) != self.data_shape:
            raise ShapeError("data", expected=f"shape {self.data_shape}", got=tuple(data.shape), remedy=OTHER)
        return self.network(self.standardise(data))


def standardising(network: Callable, examples: Float[Array, "n ..."]) -> Compressor:
    """A compressor whose input moments are measured on examples (n, ...).

    Numbers () and vectors (d,) are standardised element by element; maps (y, x) as a whole and maps (y, x, bins) per bin,
    since pixels are alike and their differences are signal.
    """
    axes = (0,) if examples.ndim < 3 else tuple(range(max(3, examples.ndim - 1)))
    return Compressor(moments(examples, axes=axes), network, examples.shape[1:])


class Composed(eqx.Module):
    """One function behind the other.

    Args:
        parts: in the order in which they are applied.
    """

    parts: tuple[Callable, ...]

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply all."""
        for part in self.parts:
            x = part(x)
        return x


class Joined(eqx.Module):
    """Several summaries of the same data, one behind the other in one vector.

    Args:
        parts: data to vector each.
    """

    parts: tuple[Callable, ...]

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """Summarise one data set."""
        return jnp.concatenate([part(data) for part in self.parts])


class Projection(eqx.Module):
    """x ↦ W x.

    Args:
        matrix: W (s, d).
    """

    matrix: Float[Array, "s d"]

    @full_precision
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " s"]:
        """Project one vector."""
        return self.matrix @ x  # nearly cancelling sums


def fixed(statistic: Callable, data_shape: tuple[int, ...]) -> Compressor:
    """A compressor that learns nothing: a statistic of the data as they are, e.g. of `fullfield.compression.statistics`.

    Args:
        statistic: data to vector (s,), a callable module; of several, `Joined` makes one.
        data_shape: shape of one data set.
    """
    return Compressor(Standardise(jnp.zeros(()), jnp.ones(())), statistic, data_shape)


def whitened(compressor: Compressor, data: Any, *, batch_size: int = 128) -> Compressor:
    """The same summaries turned and scaled, so that over some data sets they have mean zero and unit covariance.

    Args:
        compressor: the compressor.
        data: data sets (n, ...), more than twice as many as summaries.
        batch_size: data sets at a time.

    Raises:
        DataError: there are too few data sets, or a summary does not vary among them: it has collapsed, or never lived.
    """
    summaries = np.asarray(compress(compressor, data, batch_size=batch_size), np.float64)
    n, size = summaries.shape
    if n < 2 * size:
        raise DataError(
            "data", expected=f"at least {2 * size} data sets, for the covariance of {size} summaries", got=n,
            remedy="Give more data sets, or ask for fewer summaries.",
        )  # fmt: skip
    check_alive(summaries)
    root = np.linalg.cholesky(np.linalg.inv(np.atleast_2d(np.cov(summaries, rowvar=False)))).T
    return _turned(compressor, summaries.mean(axis=0), root)


def whitening(compressor: Compressor) -> Compressor:
    """A compressor of the kind that `whitened` returns with nothing measured, to be loaded into."""
    size = compressor.summary_size
    return _turned(compressor, np.zeros(size), np.eye(size))


def _turned(compressor, mean, root):
    centre = Standardise(jnp.asarray(mean, jnp.float32), jnp.ones(len(mean)))
    network = Composed((compressor.network, centre, Projection(jnp.asarray(root, jnp.float32))))
    return Compressor(compressor.standardise, network, compressor.data_shape)


def sensitivity(compressor: Compressor, data: Float[Array, "..."]) -> Float[Array, "s ..."]:
    """Sensitivity maps ∂ summary / ∂ data of one data set: what each summary looks at.

    Args:
        compressor: the compressor.
        data: one data set, of the compressor's data shape.

    Returns:
        One map (...) per summary, shape (s, ...).

    Raises:
        ShapeError: the data set has another shape than those the compressor was made for.
        DataError: it is not finite, or a map or one of its bins is constant; not looked for in a compiled or mapped function.
    """
    if tuple(data.shape) == compressor.data_shape and not isinstance(data, Tracer):
        check_varying(data[None])
    return _jacobian(compressor, data)


@eqx.filter_jit
def _jacobian(compressor, data):
    return jax.jacrev(compressor)(data)


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
        DataError: some are not finite, or all pixels of a map, or of one of its bins, have one value; says which.
    """
    if tuple(data.shape[1:]) != compressor.data_shape:
        raise ShapeError("data", expected=f"shape {('n', *compressor.data_shape)}", got=tuple(data.shape), remedy=OTHER)
    found = apply_many(Watched(compressor), data, batch_size=batch_size, progress=progress, stage=stage)
    for column, expected in ((-2, "finite numbers"), (-1, "maps that vary")):
        bad = np.flatnonzero(found[:, column])
        if bad.size:
            rows = f"{bad[:8].tolist()}" + (" and more" if bad.size > 8 else "")
            raise DataError("data", expected=expected, got=f"others in {bad.size} of {len(found)} rows: {rows}", remedy=LOOK)
    return np.ascontiguousarray(found[:, :-2])


def check_varying(examples: Float[Array, "n ..."]) -> None:
    """Refuse data that teach nothing.

    Raises:
        DataError: examples are not finite, all alike, or maps, or those of a bin, have one value everywhere; says which, or how
            many.
    """
    values = np.asarray(examples)
    bad = int(np.sum(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
    if bad:
        raise DataError("data", expected="finite numbers", got=f"others in {bad} of {len(values)} simulations", remedy=LOOK)
    if values.ndim in (3, 4):  # maps (y, x) or (y, x, bins)
        constant = (np.ptp(values, axis=(1, 2)) == 0).reshape(len(values), -1)
        dead, flat = np.flatnonzero(constant.all(axis=0)), int(constant.any(axis=1).sum())
        if flat:
            where = f"bins {dead.tolist()}" if values.ndim == 4 and dead.size else f"{flat} of {len(values)} simulations"
            raise DataError("data", expected="maps that vary", got=f"constant ones in {where}", remedy="Leave them out.")
    if len(values) > 1 and not np.ptp(values, axis=0).any():
        raise DataError("data", expected="simulations that differ", got="equal ones", remedy="Look at the simulator.")


class Watched(eqx.Module):
    """A summary with two more numbers: whether the data are not finite, and whether a map or a bin of it is constant.

    Args:
        compressor: data to summary (s,).
    """

    compressor: Compressor

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " t"]:
        """Summary (s,) and the two, each zero or one."""
        infinite, constant = ~jnp.all(jnp.isfinite(data)), jnp.zeros((), bool)
        if data.ndim in (2, 3):  # maps (y, x) or (y, x, bins)
            constant = jnp.any(jnp.max(data, axis=(0, 1)) == jnp.min(data, axis=(0, 1)))
        summary = self.compressor(data)
        return jnp.concatenate([summary, jnp.stack([infinite, constant]).astype(summary.dtype)])
