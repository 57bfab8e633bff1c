"""Images that belong together, such as those of one box: choices among them that keep or part whole groups."""

import numpy as np
from jaxtyping import Float, Int

from fullfield._core import ShapeError
from fullfield.diagnostics.samples import Numeric


def as_groups(groups: Int[Numeric, " m"] | None, count: int) -> Int[np.ndarray, " n"]:
    """Number of the group of each of `count` images, from zero on; each its own if not given.

    Raises:
        ShapeError: not one label per image.
    """
    if groups is None:
        return np.arange(count)
    if groups.shape != (count,):
        raise ShapeError("groups", expected=f"a label for each of {count} images", got=groups.shape)
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def members(groups: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, "..."]]:
    """Rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def resampled(rows: list[Int[np.ndarray, "..."]], random: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Rows of as many groups as there are, drawn with replacement."""
    return np.concatenate([rows[i] for i in random.integers(0, len(rows), len(rows))])


def halves(groups: Int[np.ndarray, " n"], random: np.random.Generator) -> list[Int[np.ndarray, " half"]]:
    """Rows of either half of the groups."""
    first = random.permutation(groups.max() + 1) % 2 == 0
    return [np.flatnonzero(first[groups]), np.flatnonzero(~first[groups])]


def one_each(groups: Int[np.ndarray, " n"], most: int, random: np.random.Generator) -> Int[np.ndarray, " m"]:
    """A row of each group, but no more than `most`: images that are independent, in no order."""
    order = random.permutation(len(groups))
    return random.permutation(order[np.unique(groups[order], return_index=True)[1]])[:most]


def error_of_mean(values: Float[np.ndarray, "n t"], groups: Int[np.ndarray, " n"]) -> Float[np.ndarray, " t"]:
    """Standard error of the mean over rows that correlate within groups; NaN are left out."""
    known = np.isfinite(values)
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, np.where(known, values - np.nanmean(values, axis=0), 0.0))
    return np.sqrt((sums**2).sum(0) * len(sums) / (len(sums) - 1)) / known.sum(0)
