"""Have summaries collapsed? How many directions of theirs vary, and how much."""

import numpy as np
from jaxtyping import Float

from fullfield._core import ShapeError
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, Numeric


def collapse(summaries: Float[Numeric, "n s"], *, name: str = "collapse") -> Report:
    """Effective rank of summaries, and the deviation of each of their numbers and of the stillest, relative to the liveliest.

    The effective rank is exp(-Σ p ln p) of the shares p that the covariance's eigenvalues have in their sum (Roy & Vetterli
    2007, EUSIPCO): s for white summaries, one if all vary along one line, zero if nothing varies.

    Args:
        summaries: of simulations of the whole prior (n, s).
        name: of the numbers.

    Raises:
        DataError: values that are not finite.
        ShapeError: fewer than two summaries, or not a table.
    """
    if summaries.ndim != 2 or len(summaries) < 2:
        raise ShapeError("summaries", expected="shape (n, s) of at least two", got=summaries.shape)
    values = as_finite("summaries", summaries)
    deviations = values.std(axis=0)
    relative = deviations / (deviations.max() or 1.0)
    numbers = [Number(f"{name}/effective_rank", effective_rank(values)), Number(f"{name}/least_deviation", relative.min())]
    return Report((*numbers, *(Number(f"{name}/deviation/{i}", one) for i, one in enumerate(relative))))


def effective_rank(values: Float[np.ndarray, "n s"]) -> float:
    """exp of the entropy of the covariance's normalised eigenvalues; zero if nothing varies."""
    eigenvalues = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    total = eigenvalues.sum()
    if total == 0:
        return 0.0
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-np.sum(shares * np.log(shares))))
