"""Curves that show whether posteriors are calibrated, each with the band that an exact posterior stays in."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fullfield.plots.style import BLUE, CYCLE, GREY, INK, PALE, style


def coverage_curve(
    levels: Float[np.ndarray, " k"],
    coverage: Float[np.ndarray, " k"],
    low: Float[np.ndarray, " k"],
    high: Float[np.ndarray, " k"],
    *,
    title: str,
) -> Figure:
    """Draw expected coverage against credibility, and their difference below.

    Args:
        levels: credibility levels.
        coverage: fraction of truths inside the region of each level.
        low: lower edge of the band around `coverage`.
        high: upper edge of the band around `coverage`.
        title: name of the test.

    Returns:
        A figure of two panels that share the level axis.
    """
    with style():
        figure = Figure(figsize=(3.5, 4.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        for panel, offset in ((upper, 0.0), (lower, levels)):
            panel.fill_between(levels, low - offset, high - offset, color=BLUE, alpha=0.25, lw=0)
            panel.plot(levels, levels - offset, color=INK, lw=0.9, ls="--")
            panel.plot(levels, coverage - offset, color=BLUE)
        upper.set_title(title)
        upper.set_ylabel("expected coverage")
        upper.set_ylim(0, 1)
        upper.annotate("too wide", (0.06, 0.9), xycoords="axes fraction", color=GREY)
        upper.annotate("too narrow", (0.94, 0.06), xycoords="axes fraction", color=GREY, ha="right")
        lower.set_xlabel("credibility level")
        lower.set_ylabel("difference")
        lower.set_xlim(0, 1)
    return figure


def rank_curves(
    levels: Float[np.ndarray, " k"],
    differences: Float[np.ndarray, "p k"],
    band: Float[np.ndarray, "2 k"],
    labels: Sequence[str],
) -> Figure:
    """Draw how far the ranks of each parameter are from uniform, as a difference of cumulative distributions.

    Args:
        levels: normalised ranks.
        differences: empirical minus uniform cumulative distribution of the ranks, per parameter.
        band: lower and upper edge that hold a whole curve of an exact posterior with the stated probability
            (Säilynoja et al. 2022, Statistics and Computing 32, 32).
        labels: LaTeX labels without dollar signs.

    Returns:
        A figure of one panel.
    """
    with style():
        figure = Figure(figsize=(5.2, 3.3), layout="constrained")
        panel = figure.subplots()
        panel.fill_between(levels, band[0], band[1], color=PALE, lw=0, label="calibrated")
        panel.axhline(0.0, color=INK, lw=0.9, ls="--")
        for i, (difference, label) in enumerate(zip(differences, labels, strict=True)):
            line = ("-", "-.")[i // len(CYCLE) % 2]
            panel.plot(levels, difference, color=CYCLE[i % len(CYCLE)], lw=1.3, ls=line, label=f"${label}$")
        panel.set_xlabel("normalised rank of the truth among the draws")
        panel.set_ylabel("cumulative fraction $-$ uniform")
        panel.set_xlim(0, 1)
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
