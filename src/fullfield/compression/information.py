"""Fisher information of summaries, to be held against that of the data where it is known."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn.covariance import ledoit_wolf

from fullfield._core import DataError, ShapeError
from fullfield.compression.imnn import carried


FEW = "Take more simulations, or fewer summaries."


def sample_covariance(rows: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "s s"]:
    """Covariance (s, s) of summaries (n, s) as it is."""
    return np.cov(rows, rowvar=False).reshape(rows.shape[1], -1)


def shrunk_covariance(rows: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "s s"]:
    """Covariance (s, s) of summaries (n, s), drawn towards a multiple of the identity (Ledoit & Wolf 2004, JMVA 88, 365)."""
    return ledoit_wolf(rows)[0]


def fisher_of_summaries(
    compressor: Callable,
    simulations: Float[Array | np.ndarray, "n k columns ..."],
    covariance: Callable[[Float[np.ndarray, "n s"]], Float[np.ndarray, "s s"]] = sample_covariance,
) -> Float[np.ndarray, "k p p"]:
    """Fisher matrices ∂μᵀ C⁻¹ ∂μ of summaries, as if they were Gaussian with a covariance that stays as it is.

    Args:
        compressor: data to summary (s,).
        simulations: simulations with their derivatives about each of k points, as `Tangents` makes them, that no training has
            seen. Of n of them a covariance is known to √(2 / n), and looks a share s / n too informative.
        covariance: estimator of C, such as `sample_covariance` or `shrunk_covariance`.

    Raises:
        DataError: there are fewer simulations than twice the summaries, or a summary does not vary.
    """
    summaries, means = (np.asarray(found, np.float64) for found in _carried(compressor, jnp.asarray(simulations)))
    n, size = len(summaries), summaries.shape[-1]
    if n < 2 * size:
        raise DataError(
            "simulations", expected=f"at least {2 * size} for the covariance of {size} summaries", got=n, remedy=FEW
        )
    scatter = summaries.std(axis=0)
    if not (np.isfinite(scatter).all() and scatter.min() > 0):
        dead = np.flatnonzero(~(scatter.min(axis=0) > 0)).tolist()
        raise DataError(
            "compressor",
            expected="finite summaries that vary",
            got=f"others: {dead}",
            remedy="Train it anew, or leave them out.",
        )
    covariances = np.stack([covariance(rows) for rows in np.moveaxis(summaries, 1, 0)])
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
def _carried(compressor, simulations):
    summaries, derivatives = carried(compressor, simulations)
    return summaries, jnp.mean(derivatives, axis=0)
