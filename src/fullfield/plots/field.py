"""How maps that were drawn from a posterior agree with the truth, scale by scale."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fullfield.plots.style import CYCLE, GREY, INK, PALE, style


def scale_curves(
    ell: Float[np.ndarray, " l"],
    transfer: Float[np.ndarray, "2 2 bins l"],
    correlation: Float[np.ndarray, "2 2 bins l"],
    z2: Float[np.ndarray, "2 bins l"],
    *,
    tolerance: float = 0.1,
) -> Figure:
    """Draw transfer function, cross-correlation with the truth and spread against multipole, each with its standard deviation.

    Args:
        ell: multipoles of the bands.
        transfer: T(ℓ) of draws (solid) and of the posterior mean (dashed), values and deviations of each.
        correlation: r(ℓ), likewise.
        z2: z²(ℓ), values and deviations.
        tolerance: half width of the strip about one that z² is held to.

    Returns:
        Three panels that share the axis of multipoles; one colour per tomographic bin.
    """
    bins = z2.shape[1]
    with style():
        figure = Figure(figsize=(4.6, 6.2), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True)
        for panel, curves in zip(panels, (transfer, correlation, z2[None]), strict=True):
            for (values, errors), line in zip(curves, ("-", "--"), strict=False):
                for i, colour in zip(range(bins), np.resize(CYCLE, bins), strict=True):
                    panel.fill_between(ell, values[i] - errors[i], values[i] + errors[i], color=colour, alpha=0.25, lw=0)
                    panel.plot(ell, values[i], color=colour, ls=line, marker=".", ms=4)
        for panel in (panels[0], panels[2]):
            panel.axhline(1.0, color=INK, lw=0.9, ls=":")
        panels[2].axhspan(1 - tolerance, 1 + tolerance, color=PALE, lw=0, zorder=0)
        for panel, label in zip(panels, (r"$T(\ell)$", r"$r(\ell)$", r"$z^2(\ell)$"), strict=True):
            panel.set_ylabel(label)
        panels[1].plot([], [], color=GREY, ls="-", label="draws")
        panels[1].plot([], [], color=GREY, ls="--", label="posterior mean")
        if bins > 1:
            for i, colour in zip(range(bins), np.resize(CYCLE, bins), strict=True):
                panels[1].plot([], [], color=colour, label=f"bin {i + 1}")
        panels[1].legend(ncols=1 if bins == 1 else 2)
        panels[2].annotate("too narrow", (0.02, 0.88), xycoords="axes fraction", color=GREY)
        panels[2].annotate("too wide", (0.02, 0.05), xycoords="axes fraction", color=GREY)
        panels[2].set_xscale("log")
        panels[2].set_xlabel(r"$\ell$")
    return figure
