"""Do images show structures where others have them? Overlap of the densest pixels, beside that of unrelated images.

    O = 2 N_ab / (N_a + N_b),    O₁ = (O - r) / (1 - r),    O₂ = (O - r) / σ(r),

with N_a, N_b the pixels above the threshold in either image of a pair, N_ab those above it in both, and r the mean and σ(r) the
deviation of the overlap of random pairs (Ullmo et al. 2021, A&A 651, A46, eqs. 9-11; eq. 9 is printed without the factor of
two, with which equal images have one and independent ones with a share n of dense pixels have n, as eq. 10 needs).
"""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import ConfigurationError, ShapeError
from fullfield.diagnostics.groups import as_groups, error_of_mean, members
from fullfield.diagnostics.images import check_images
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import generator, Numeric


BAR, JUDGED = 0.5, (10, 20)


class Averaged(eqx.Module):
    """A quantity of pairs of images at each threshold: mean, deviation over pairs, and standard error of the mean."""

    values: Float[np.ndarray, " t"]
    scatter: Float[np.ndarray, " t"]
    errors: Float[np.ndarray, " t"]


class Overlap(eqx.Module):
    """Overlaps over thresholds, and the verdict.

    Args:
        top: percentage of pixels above each threshold.
        dice: overlap O of the pairs.
        random: overlap of random pairs.
        normalised: O₁, zero for random pairs and one for equal images.
        significance: O₂.
        report: `overlap/normalised/top_<n>`, held to 0.5 between 10 and 20 %, and `overlap/significance/top_<n>`.
    """

    top: Int[np.ndarray, " t"]
    dice: Averaged
    random: Averaged
    normalised: Averaged
    significance: Averaged
    report: Report


def overlap(
    simulated: Float[Numeric, "n y x"],
    inferred: Float[Numeric, "m v u"],
    groups: Int[Numeric, " n"] | None = None,
    *,
    top: Sequence[int] = tuple(range(5, 100, 5)),
    key: Key[Array, ""],
) -> Overlap:
    """Compare images pair by pair, and simulated images with others of their set.

    A threshold is one for all images of a set, each set having its own, as the paper has it: an image that is dense everywhere
    has more pixels above it than others. Pairs without a pixel above it in either image have no overlap and are left out.

    Args:
        simulated: simulated images, of which any increasing function may have been taken.
        inferred: what goes with each of them.
        groups: labels of simulated images that are not independent, such as those of one box; random pairs are of two groups.
        top: percentages of pixels above the thresholds, whole numbers.
        key: makes random pairs, as many as there are images.

    Raises:
        ConfigurationError: percentages outside of 1 to 99.
        DataError: pixels that are not finite, or images without structure.
        ShapeError: sets of different shapes, or a group of more than half of the images.
    """
    if not top or min(top) < 1 or max(top) > 99:
        raise ConfigurationError("top", expected="percentages from 1 to 99", got=tuple(top))
    if simulated.shape != inferred.shape:
        raise ShapeError("inferred", expected=f"{simulated.shape}, an image for each simulated one", got=inferred.shape)
    first, second = check_images("simulated", simulated), check_images("inferred", inferred)
    groups = as_groups(groups, len(first))
    one, other = _strangers(groups, generator(key, "pairs"))
    share = 1 - np.asarray(top) / 100
    of_pairs, of_strangers = [], []
    for threshold, own in zip(np.quantile(first, share), np.quantile(second, share), strict=True):
        dense = first > threshold
        of_pairs.append(_dice(dense, second > own))
        of_strangers.append(_dice(dense[one], dense[other]))
    dice, random = _averaged(np.stack(of_pairs, 1), groups), _averaged(np.stack(of_strangers, 1), groups[one])
    above, room = dice.values - random.values, 1 - random.values
    missed = (1 - dice.values) / room
    normalised = Averaged(above / room, dice.scatter / room, np.hypot(dice.errors, missed * random.errors) / room)
    errors = np.hypot(dice.errors, random.errors) / random.scatter
    significance = Averaged(above / random.scatter, dice.scatter / random.scatter, errors)
    numbers = []
    for name, curve, bar in (("normalised", normalised, f">= {BAR:g}"), ("significance", significance, None)):
        for i, percentage in enumerate(top):
            held = bar if JUDGED[0] <= percentage <= JUDGED[1] else None
            numbers.append(Number(f"overlap/{name}/top_{percentage}", curve.values[i], curve.errors[i], held))
    return Overlap(np.asarray(top), dice, random, normalised, significance, Report(tuple(numbers)))


def _dice(first, second):
    """Overlap of masks (n, y, x), pair by pair; NaN where both are empty."""
    sizes, both = (np.count_nonzero(mask, axis=(1, 2)) for mask in (first, first & second))
    total = sizes + np.count_nonzero(second, axis=(1, 2))
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)


def _averaged(values, groups):
    return Averaged(np.nanmean(values, axis=0), np.nanstd(values, axis=0), error_of_mean(values, groups))


def _strangers(groups, random):
    """Rows of random pairs of different groups, each row once in the first place and once in the second."""
    blocks = members(groups)
    widest = max(map(len, blocks))
    if 2 * widest > len(groups):
        raise ShapeError("groups", expected="none of more than half of the images", got=f"{widest} of {len(groups)} in one")
    order = np.concatenate([random.permutation(blocks[i]) for i in random.permutation(len(blocks))])
    # Members of a group stand in a row, so that those a group's length further on are of another.
    return order, np.roll(order, widest)
