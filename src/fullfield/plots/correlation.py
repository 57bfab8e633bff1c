"""How galaxies that are loosened from matter still correlate with it."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fullfield.plots.style import CYCLE, GREY, INK, style


LINES = ("-", "--", ":", "-.")


def stochasticity_curves(
    asked: Float[np.ndarray, " r"],
    ell: Float[np.ndarray, " l"],
    found: Mapping[str, Float[np.ndarray, "r l"]],
) -> Figure:
    """Draw the correlation coefficient of galaxies and matter against the one asked for, and against multipole.

    Kacprzak & Fluri 2022 (PRX 12, 031029), figure 8, and beside it that no scale differs.

    Args:
        asked: values of r_g.
        ell: multipoles of the bands.
        found: r(ℓ) at each r_g, by the name of the law of the spread.

    Returns:
        Two panels with one axis of coefficients: means over bands, and a curve for every r_g; one kind of line per law.
    """
    with style():
        figure = Figure(figsize=(6.8, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        left.plot([0, 1], [0, 1], color=INK, lw=0.9, ls=":")
        for (name, curves), line in zip(found.items(), np.resize(LINES, len(found)), strict=True):
            left.plot(asked, curves.mean(axis=1), color=GREY, ls=line, marker=".", label=name)
            for curve, colour in zip(curves, np.resize(CYCLE, len(asked)), strict=True):
                right.plot(ell, curve, color=colour, ls=line, marker=".", ms=4)
        for r in asked:
            right.axhline(r, color=INK, lw=0.9, ls=":")
        left.set_xlabel(r"$r_{\rm g}$ asked for")
        left.set_ylabel(r"$r$ found")
        left.set_ylim(0, 1.05)
        left.legend()
        right.set_xscale("log")
        right.xaxis.set_minor_formatter(NullFormatter())
        right.set_xlabel(r"$\ell$")
    return figure
