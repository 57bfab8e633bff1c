"""Canonical statistics: the linear combinations of many statistics that parameters move most beside their own scatter.

Canonical correlations (Hotelling 1936, Biometrika 28, 321) between statistics and the polynomials of degree two of the
parameters. Where statistics are Gaussian and their mean is such a polynomial, as many combinations as the mean has directions
lose nothing (they are then the compression of Heavens, Jimenez & Lahav 2000, MNRAS 317, 965, for all parameters at once); and
there is nothing to train, so that some thousand simulations are enough.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from fullfield._core import DataError
from fullfield.compression.base import Compressor, Projection, standardising
from fullfield.compression.objective import check_length
from fullfield.networks import moments, polynomials
from fullfield.parameters import ParameterSpace


RIDGE = 1e-6  # relative to the statistics' variance, for ones that say the same


def projecting(d: int, size: int) -> Compressor:
    """A compressor of the kind that `canonical` returns with nothing learned, to be loaded into."""
    return standardising(Projection(jnp.zeros((size, d))), jnp.zeros((1, d)))


def canonical(
    parameters: ParameterSpace,
    theta: Float[Array | np.ndarray, "n p"],
    statistics: Float[Array | np.ndarray, "n d"],
    *,
    size: int | None = None,
) -> Compressor:
    """The combinations of statistics that know most of the parameters, best first, each with unit scatter.

    Args:
        parameters: the parameters.
        theta: parameters (n, p) of simulations, drawn from where the summary is to be good.
        statistics: their statistics (n, d).
        size: number of combinations, as many as parameters if not given; never more than statistics.

    Returns:
        Statistics (d,) to summary (min(d, size),).

    Raises:
        DataError: there are fewer simulations than twice the coefficients of the regressions, some are not finite, or a
            parameter never varies.
        ShapeError: theta has another length than there are parameters.
    """
    n, d = statistics.shape
    check_length(theta, parameters)
    bad = int(np.sum(~np.isfinite(np.concatenate([theta, statistics], axis=1)).all(axis=1)))
    if bad:
        raise DataError(
            "statistics", expected="finite numbers", got=f"others in {bad} of {n} simulations", remedy="Leave them out."
        )
    kept: int = min(d, size or parameters.size)
    standardise = moments(jnp.asarray(statistics))
    x = np.asarray(standardise(jnp.asarray(statistics)), np.float64)
    unconstrained = jax.vmap(parameters.to_unconstrained)(jnp.asarray(theta))
    if bool(jnp.any(jnp.ptp(unconstrained, axis=0) == 0)):
        raise DataError("theta", expected="parameters that all vary", got="a constant one", remedy="Draw it, or leave it out.")
    unconstrained = (unconstrained - jnp.mean(unconstrained, axis=0)) / jnp.std(unconstrained, axis=0)
    design = np.asarray(jax.vmap(lambda u: polynomials(u, 2))(unconstrained), np.float64)
    design = np.concatenate([np.ones((n, 1)), design], axis=1)
    if n < 2 * max(d, design.shape[1]):
        needed = 2 * max(d, design.shape[1])
        raise DataError("simulations", expected=f"at least {needed} for {d} statistics", got=n, remedy="Simulate more.")
    mean = design @ np.linalg.lstsq(design, x)[0]
    scatter = (x - mean).T @ (x - mean) / (n - design.shape[1]) + RIDGE * np.eye(d)
    _, vectors = scipy.linalg.eigh(np.atleast_2d(np.cov(mean, rowvar=False)), scatter, subset_by_index=(d - kept, d - 1))
    return Compressor(standardise, Projection(jnp.asarray(vectors[:, ::-1].T, jnp.float32)), (d,))
