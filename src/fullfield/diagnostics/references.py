"""Reference points: where TARP and MIRA stand to ask who is nearer, the truth or a posterior draw."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.samples import as_finite, Numeric


UNIFORM, OTHER_TRUTH, ESTIMATE = "uniform", "other_truth", "estimate"


class Distances(eqx.Module):
    """Squared distances of truths and draws to the references of each rule: all that TARP and MIRA see.

    Args:
        rules: name of each rule that references are placed by.
        truths: per rule, fold (one of several references of a simulation) and simulation.
        draws: the same of each draw.
    """

    rules: tuple[str, ...] = eqx.field(static=True)
    truths: Float[np.ndarray, "K F T"]
    draws: Float[np.ndarray, "K F T S"]


def balanced(parts: Sequence[Distances]) -> Distances:
    """Add the squared distances of several blocks, each in units of how much it varies from draw to draw.

    A block of many pixels would drown one of few parameters if both counted as they are. The unit of a block and rule is the
    median over simulations of the deviation among draws and truth alike; since it does not know which of them is the truth,
    ranks stay exactly uniform for an exact posterior.
    """
    truths, draws = np.zeros(parts[0].truths.shape), np.zeros(parts[0].draws.shape)
    for part in parts:
        deviation = np.concatenate([part.draws, part.truths[..., None]], axis=-1).std(axis=-1, dtype=np.float64)
        unit = np.median(deviation, axis=(1, 2))
        truths += part.truths / unit[:, None, None]
        draws += part.draws / unit[:, None, None, None]
    return Distances(parts[0].rules, truths, draws)


def place_references(
    truths: Float[np.ndarray, "T p"],
    draws: Float[np.ndarray, "T S p"],
    *,
    estimates: Float[Numeric, "T p"] | None,
    blocks: Sequence[Sequence[int]] | None,
    folds: int,
    random: np.random.Generator,
) -> Distances:
    """Squared distances to references placed by every rule that is possible, in the space whitened by the typical posterior.

    The rules: "uniform" in the box of the truths; "other_truth", the truth of another simulation; with estimates, "estimate",
    the estimate plus normal noise half as broad as the posterior (broader noise drowns what the estimate knows). Only the
    last depends on the data, and only it can tell a posterior from the prior. Whatever the rule, the rank of the truth's
    distance is uniform for an exact posterior, and independent between simulations (no two simulations serve as each other's
    reference).

    Args:
        truths: parameters that made each data set.
        draws: independent posterior draws for each data set.
        estimates: any function of the data, in the same space; None leaves the data-dependent rule out.
        blocks: columns that are whitened together, with equal weight for each block; None for one block of all.
        folds: number of references per rule and simulation.
        random: places the references.

    Raises:
        DataError: an estimate is not finite, or the draws have no spread.
        ShapeError: estimates of another shape than the truths, blocks that are not made of columns, too many folds.
    """
    count, _, width = draws.shape
    blocks = tuple(map(tuple, blocks)) if blocks is not None else (tuple(range(width)),)
    columns = sorted(column for block in blocks for column in block)
    if not columns or len(set(columns)) != len(columns) or not 0 <= columns[0] <= columns[-1] < width:
        raise ShapeError("blocks", expected=f"disjoint columns among 0..{width - 1}", got=blocks)
    whitening = _whitening(draws, blocks)
    truths, draws = truths @ whitening, draws @ whitening
    points = {
        UNIFORM: random.uniform(truths.min(0), truths.max(0), (folds, *truths.shape)),
        OTHER_TRUTH: truths[companions(count, folds, random)],
    }
    if estimates is not None:
        if estimates.shape != (count, width):
            raise ShapeError("estimates", expected=f"({count}, {width})", got=estimates.shape)
        spread = np.median(draws.std(axis=1), axis=0) / 2
        points[ESTIMATE] = as_finite("estimates", estimates) @ whitening + spread * random.normal(size=(folds, *truths.shape))
    to_truths, to_draws = np.empty((len(points), folds, count)), np.empty((len(points), folds, *draws.shape[:2]))
    for k, f in np.ndindex(len(points), folds):
        place = list(points.values())[k][f]
        to_truths[k, f] = np.sum((truths - place) ** 2, axis=-1)
        to_draws[k, f] = np.sum((draws - place[:, None]) ** 2, axis=-1)
    return Distances(tuple(points), to_truths, to_draws)


def companions(count: int, folds: int, random: np.random.Generator) -> Int[np.ndarray, "F T"]:
    """For each simulation, others whose truths are its references; no two simulations are each other's.

    Raises:
        ShapeError: as many folds as half of the simulations.
    """
    if not 0 < folds < count / 2:
        raise ShapeError("folds", expected=f"1 to fewer than half of the {count} simulations", got=folds)
    # Shifting one random circle of all simulations by fewer than half of it never makes two of them each other's reference.
    circle = random.permutation(count)
    others = np.empty((folds, count), int)
    for f in range(folds):
        others[f, circle] = np.roll(circle, -1 - f)
    return others


def regress(
    theta: Float[Numeric, "n p"], summaries: Float[Numeric, "n s"], at: Float[Numeric, "T s"]
) -> Float[np.ndarray, "T p"]:
    """Estimate parameters from summaries by least squares: data-dependent references when none are at hand.

    Args:
        theta: parameters of simulations other than those that are tested.
        summaries: their summaries.
        at: summaries of the simulations to test.

    Returns:
        Estimates, linear and quadratic in each summary, kept inside the range of `theta`.

    Raises:
        DataError: values that are not finite.
    """
    theta, summaries, at = as_finite("theta", theta), as_finite("summaries", summaries), as_finite("at", at)
    centre, scale = summaries.mean(0), summaries.std(0)
    scale = np.where(scale > 0, scale, 1.0)

    def design(values):
        scaled = (values - centre) / scale
        return np.hstack([np.ones((len(scaled), 1)), scaled, scaled**2])

    coefficients = np.linalg.lstsq(design(summaries), theta, rcond=None)[0]
    return np.clip(design(at) @ coefficients, theta.min(0), theta.max(0))


def _whitening(draws, blocks):
    # Scale: median over simulations, so that a few bad posteriors do not set it. Correlation: mean over simulations.
    deviations = draws - draws.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean(deviations**2, axis=1))
    stuck = np.argwhere(np.ptp(draws, axis=1) == 0)
    if len(stuck):
        row, column = stuck[0]
        raise DataError("draws", expected="draws that differ", got=f"equal ones in column {column} of simulation {row}")
    deviations = deviations / spread[:, None]
    correlation = np.einsum("tsi,tsj->ij", deviations, deviations) / deviations[..., 0].size
    scale = np.median(spread, axis=0)
    whitening = np.zeros((draws.shape[2], draws.shape[2]))
    for block in blocks:
        inside = np.ix_(block, block)
        values, vectors = np.linalg.eigh(correlation[inside])
        roots = np.sqrt(np.maximum(values, 1e-6 * values[-1]))
        whitening[inside] = (vectors / roots) @ vectors.T / scale[list(block), None] / np.sqrt(len(block))
    return whitening
