"""Observed statistics against what the posterior predicts for them."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fullfield.plots.style import BLUE, INK, style


def spectra_triangle(
    ell: Float[np.ndarray, " l"],
    observed: Float[np.ndarray, "pairs l"],
    predicted: Float[np.ndarray, "n pairs l"],
    bins: int,
) -> Figure:
    """Draw observed auto and cross spectra over the 68 % and 95 % bands of replicas drawn from the posterior.

    Args:
        ell: multipoles of the bands.
        observed: measured spectra of the observation, pairs in upper-triangle order (11, 12, …, 22, 23, …).
        predicted: the same of n replicas.
        bins: number of tomographic bins, with bins (bins + 1) / 2 pairs.

    Returns:
        A triangle of panels of ℓ (ℓ + 1) C_ℓ / 2π times 10⁵; columns are the first bin of a pair, rows the second.
    """
    factor = 1e5 * ell * (ell + 1) / (2 * np.pi)
    bands = np.percentile(predicted * factor, (2.5, 16, 50, 84, 97.5), axis=0)
    pairs = [(i, j) for i in range(bins) for j in range(i, bins)]
    with style():
        figure = Figure(figsize=(1.75 * bins + 0.6, 1.45 * bins + 0.6), layout="constrained")
        panels = figure.subplots(bins, bins, sharex=True, squeeze=False)
        for panel in panels.flat:
            panel.set_visible(False)
        for number, (i, j) in enumerate(pairs):
            panel = panels[j, i]
            panel.set_visible(True)
            low, lower, middle, upper, high = bands[:, number]
            panel.fill_between(ell, low, high, color=BLUE, alpha=0.2, lw=0)
            panel.fill_between(ell, lower, upper, color=BLUE, alpha=0.35, lw=0)
            panel.plot(ell, middle, color=BLUE, lw=1.0)
            panel.plot(ell, observed[number] * factor, ".", color=INK, ms=4)
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.tick_params(labelsize=8)
            panel.annotate(f"{i + 1}$\\times${j + 1}", (0.06, 0.86), xycoords="axes fraction", fontsize=9)
            if j == bins - 1:
                panel.set_xlabel(r"$\ell$")
        figure.supylabel(r"$10^5\,\ell(\ell+1)\,C_\ell/2\pi$", fontsize=11)
    return figure
