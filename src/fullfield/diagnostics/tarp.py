"""TARP: coverage of the balls around random points, which tests the whole joint posterior from draws alone."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Report
from fullfield.diagnostics.references import Distances, place_references
from fullfield.diagnostics.samples import as_pair, fraction, generator, Numeric, rank
from fullfield.diagnostics.uniformity import area, Curves, curves, deviation


FOLDS = 4
REPLICATES = 200


class Tarp(eqx.Module):
    """Expected coverage probability against credibility for each rule of references, and the verdict.

    Args:
        curves: one per rule, with the band of an exact posterior.
        spread: bootstrap standard deviation of each curve at each level.
        report: per rule `deviation` and `area` (positive: too wide, negative: too narrow).
    """

    curves: Curves
    spread: Float[np.ndarray, "K A"]
    report: Report


def tarp(
    truths: Float[Numeric, "T p"],
    draws: Float[Numeric, "T S p"],
    *,
    estimates: Float[Numeric, "T p"] | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Tarp:
    """Test accuracy of posterior draws with random points.

    Per simulation and reference r, the credibility of the truth is f = #{draws nearer to r than the truth} / S, ties and
    steps made uniform as f = (n + U) / (S + 1); the expected coverage at level α is the part of the simulations with f ≤ α.
    It equals α for every rule, data-dependent ones included, exactly when the posterior is exact. Distances are taken after
    whitening by the typical posterior.

    Args:
        truths: parameters that made each data set.
        draws: independent posterior draws for each data set.
        estimates: any function of the data, in the space of the parameters (see `regress`). Without them a posterior that
            equals the prior passes.
        blocks: columns whitened together, each block with equal weight; None for one block of all columns.
        budget: false-alarm probability of this report, `Budget()` if not given.
        key: places references and draws the bootstrap.

    Returns:
        Curves, their bootstrap spread, and the report. Verdicts are exact: they use one reference per simulation and rule.
        The bootstrap resamples simulations, each with one of several references; one set of references for a whole replicate
        would count their scatter twice.

    Raises:
        DataError: values that are not finite, draws without spread.
        ShapeError: arrays that do not belong together.

    Source: Lemos et al. 2023, arXiv:2302.03026, algorithm 2.
    """
    truths, draws = as_pair(truths, draws)
    random = generator(key, "tarp")
    placed = place_references(truths, draws, estimates=estimates, blocks=blocks, folds=FOLDS, random=random)
    return tarp_of(placed, budget=budget, random=random)


def tarp_of(placed: Distances, *, budget: Budget | None = None, random: np.random.Generator) -> Tarp:
    """The same from distances to references that were placed before.

    Args:
        placed: squared distances of truths and draws.
        budget: false-alarm probability of this report, `Budget()` if not given.
        random: for ties and the bootstrap.
    """
    fractions = fraction(rank(placed.truths, placed.draws, random), placed.draws.shape[-1], random)
    share = (budget or Budget()).shared(2 * len(placed.rules))
    numbers = []
    for rule, values in zip(placed.rules, fractions[:, 0], strict=True):
        numbers.append(deviation(f"tarp/{rule}/deviation", values, share))
        numbers.append(area(f"tarp/{rule}/area", values, share))
    drawn = curves(placed.rules, fractions[:, 0])
    return Tarp(drawn, _bootstrap(fractions, drawn.alpha, random), Report(tuple(numbers)))


def _bootstrap(fractions, alpha, random):
    # A replicate is a row of weights: how often each pair of a simulation and one of its references was drawn.
    rules, folds, count = fractions.shape
    pairs = random.integers(0, folds * count, (REPLICATES, count))
    weights = np.stack([np.bincount(row, minlength=folds * count) for row in pairs]) / count
    inside = fractions.reshape(rules, folds * count, 1) <= alpha
    return np.std(weights @ inside.astype(float), axis=1)
