"""MIRA: how well balls of draws around random points predict whether the truth is inside."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.references import Distances, place_references
from fullfield.diagnostics.samples import as_pair, generator, Numeric, rank


FOLDS = 4


def mira(
    truths: Float[Numeric, "T p"],
    draws: Float[Numeric, "T S p"],
    *,
    estimates: Float[Numeric, "T p"] | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
    folds: int = FOLDS,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Report:
    """Score the predictive probability that the truth lies inside a ball, against its exact finite-sample null.

    One run: a centre, and as radius the distance to one random draw; of the N = S - 1 other draws n are inside. The score is
    (n + 1) / (N + 1) if the truth is inside as well, (N - n + 1) / (N + 1) if not. Its mean for an exact posterior is
    (2N + 3) / (3 (N + 1)), which tends to 2/3. Two-sided: too wide scores above (at most 3/4), too narrow or displaced below,
    for centres that do not depend on the data; centres at the estimate turn the sign for width. Here the score is averaged
    over all S radii instead of one, which leaves its mean as it is and lowers its variance tenfold, from 1/18 to 1/180 per
    simulation; averaging over several centres lowers it further.

    Args:
        truths: parameters that made each data set.
        draws: independent posterior draws for each data set.
        estimates: any function of the data, in the space of the parameters (see `regress`). Without them a posterior that
            equals the prior passes.
        blocks: columns whitened together, each block with equal weight; None for one block of all columns.
        folds: centres per simulation and rule.
        budget: false-alarm probability of this report, `Budget()` if not given.
        key: places the centres.

    Returns:
        Per rule (as in TARP) the `score`, whose uncertainty and bar are those of an exact posterior, and its distance `z` from
        the null mean in standard deviations. The null's spread is found by putting each draw in the truth's place, so it
        knows that centres are shared. The uncertainty of `z` is what a bootstrap over simulations gives this posterior, exact
        or not, in the same unit; of a mean over simulations it is known in closed form.

    Raises:
        DataError: values that are not finite, draws without spread.
        ShapeError: arrays that do not belong together.

    Source: Sharief et al. 2026, arXiv:2605.02014.
    """
    truths, draws = as_pair(truths, draws)
    random = generator(key, "mira")
    placed = place_references(truths, draws, estimates=estimates, blocks=blocks, folds=folds, random=random)
    return mira_of(placed, budget=budget, random=random)


def mira_of(placed: Distances, *, budget: Budget | None = None, random: np.random.Generator) -> Report:
    """The same from distances to centres that were placed before.

    Args:
        placed: squared distances of truths and draws.
        budget: false-alarm probability of this report, `Budget()` if not given.
        random: for ties.
    """
    _, folds, count, size = placed.draws.shape
    share = (budget or Budget()).shared(len(placed.rules))
    numbers = []
    for rule, truths, draws in zip(placed.rules, placed.truths, placed.draws, strict=True):
        scores = mira_score(rank(truths, draws, random), size).mean(axis=0)
        null = np.empty((folds, count, size))
        np.put_along_axis(null, np.argsort(draws, axis=-1), mira_score(np.arange(size), size - 1)[None, None], axis=-1)
        mean, std = mira_null_mean(size), np.sqrt(np.mean(null.mean(axis=0).var(axis=1)) / count)
        numbers.append(share.normal(f"mira/{rule}/score", scores.mean(), mean, std))
        numbers.append(Number(f"mira/{rule}/z", (scores.mean() - mean) / std, scores.std() / np.sqrt(count) / std))
    return Report(tuple(numbers))


def mira_null_mean(draws: int) -> float:
    """Mean score of an exact posterior with S draws, (2N + 3) / (3 (N + 1)) with N = S - 1."""
    return (2 * draws + 1) / (3 * draws)


def mira_score(ranks: Int[np.ndarray, "*shape"], draws: int) -> Float[np.ndarray, "*shape"]:
    """Score averaged over all radii, from the number of draws (0..S) that are nearer to the centre than the truth.

    The draw with i others inside contributes (i + 1) / S if i is at least the rank, (S - i) / S if not; the sum is
    (S (S + 1) / 2 + rank (S - rank)) / S².
    """
    places = ranks.astype(np.float64)
    return (draws * (draws + 1) / 2 + places * (draws - places)) / draws**2
