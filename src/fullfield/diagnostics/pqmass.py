"""PQMass: whether two sets of samples have one law, by how many of either fall into the cells of random tessellations."""

import numpy as np
from jaxtyping import Float

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.record import Number


def pqmass(
    samples: Float[np.ndarray, "n k"],
    others: Float[np.ndarray, "m c"],
    *,
    regions: int = 100,
    repeats: int = 200,
    name: str = "pqmass",
    bar: str | None = None,
    random: np.random.Generator,
) -> Number:
    """Chi-square of the counts of two sets in cells, over its degrees of freedom: one if their laws are equal, more if not.

    Cells are those of the points nearest to each of `regions` reference points, which are drawn from both sets together and
    taken out; coordinates are whitened by the spread of both sets. Well below one the sets have points in common.

    Source: Lemos et al. 2024 (arXiv:2402.04355).

    Args:
        samples: one set.
        others: the other set.
        regions: cells of a tessellation.
        repeats: tessellations, over which the mean is taken.
        name: of the number.
        bar: what it is held to.
        random: draws the reference points.

    Returns:
        The mean over tessellations. Its uncertainty is √(2 / degrees of freedom), the scatter of one chi-square, as all
        tessellations see the same points.

    Raises:
        ShapeError: the sets differ in their number of coordinates.
        DataError: a set has fewer than five points to a cell, or numbers are not finite.
    """
    if samples.shape[1] != others.shape[1]:
        raise ShapeError("others", expected=f"{samples.shape[1]} coordinates", got=others.shape[1])
    both = np.concatenate([samples, others])
    if not np.isfinite(both).all():
        raise DataError("samples, others", expected="finite numbers", got="NaN or infinity")
    if min(len(samples), len(others)) < 5 * regions:
        raise DataError(
            "samples, others", expected=f"at least {5 * regions} of each, five to a cell", got=(len(samples), len(others)),
            remedy="Take fewer regions.",
        )  # fmt: skip
    deviation = both.std(axis=0)
    both = both / np.where(deviation > 0, deviation, 1.0)
    first = np.arange(len(both)) < len(samples)
    ratios = [_chi_square(both, first, random.choice(len(both), regions, replace=False)) for _ in range(repeats)]
    return Number(name, float(np.mean(ratios)), float(np.sqrt(2 / (regions - 1))), bar=bar)


def _chi_square(points, first, references):
    left = np.ones(len(points), bool)
    left[references] = False
    squares = (points[left] ** 2).sum(1)[:, None] - 2 * points[left] @ points[references].T + (points[references] ** 2).sum(1)
    nearest, first = squares.argmin(axis=1), first[left]
    counts = np.stack([np.bincount(nearest[one], minlength=len(references)) for one in (first, ~first)])
    counts = counts[:, counts.sum(axis=0) > 0]
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    return np.sum((counts - expected) ** 2 / expected) / (counts.shape[1] - 1)
