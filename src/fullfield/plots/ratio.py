"""Ratios of spectra to those of a reference."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fullfield.plots.style import CYCLE, INK, style


def spectrum_ratios(
    ell: Float[np.ndarray, " l"],
    ratios: Mapping[str, tuple[Float[np.ndarray, "bins l"], Float[np.ndarray, "bins l"]]],
    *,
    tolerance: float = 0.03,
) -> Figure:
    """Draw spectra over those of a reference, one panel per bin.

    Args:
        ell: multipoles of the bands.
        ratios: by name, ratios of each bin and their deviations.
        tolerance: half width of the strip about one.

    Returns:
        As many panels as bins, with one axis of ratios.
    """
    bins = len(next(iter(ratios.values()))[0])
    with style():
        figure = Figure(figsize=(2.1 * bins + 0.8, 2.7), layout="constrained")
        panels = figure.subplots(1, bins, sharex=True, sharey=True, squeeze=False)[0]
        for i, panel in enumerate(panels):
            panel.axhspan(1 - tolerance, 1 + tolerance, color=INK, alpha=0.12, lw=0)
            panel.axhline(1.0, color=INK, lw=0.9, ls=":")
            for (name, (values, errors)), colour in zip(ratios.items(), np.resize(CYCLE, len(ratios)), strict=True):
                panel.errorbar(
                    ell, values[i], errors[i], color=colour, marker=".", ms=4, lw=1.2, label=name if i == 0 else None
                )
            panel.set_xscale("log")
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_xlabel(r"$\ell$")
            panel.set_title(f"bin {i + 1}")
        panels[0].set_ylabel(r"$C_\ell$ / $C_\ell$ (reference)")
        figure.legend(loc="outside upper center", ncols=len(ratios), frameon=False)
    return figure
