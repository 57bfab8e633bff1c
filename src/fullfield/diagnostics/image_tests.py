"""Are generated images those of the simulations? Deviations of their curves, and tests of whether there are any."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy import stats

from fullfield._core import ConfigurationError, DataError
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.collapse import diversity
from fullfield.diagnostics.energy import energy_test
from fullfield.diagnostics.groups import halves, one_each
from fullfield.diagnostics.images import bootstrap, curve_values, ImageTable
from fullfield.diagnostics.pqmass import pqmass
from fullfield.diagnostics.record import merge, Number, Report
from fullfield.diagnostics.samples import generator


BARS = {"power": 0.1, "scatter": 0.2, "pixels": 0.1, "peaks": 0.1}
"""Largest relative deviation of each curve."""
NYQUIST, PIXELS, PEAKS = 0.7, 0.99, 0.99
"""Where: below so much of the Nyquist frequency; among densities that hold so many of the pixels, as many left out below as
above; and from the mean density up to where so many of the peaks above it are passed."""
KS = 0.01
SPLITS, TESSELLATIONS = 20, 50
FEWEST, MOST = 50, 1000


def compare_images(
    simulated: ImageTable, generated: ImageTable, *, budget: Budget | None = None, key: Key[Array, ""]
) -> Report:
    """Everything that one set of images is held to beside another: deviations, tests, and diversity.

    Args:
        simulated: simulated images, those of the test set rather than those that a generator has seen.
        generated: generated ones, measured by the same ruler.
        budget: false-alarm probability of `image_tests`.
        key: chooses images, halves, and what is drawn again.

    Raises:
        ConfigurationError: the sets were measured by different rulers.
        DataError: fewer than fifty groups in either set.
    """
    rows = _independent(simulated, generated, key)
    return merge(
        (
            image_deviations(simulated, generated, key=key),
            image_tests(simulated, generated, budget=budget, key=key),
            diversity(*(table.summaries for table in rows), random=generator(key, "diversity")),
        )
    )


def image_deviations(simulated: ImageTable, generated: ImageTable, *, resamples: int = 100, key: Key[Array, ""]) -> Report:
    """Worst relative deviation of every curve of the generated images within its range, and the test of mean densities.

    The worst of many noisy values is large by chance. `<curve>/halves` says how large: it is what one half of the simulated
    groups deviates from the other by, in the mean over splits, with its scatter. Of S simulated and G generated groups chance
    makes about √((1 + S / G) / 4) of that. The uncertainty of `<curve>/worst` is that of the value at its place, by the
    bootstrap over groups of both sets.

    Numbers: `power`, of the median P(k); `scatter`, of its median absolute deviation; `pixels`, of their distribution; `peaks`,
    of their counts; `means/ks`, p-value of the Kolmogorov-Smirnov test of the mean densities, an image of each group and no
    more than a thousand of a set, which one exact generator in a hundred fails.

    Args:
        simulated: simulated images.
        generated: generated ones, measured by the same ruler.
        resamples: of the bootstrap.
        key: as for `compare_images`.

    Raises:
        ConfigurationError: the sets were measured by different rulers.
        DataError: fewer than fifty groups in either set.
    """
    first, second = _independent(simulated, generated, key)
    random, numbers = generator(key, "deviations"), []
    tables = simulated, generated
    true, found = (curve_values(table) for table in tables)
    draws = [bootstrap(table, resamples, random) for table in tables]
    splits = [[curve_values(simulated.take(rows)) for rows in halves(simulated.groups, random)] for _ in range(SPLITS)]
    for name, inside in ranges(simulated).items():
        truth = true[name][inside]
        ratio = found[name][inside] / truth
        place = np.abs(ratio - 1).argmax()
        # To first order, as a resample of few images may lack what it would be divided by.
        moved = (draws[1][name][:, inside] - ratio * draws[0][name][:, inside]) / truth
        numbers.append(
            Number(f"{name}/worst", float(abs(ratio[place] - 1)), float(moved[:, place].std()), f"<= {BARS[name]:g}")
        )
        by_chance = [np.max(np.abs(one[name][inside] - other[name][inside]) / truth) for one, other in splits]
        numbers.append(Number(f"{name}/halves", float(np.mean(by_chance)), float(np.std(by_chance))))
    p_value = float(stats.kstest(first.mean, second.mean).pvalue)
    return Report((*numbers, Number("means/ks", p_value, bar=f">= {KS:g}")))


def image_tests(simulated: ImageTable, generated: ImageTable, *, budget: Budget | None = None, key: Key[Array, ""]) -> Report:
    """Two-sample tests of every statistic as a whole, of an image of each group and no more than a thousand of a set.

    An energy test each of log P(k), of roots of the shares of pixels and of the numbers of peaks, all within the ranges of
    `image_deviations` (`<curve>/p_value`), and PQMass of the images' summaries, its bar that of a single chi-square, which
    scatters more than the mean over tessellations. They ask whether the laws differ, not by how much: with enough images any
    generator fails that is not exact.

    Args:
        simulated: simulated images.
        generated: generated ones, measured by the same ruler.
        budget: false-alarm probability of the report, `Budget()` if not given.
        key: as for `compare_images`.

    Raises:
        ConfigurationError: the sets were measured by different rulers.
        DataError: fewer than fifty groups in either set.
    """
    tables, random = _independent(simulated, generated, key), generator(key, "tests")
    share, inside = (budget or Budget()).shared(4), ranges(simulated)
    columns = {"power": np.log, "pixels": np.sqrt, "peaks": np.sqrt}
    numbers = []
    for name, even in columns.items():
        sets = (even(getattr(table, name)[:, inside[name]]) for table in tables)
        numbers.append(share.p_value(f"{name}/p_value", energy_test(*sets, random=random)))
    regions = min(100, min(len(table.mean) for table in tables) // 10)
    low, high = stats.chi2.ppf([share.fail / 2, 1 - share.fail / 2], regions - 1) / (regions - 1)
    bar = f"in [{low:.3g}, {high:.3g}]"
    summaries = (table.summaries for table in tables)
    return Report((*numbers, pqmass(*summaries, regions=regions, repeats=TESSELLATIONS, bar=bar, random=random)))


def ranges(simulated: ImageTable) -> dict[str, Bool[np.ndarray, " k"]]:
    """Where each curve is judged: rings, densities and heights by the name of the curve."""
    rings, heights = simulated.ruler.rings, np.asarray(simulated.ruler.heights)
    low = rings.k < NYQUIST * rings.nyquist
    pixels = simulated.pixels.mean(0)
    peaks = np.where(heights >= 0, simulated.peaks.mean(0), 0.0)
    outside = (1 - PIXELS) / 2
    held = _passed(pixels)
    return {
        "power": low,
        "scatter": low,
        "pixels": (held >= outside) & (held <= 1 - outside),
        "peaks": (peaks > 0) & (_passed(peaks) <= PEAKS),
    }


def _passed(counts: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Share of the counts below the middle of each bin."""
    return (np.cumsum(counts) - counts / 2) / counts.sum()


def _independent(simulated, generated, key):
    """Tables of independent images of either set."""
    if not eqx.tree_equal(simulated.ruler, generated.ruler):
        raise ConfigurationError(
            "generated", expected="images measured by the ruler of the simulated ones", got="another ruler"
        )
    tables = []
    for name, table in (("simulated", simulated), ("generated", generated)):
        rows = one_each(table.groups, MOST, generator(key, name))
        if len(rows) < FEWEST:
            raise DataError(name, expected=f"at least {FEWEST} independent images", got=len(rows), remedy="Make more images.")
        tables.append(table.take(rows))
    return tables
