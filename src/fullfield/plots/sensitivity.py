"""What an estimate looks at: maps, their sensitivity, and both against each other."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fullfield.plots.style import CYCLE, INK, style


def sensitivity_maps(
    maps: Sequence[tuple[str, Float[np.ndarray, "y x"]]],
    slopes: Sequence[tuple[str, Float[np.ndarray, "y x"]]],
    stacked: Mapping[str, tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]],
    *,
    side: float,
    label: str,
) -> Figure:
    """Draw maps, slopes of an estimate by their pixels, and stacked slopes against density.

    Args:
        maps: titles and maps.
        slopes: titles and slopes, each drawn about zero in its own deviation.
        stacked: by name, density and mean slope of classes of pixels, in deviations.
        side: of the maps, degrees.
        label: what the slopes are of.
    """
    panels_of = [(*entry, False) for entry in maps] + [(*entry, True) for entry in slopes]
    with style():
        figure = Figure(figsize=(2.35 * len(panels_of) + 3.3, 2.75), layout="constrained")
        panels = figure.subplots(1, len(panels_of) + 1, width_ratios=[1.0] * len(panels_of) + [1.25])
        for panel, (title, values, signed) in zip(panels, panels_of, strict=False):
            scale = 3 * float(np.std(values))
            middle = 0.0 if signed else float(np.mean(values))
            panel.imshow(values, origin="lower", extent=(0, side, 0, side), vmin=middle - scale, vmax=middle + scale,
                         cmap="RdBu_r" if signed else "magma")  # fmt: skip
            panel.set_title(title)
            panel.set_xlabel("$x$ [deg]")
            panel.locator_params(nbins=3, integer=True)
        panels[0].set_ylabel("$y$ [deg]")
        last = panels[-1]
        last.axhline(0.0, color=INK, lw=0.9, ls=":")
        for (name, (density, slope)), colour in zip(stacked.items(), CYCLE, strict=False):
            last.plot(density, slope, ".-", color=colour, label=name)
        last.set_xlabel("density of galaxies [deviations]")
        last.set_ylabel(f"mean slope of {label}\n[deviations]")
        last.legend()
    return figure
