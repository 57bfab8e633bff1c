"""Simulation-based calibration: is the truth's rank among the posterior draws uniform?"""

from collections.abc import Mapping, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy import stats

from fullfield._core import ShapeError
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, as_log_density, as_pair, check_names, fraction, generator, Numeric, rank
from fullfield.diagnostics.uniformity import area, Curves, curves, deviation


Quantities = Mapping[str, tuple[Float[Numeric, " T"], Float[Numeric, "T S"]]]


class Ranks(eqx.Module):
    """Ranks of the truths, their cumulative distributions, and the verdict.

    Args:
        ranks: number of draws below the truth, 0..S, per parameter and further quantity.
        draws: S.
        curves: cumulative distribution of the ranks spread over [0, 1].
        report: per quantity `deviation`, `bias` (positive: the posterior lies too low) and, with estimates, `correlation`.
    """

    ranks: Int[np.ndarray, "q T"]
    draws: int = eqx.field(static=True)
    curves: Curves
    report: Report


def ranks(
    truths: Float[Numeric, "T p"],
    draws: Float[Numeric, "T S p"],
    *,
    names: Sequence[str],
    quantities: Quantities | None = None,
    estimates: Float[Numeric, "T p"] | None = None,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Ranks:
    """Rank every truth among its draws and test that the ranks are uniform and know nothing of the data.

    Args:
        truths: parameters that made each data set, drawn from the prior.
        draws: independent posterior draws for each data set; a chain must be thinned.
        names: names of the parameters.
        quantities: further scalars q(theta, data) by name, as (at the truth (T,), at the draws (T, S)). The log-likelihood of
            the data is the one that tells a posterior from the prior.
        estimates: any function of the data, one per parameter. The rank of an exact posterior is independent of the data, so
            that a correlation with the estimate shows information that the posterior left out.
        budget: false-alarm probability of this report, `Budget()` if not given.
        key: for ties and for spreading the ranks evenly.

    Returns:
        Ranks with their curves and report.

    Raises:
        DataError: values that are not finite.
        ShapeError: arrays that do not belong together.

    Source: Talts et al. 2018, arXiv:1804.06788; data-dependent quantities: Modrák et al. 2023, arXiv:2211.02383.
    """
    truths, draws = as_pair(truths, draws)
    count, size = draws.shape[0], draws.shape[1]
    labels = (*check_names(names, truths.shape[1]), *(quantities or {}))
    at_truth, at_draws = list(truths.T), list(np.moveaxis(draws, 2, 0))
    for name, (one, many) in (quantities or {}).items():
        if one.shape != (count,) or many.shape != (count, size):
            raise ShapeError(name, expected=f"({count},) and ({count}, {size})", got=f"{one.shape} and {many.shape}")
        at_truth.append(as_log_density(name, one))
        at_draws.append(as_log_density(name, many))
    random = generator(key, "ranks")
    found = np.stack([rank(one, many, random) for one, many in zip(at_truth, at_draws, strict=True)])
    fractions = fraction(found, size, random)
    tests = 2 * len(labels) + (0 if estimates is None else truths.shape[1])
    share = (budget or Budget()).shared(tests)
    numbers = []
    for label, values in zip(labels, fractions, strict=True):
        numbers.append(deviation(f"sbc/{label}/deviation", values, share))
        numbers.append(area(f"sbc/{label}/bias", 1 - values, share))
    if estimates is not None:
        if estimates.shape != truths.shape:
            raise ShapeError("estimates", expected=f"{truths.shape}", got=estimates.shape)
        columns = zip(names, fractions, as_finite("estimates", estimates).T, strict=False)
        numbers += [_correlation(f"sbc/{name}/correlation", values, column, share) for name, values, column in columns]
    return Ranks(found, size, curves(labels, fractions), Report(tuple(numbers)))


def _correlation(name: str, fractions: np.ndarray, estimates: np.ndarray, budget: Budget) -> Number:
    # Spearman's coefficient: exact posteriors give independent numbers, for which it is nearly t-distributed.
    n = fractions.size
    value = float(np.corrcoef(fractions, stats.rankdata(estimates))[0, 1])
    p_value = float(2 * stats.t.sf(abs(value) * np.sqrt((n - 2) / max(1 - value**2, 1e-12)), n - 2))
    critical = stats.t.isf(budget.fail / 2, n - 2)
    edge = critical / np.sqrt(n - 2 + critical**2)
    return Number(name, value, (n - 1) ** -0.5, f"in [{-edge:.4g}, {edge:.4g}]", verdict=budget.verdict(p_value))
