"""Gains in precision, parameter by parameter."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fullfield.plots.style import CYCLE, INK, style


def gains(
    values: Mapping[str, Sequence[tuple[float, float]]],
    labels: Sequence[str],
    *,
    published: Sequence[float | None] | None = None,
    name: str = "published",
    title: str = "",
) -> Figure:
    """Draw gains with their errors, on a logarithmic axis.

    Args:
        values: by name, gain and error for every label.
        labels: of the parameters.
        published: gains in the literature, None where there is none.
        name: what these are called.
        title: of the figure.
    """
    places, shift = np.arange(len(labels)), 0.22
    with style():
        figure = Figure(figsize=(0.95 * len(labels) + 1.2, 3.2), layout="constrained")
        panel = figure.subplots()
        panel.axhline(1.0, color=INK, lw=0.9, ls=":")
        for i, ((entry, pairs), colour) in enumerate(zip(values.items(), CYCLE, strict=False)):
            middle, error = np.asarray(pairs, float).T
            offset = shift * (i - (len(values) - 1) / 2)
            panel.errorbar(places + offset, middle, error, fmt="o", ms=5, color=colour, lw=1.4, capsize=2, label=entry)
        if published is not None:
            known = [(i, value) for i, value in enumerate(published) if value is not None]
            panel.scatter(*zip(*known, strict=True), marker="D", s=34, facecolors="none", edgecolors=INK, label=name, zorder=3)
        panel.set_yscale("log")
        ticks = np.array([0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20])
        low, high = panel.get_ylim()
        inside = ticks[(ticks >= low) & (ticks <= high)]
        panel.set_yticks(inside, [f"{tick:g}" for tick in inside])
        panel.minorticks_off()
        panel.set_xticks(places, labels)
        panel.set_ylabel("gain in precision")
        panel.set_title(title)
        panel.legend(loc="upper left")
    return figure
