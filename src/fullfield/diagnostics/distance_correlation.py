"""Distance correlation: dependence of any kind, linear or not, between two sets of numbers of any length."""

import numpy as np
from jaxtyping import Float

from fullfield._core import ShapeError
from fullfield.diagnostics.samples import as_finite, Numeric


def distance_correlation(x: Float[Numeric, "n ..."], y: Float[Numeric, "m ..."], *, corrected: bool = False) -> float:
    """Distance correlation of paired samples: 0 if and only if they are independent, in the limit of many.

    Args:
        x, y: samples (n,) or (n, d), row by row of one draw.
        corrected: whether the bias of small n is taken out. The plain one is V(x, y) / √(V(x) V(y)) with V the root of the mean
            product of doubly centred distances (Székely, Rizzo & Bakirov 2007, Ann. Statist. 35, 2769), positive for
            independent samples too; the corrected one is unbiased for zero, of squared distances' kind, and may be negative
            (Székely & Rizzo 2014, Ann. Statist. 42, 2382).

    Raises:
        DataError: values that are not finite.
        ShapeError: samples of different length, or fewer than four.
    """
    if len(x) != len(y) or len(x) < 4:
        raise ShapeError("y", expected=f"{len(x)} rows, at least four", got=len(y))
    rows = [as_finite(name, values).reshape(len(values), -1) for name, values in (("x", x), ("y", y))]
    centred = [centred_distances(values, corrected=corrected) for values in rows]
    product, first, second = (np.mean(a * b) for a, b in ((centred[0], centred[1]), (centred[0],) * 2, (centred[1],) * 2))
    if first * second == 0:
        return 0.0
    ratio = product / np.sqrt(first * second)
    return float(ratio if corrected else np.sqrt(max(ratio, 0.0)))


def centred_distances(values: Float[np.ndarray, "n d"], *, corrected: bool = False) -> Float[np.ndarray, "n n"]:
    """Distances between samples, less the means of their rows and columns; corrected, such that no bias is left."""
    values = values - values.mean(axis=0)  # else squares of what is far from zero drown the distances
    square = np.sum(values**2, axis=1)
    distances = np.sqrt(np.maximum(square[:, None] + square - 2 * values @ values.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    n = len(values)
    if not corrected:
        rows = distances.mean(axis=0)
        return distances - rows - rows[:, None] + distances.mean()
    rows = distances.sum(axis=0) / (n - 2)
    found = distances - rows - rows[:, None] + distances.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0.0)
    return found
