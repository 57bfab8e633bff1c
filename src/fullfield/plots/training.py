"""Loss curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fullfield.plots.style import BLUE, GREY, INK, style, VERMILION


def loss_curves(stages: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draw training and held-out loss against epochs, one panel per trained module, its best epoch marked.

    Args:
        stages: by title, mean training loss and held-out loss of each epoch.

    Returns:
        A figure with one panel per stage. Its range follows the held-out curve, so that a first wild epoch does not hide
        the rest.
    """
    with style():
        figure = Figure(figsize=(3.4 * len(stages) + 1.0, 2.9), layout="constrained")
        panels = figure.subplots(1, len(stages), squeeze=False)[0]
        for panel, (title, (train, held_out)) in zip(panels, stages.items(), strict=True):
            epochs = np.arange(1, len(held_out) + 1)
            panel.plot(epochs, train, color=BLUE, lw=1.2, label="training")
            panel.plot(epochs, held_out, color=VERMILION, label="held out")
            best = int(np.argmin(held_out))
            panel.axvline(epochs[best], color=GREY, lw=0.8, ls=":")
            panel.plot(epochs[best], held_out[best], "o", color=INK, ms=4.5, label="kept")
            panel.set_ylim(*_range(np.asarray(train, float), np.asarray(held_out, float)))
            panel.set_title(title)
            panel.set_xlabel("epoch")
        panels[0].set_ylabel("loss [nat]")
        panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _range(train, held_out):
    after_start = slice(len(held_out) // 20, None)
    shown = np.concatenate((train[after_start], held_out[after_start]))
    low, high = shown.min(), shown.max()
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin
