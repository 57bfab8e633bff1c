"""Accuracy against cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fullfield.plots.style import GREY, INK, style


MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<")


def accuracy_curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float | None]]]],
    *,
    label: str = "C2ST",
    exact: float | None = 0.5,
    goal: float | None = None,
) -> Figure:
    """Draw accuracy against cost, one curve per method.

    Args:
        panels: by label of the axis of costs, by name of the method: costs, accuracies, and their standard errors or None.
        label: what the accuracy is.
        exact: what an exact method reaches, a solid line.
        goal: what counts as good enough, a dotted line.

    Returns:
        A figure with one panel per kind of cost, costs in logarithm, accuracies on a common scale.
    """
    with style():
        figure = Figure(figsize=(4.3 * len(panels) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for panel, (cost, curves) in zip(axes, panels.items(), strict=True):
            for marker, (name, (x, y, errors)) in zip(MARKERS * len(curves), curves.items(), strict=False):
                bars = None if any(error is None for error in errors) else np.asarray(errors, float)
                panel.errorbar(x, y, bars, marker=marker, ms=5, capsize=2, label=name)
            if exact is not None:
                panel.axhline(exact, color=INK, lw=0.8)
            if goal is not None:
                panel.axhline(goal, color=GREY, lw=0.8, ls=":")
            panel.set_xscale("log")
            ticks = sorted({float(value) for x, *_ in curves.values() for value in x})
            if len(ticks) <= 7:
                panel.set_xticks(ticks, [f"{tick:,.0f}".replace(",", " ") for tick in ticks])
                panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_xlabel(cost)
            panel.legend(loc="upper right")
        axes[0].set_ylabel(label)
    return figure
