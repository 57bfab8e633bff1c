"""Fisher information of summaries, to be held against that of the data where it is known."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import DataError, ShapeError
from fullfield.compression.imnn import summary_moments


FEW = "Take more simulations, or fewer summaries."


def fisher_of_summaries(
    compressor: Callable, simulations: Float[Array | np.ndarray, "n k columns ..."]
) -> Float[np.ndarray, "k p p"]:
    """Fisher matrices ∂μᵀ C⁻¹ ∂μ of summaries, as if they were Gaussian with a covariance that stays as it is.

    Args:
        compressor: data to summary (s,).
        simulations: simulations with their derivatives about each of k points, as `Tangents` makes them, that no training has
            seen. Of n of them a covariance is known to √(2 / n), and looks a share s / n too informative.

    Raises:
        DataError: there are fewer simulations than twice the summaries, or a summary does not vary.
    """
    means, covariances = (np.asarray(found, np.float64) for found in _moments(compressor, jnp.asarray(simulations)))
    n, size = len(simulations), means.shape[-1]
    if n < 2 * size:
        raise DataError(
            "simulations", expected=f"at least {2 * size} for the covariance of {size} summaries", got=n, remedy=FEW
        )
    scatter = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    if not (np.isfinite(scatter).all() and scatter.min() > 0):
        dead = np.flatnonzero(~(scatter.min(axis=0) > 0)).tolist()
        raise DataError("compressor", expected="finite summaries that vary", got=f"others: {dead}")
    return means @ np.linalg.solve(covariances, np.swapaxes(means, 1, 2))


def information_kept(of_summaries: Float[Array | np.ndarray, "p p"], exact: Float[Array | np.ndarray, "p p"]) -> float:
    """(det F / det F₀)^(1 / p): the share of the data's Fisher information F₀ that summaries keep, a mean over directions.

    For p = 2 it is the ratio of figures of merit.

    Raises:
        ShapeError: the matrices differ in shape.
    """
    if of_summaries.shape != exact.shape:
        raise ShapeError("of_summaries", expected=f"shape {exact.shape}", got=of_summaries.shape)
    logs = [np.linalg.slogdet(np.asarray(matrix, np.float64))[1] for matrix in (of_summaries, exact)]
    return float(np.exp((logs[0] - logs[1]) / len(exact)))


@eqx.filter_jit
def _moments(compressor, simulations):
    return summary_moments(compressor, simulations)
