"""One look for every picture: serif, colour-blind safe, applied inside a context and never globally."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure

from fullfield._core import write_atomically


# Okabe & Ito 2008, "Color universal design": told apart under every common colour blindness.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, PALE = "#222222", "#7A7A7A", "#D9D9D9"

SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.titlesize": 11,
    "figure.facecolor": "white",
    "font.family": "STIXGeneral",
    "font.size": 11,
    "image.cmap": "magma",
    "image.interpolation": "nearest",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "mathtext.fontset": "stix",
    "savefig.dpi": 160,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.direction": "in",
    "xtick.labelsize": 9.5,
    "xtick.top": True,
    "ytick.color": INK,
    "ytick.direction": "in",
    "ytick.labelsize": 9.5,
    "ytick.right": True,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Context in which matplotlib has the look of the package; the caller's settings return afterwards."""
    with matplotlib.rc_context(SETTINGS):
        yield


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, whole or not at all."""
    with style(), write_atomically(path) as file:
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0.06)
