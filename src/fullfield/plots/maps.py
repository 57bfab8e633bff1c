"""Pictures of data: tomographic maps in a row, or a data vector."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fullfield.plots.style import BLUE, style


def map_row(
    maps: Float[np.ndarray, "bins y x"],
    titles: Sequence[str],
    *,
    side: float | None = None,
    label: str = r"convergence $\kappa$",
    marks: Float[np.ndarray, "m 2"] | None = None,
) -> Figure:
    """Draw maps side by side on one colour scale.

    Args:
        maps: maps (bins, y, x); masked pixels may be NaN and stay grey.
        titles: title of each map.
        side: side of the maps in degrees; pixels are counted if not given.
        label: label of the colour bar.
        marks: places (x, y) to circle, in the units of the axes.

    Returns:
        A figure with one panel per map and one colour bar.
    """
    low, high = np.nanpercentile(maps, (0.5, 99.5))
    limit = max(abs(low), abs(high))
    signed = low < -0.1 * limit
    extent = (0.0, side, 0.0, side) if side else None
    with style():
        figure = Figure(figsize=(2.15 * len(maps) + 0.9, 2.7), layout="constrained")
        panels = figure.subplots(1, len(maps), sharex=True, sharey=True, squeeze=False)[0]
        image = None
        for panel, one, title in zip(panels, maps, titles, strict=True):
            panel.set_facecolor("#BBBBBB")
            image = panel.imshow(one, origin="lower", extent=extent, vmin=-limit if signed else low, vmax=limit)
            if marks is not None:
                panel.scatter(*marks.T, s=42, facecolors="none", edgecolors="white", linewidths=0.8)
                panel.scatter(*marks.T, s=60, facecolors="none", edgecolors="black", linewidths=0.6)
            panel.set_title(title)
            panel.set_xlabel("$x$ [deg]" if side else "$x$ [pixel]")
            panel.locator_params(nbins=3, integer=True)
            panel.tick_params(color="white")
        panels[0].set_ylabel("$y$ [deg]" if side else "$y$ [pixel]")
        if image is not None:
            figure.colorbar(image, ax=panels, label=label, pad=0.01, fraction=0.05, aspect=18, extend="both")
    return figure


def data_vector(data: Float[np.ndarray, " d"], *, label: str = "data") -> Figure:
    """Draw a one-dimensional data set against its index."""
    with style():
        figure = Figure(figsize=(6.5, 2.4), layout="constrained")
        panel = figure.subplots()
        panel.plot(np.arange(len(data)), data, ".-", color=BLUE, lw=0.8, ms=5)
        panel.set_xlabel("element")
        panel.set_ylabel(label)
        panel.margins(x=0.02)
    return figure
