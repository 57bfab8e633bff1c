"""Posterior predictive check: do data simulated from the posterior look like the observation?"""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ShapeError
from fullfield.datasets.typicality import largest, mahalanobis
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Report
from fullfield.diagnostics.samples import as_finite, fraction, generator, Numeric, rank


QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)


class Predictive(eqx.Module):
    """Where the observed statistics lie among replicas.

    Args:
        observed: the observed statistics.
        quantiles: 2.5, 16, 50, 84 and 97.5 % quantiles of the replicas.
        pit: fraction of the replicas below each observed statistic, spread evenly over [0, 1].
        report: p-values `predictive/<name>/joint`, of all statistics at once, and `predictive/<name>/largest`, of the most
            extreme one.
    """

    observed: Float[np.ndarray, " s"]
    quantiles: Float[np.ndarray, "5 s"]
    pit: Float[np.ndarray, " s"]
    report: Report


def predictive(
    observed: Float[Numeric, " s"],
    replicas: Float[Numeric, "n s"],
    *,
    name: str = "spectra",
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Predictive:
    """Compare any observed statistics, such as band powers, with those of data simulated at posterior draws.

    Distances (Mahalanobis, and largest of a single component) are measured with one half of the replicas, and the
    observation's is ranked among those of the other half. Since the posterior has seen the observation, both p-values err on
    the large side.

    Args:
        observed: statistics of the observation.
        replicas: the same of one simulation per posterior draw.
        name: what the statistics are.
        budget: false-alarm probability of this report, `Budget()` if not given.
        key: for the halves and ties.

    Returns:
        Quantiles for the picture, ranks, and the report.

    Raises:
        DataError: values that are not finite.
        ShapeError: lengths differ, or fewer than 40 replicas.
    """
    if replicas.ndim != 2 or replicas.shape[1:] != observed.shape or len(replicas) < 40:
        raise ShapeError("replicas", expected=f"at least 40 of length {observed.shape[0]}", got=replicas.shape)
    one, many = as_finite("observed", observed), as_finite("replicas", replicas)
    random = generator(key, "predictive")
    many = many[random.permutation(len(many))]
    pit = fraction(rank(one, many.T, random), len(many), random)
    share = (budget or Budget()).shared(2)
    halves = np.array_split(many, 2)
    numbers = (
        share.p_value(f"predictive/{name}/joint", mahalanobis(one, *halves).p_value),
        share.p_value(f"predictive/{name}/largest", largest(one, *halves).p_value),
    )
    return Predictive(one, np.quantile(many, QUANTILES, axis=0), pit, Report(numbers))
