"""The front door: every calibration test of a posterior at once, with one verdict."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, Key

from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.coverage import Coverage, coverage
from fullfield.diagnostics.mira import mira
from fullfield.diagnostics.ranks import Quantities, Ranks, ranks
from fullfield.diagnostics.record import merge, Report
from fullfield.diagnostics.samples import Numeric
from fullfield.diagnostics.tarp import Tarp, tarp


class Calibration(eqx.Module):
    """Curves of all tests and their merged report.

    Args:
        ranks: simulation-based calibration per parameter.
        coverage: expected coverage per parameter and of highest-density regions.
        tarp: coverage around random points.
        report: every number of these three and of MIRA; its verdict is that on the posterior.
    """

    ranks: Ranks
    coverage: Coverage
    tarp: Tarp
    report: Report


def calibrate(
    truths: Float[Numeric, "T p"],
    draws: Float[Numeric, "T S p"],
    *,
    names: Sequence[str],
    estimates: Float[Numeric, "T p"] | None = None,
    log_probs: tuple[Float[Numeric, " T"], Float[Numeric, "T S"]] | None = None,
    quantities: Quantities | None = None,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Calibration:
    """Decide from simulations whether posterior draws can be trusted.

    Args:
        truths: parameters drawn from the prior, each of which made a data set that no training has seen.
        draws: independent posterior draws for each data set.
        names: names of the parameters.
        estimates: any function of the data, in the space of the parameters (see `regress`). Give it: without a test that
            depends on the data, a posterior that equals the prior passes.
        log_probs: log posterior density at the truths (T,) and at the draws (T, S), up to a constant per data set.
        quantities: further scalars for ranks, such as the data's log-likelihood, as (at the truth (T,), at the draws (T, S)).
        budget: probability that an exact posterior fails or warns anywhere in the report; `Budget()` if not given.
        key: for references, ties and bootstrap.

    Returns:
        The curves of each test and the merged report.

    Raises:
        DataError: values that are not finite, draws without spread.
        ShapeError: arrays that do not belong together.
    """
    share = (budget or Budget()).shared(4)
    by_rank = ranks(truths, draws, names=names, quantities=quantities, estimates=estimates, budget=share, key=key)
    by_level = coverage(truths, draws, names=names, log_probs=log_probs, budget=share, key=key)
    by_point = tarp(truths, draws, estimates=estimates, budget=share, key=key)
    by_ball = mira(truths, draws, estimates=estimates, budget=share, key=key)
    report = merge((by_rank.report, by_level.report, by_point.report, by_ball))
    return Calibration(by_rank, by_level, by_point, report)
