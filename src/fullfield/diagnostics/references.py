"""Reference points: where TARP and MIRA stand to ask who is nearer, the truth or a posterior draw."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.samples import as_finite, Numeric


UNIFORM, OTHER_TRUTH, ESTIMATE = "uniform", "other_truth", "estimate"


class References(eqx.Module):
    """Truths, draws and reference points in whitened space.

    Args:
        rules: name of each rule that references are placed by.
        truths: whitened truths.
        draws: whitened draws.
        points: whitened references per rule, fold and simulation.
    """

    rules: tuple[str, ...] = eqx.field(static=True)
    truths: Float[np.ndarray, "T p"]
    draws: Float[np.ndarray, "T S p"]
    points: Float[np.ndarray, "K F T p"]

    def distances(self, rule: int, fold: int) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T S"]]:
        """Squared distances of truths and of draws to the references of one rule and fold."""
        points = self.points[rule, fold]
        return np.sum((self.truths - points) ** 2, axis=-1), np.sum((self.draws - points[:, None]) ** 2, axis=-1)


def place_references(
    truths: Float[np.ndarray, "T p"],
    draws: Float[np.ndarray, "T S p"],
    *,
    estimates: Float[Numeric, "T p"] | None,
    blocks: Sequence[Sequence[int]] | None,
    folds: int,
    random: np.random.Generator,
) -> References:
    """Place references by every rule that is possible, in the space whitened by the typical posterior.

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
    if not 0 < folds < count / 2:
        raise ShapeError("folds", expected=f"1 to fewer than half of the {count} simulations", got=folds)
    blocks = tuple(map(tuple, blocks)) if blocks is not None else (tuple(range(width)),)
    columns = sorted(column for block in blocks for column in block)
    if not columns or len(set(columns)) != len(columns) or not 0 <= columns[0] <= columns[-1] < width:
        raise ShapeError("blocks", expected=f"disjoint columns among 0..{width - 1}", got=blocks)
    whitening = _whitening(draws, blocks)
    truths, draws = truths @ whitening, draws @ whitening
    points = {
        UNIFORM: random.uniform(truths.min(0), truths.max(0), (folds, *truths.shape)),
        OTHER_TRUTH: _other_truths(truths, folds, random),
    }
    if estimates is not None:
        if estimates.shape != (count, width):
            raise ShapeError("estimates", expected=f"({count}, {width})", got=estimates.shape)
        spread = np.median(draws.std(axis=1), axis=0) / 2
        points[ESTIMATE] = as_finite("estimates", estimates) @ whitening + spread * random.normal(size=(folds, *truths.shape))
    return References(tuple(points), truths, draws, np.stack(list(points.values())))


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


def _other_truths(truths, folds, random):
    # Shifting one random circle of all simulations by fewer than half of it never makes two of them each other's reference.
    circle = random.permutation(len(truths))
    places = np.empty((folds, *truths.shape))
    for f in range(folds):
        places[f, circle] = truths[np.roll(circle, -1 - f)]
    return places


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
