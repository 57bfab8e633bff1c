"""Expected coverage: how often credible regions of each level hold the truth."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ShapeError
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Report
from fullfield.diagnostics.samples import as_log_density, as_pair, check_names, fraction, generator, Numeric, rank
from fullfield.diagnostics.uniformity import area, Curves, curves, deviation


class Coverage(eqx.Module):
    """Coverage against credibility, and the verdict.

    Args:
        curves: one per parameter (central intervals) and, with log-probabilities, one called "hpd" (highest density regions).
        report: per curve `deviation` and `area` (positive: too wide, negative: too narrow).
    """

    curves: Curves
    report: Report


def coverage(
    truths: Float[Numeric, "T p"],
    draws: Float[Numeric, "T S p"],
    *,
    names: Sequence[str],
    log_probs: tuple[Float[Numeric, " T"], Float[Numeric, "T S"]] | None = None,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Coverage:
    """Measure how often central intervals and highest-density regions hold the truth.

    The region of credibility α that just reaches the truth has α = |2u - 1| for central intervals (u: fraction of draws below
    the truth) and α = fraction of draws that are more probable than the truth for the highest-density region. Coverage at
    level α is the part of the simulations that reach the truth by then.

    Args:
        truths: parameters that made each data set.
        draws: independent posterior draws for each data set.
        names: names of the parameters.
        log_probs: log posterior density (up to a constant per data set) at the truths (T,) and at the draws (T, S).
        budget: false-alarm probability of this report, `Budget()` if not given.
        key: for ties and for spreading the ranks evenly.

    Returns:
        Curves and report.

    Raises:
        DataError: values that are not finite.
        ShapeError: arrays that do not belong together.

    Source: Hermans et al. 2022, arXiv:2110.06581 (expected coverage of highest-density regions).
    """
    truths, draws = as_pair(truths, draws)
    count, size = draws.shape[0], draws.shape[1]
    random = generator(key, "coverage")
    below = rank(truths, np.moveaxis(draws, 1, 2), random)
    fractions = list(np.abs(2 * fraction(below, size, random) - 1).T)
    labels = check_names(names, truths.shape[1])
    if log_probs is not None:
        one, many = log_probs
        if one.shape != (count,) or many.shape != (count, size):
            raise ShapeError("log_probs", expected=f"({count},) and ({count}, {size})", got=f"{one.shape} and {many.shape}")
        more_probable = size - rank(as_log_density("log_probs", one), as_log_density("log_probs", many), random)
        labels, fractions = (*labels, "hpd"), [*fractions, fraction(more_probable, size, random)]
    share = (budget or Budget()).shared(2 * len(labels))
    numbers = []
    for label, values in zip(labels, fractions, strict=True):
        numbers.append(deviation(f"coverage/{label}/deviation", values, share))
        numbers.append(area(f"coverage/{label}/area", values, share))
    return Coverage(curves(labels, np.stack(fractions)), Report(tuple(numbers)))
