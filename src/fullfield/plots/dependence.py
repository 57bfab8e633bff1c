"""What summaries know: parameters read off them, and how they depend on each number of the data."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fullfield.plots.style import GREY, INK, style


def recovered(
    truth: Float[np.ndarray, "n p"],
    mean: Float[np.ndarray, "n p"],
    deviation: Float[np.ndarray, "n p"],
    labels: Sequence[str],
) -> Figure:
    """Draw posterior means with their deviations against the truth, one panel per parameter.

    Args:
        truth, mean, deviation: of some simulations.
        labels: of the parameters, in mathematical notation.
    """
    with style():
        figure = Figure(figsize=(3.2 * len(labels), 3.2), layout="constrained")
        for i, (panel, label) in enumerate(zip(np.atleast_1d(figure.subplots(1, len(labels))), labels, strict=True)):
            low, high = truth[:, i].min(), truth[:, i].max()
            panel.plot([low, high], [low, high], color=INK, lw=0.8)
            panel.errorbar(truth[:, i], mean[:, i], deviation[:, i], fmt="o", ms=3, lw=0.8)
            panel.set_xlabel(f"true ${label}$")
            panel.set_ylabel(f"inferred ${label}$")
            panel.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    return figure


def dependence_curves(
    x: Float[np.ndarray, " n"],
    panels: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]],
    *,
    label: str,
    mark: float | None = None,
) -> Figure:
    """Draw measures of dependence against where the data lie, one panel per measure.

    Args:
        x: place of each number of the data, such as a wavenumber.
        panels: by measure, by name of the curve, its values.
        label: of x.
        mark: place of a dotted line.
    """
    with style():
        figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
        for panel, (measure, curves) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
            for name, values in curves.items():
                panel.plot(x, values, marker="o", ms=3, label=name)
            if mark is not None:
                panel.axvline(mark, color=GREY, lw=0.8, ls=":")
            panel.set_xlabel(label)
            panel.set_ylabel(measure)
            panel.set_ylim(bottom=0)
            panel.legend(loc="best")
    return figure
