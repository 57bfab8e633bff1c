"""Triangle of marginal posteriors, with the truth where it is known."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from getdist import MCSamples
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fullfield.plots.style import BLUE, GREEN, GREY, INK, style, VERMILION


Line = str | tuple[float, tuple[float, ...]]
LEVELS = (0.68, 0.95)
OTHER_LOOKS = ((GREY, "--"), (VERMILION, (0.0, (4.0, 2.0))), (GREEN, "-."))


def corner(
    draws: Float[np.ndarray, "n p"],
    labels: Sequence[str],
    bounds: Sequence[tuple[float, float]],
    *,
    name: str = "posterior",
    truth: Float[np.ndarray, " p"] | None = None,
    others: Mapping[str, Float[np.ndarray, "m p"]] | None = None,
) -> Figure:
    """Draw all one- and two-dimensional marginals, with contours that hold 68 % and 95 % of the probability.

    Densities come from GetDist (Lewis 2019, arXiv:1910.13970), which corrects the kernel estimate at hard prior bounds.
    Panels show where `draws` lie; wider distributions among `others` run out of them.

    Args:
        draws: parameter draws (n, p), drawn filled.
        labels: LaTeX labels without dollar signs.
        bounds: lower and upper hard bound of each parameter, infinite where there is none.
        name: what `draws` are, for the legend.
        truth: parameter values (p,) to mark.
        others: up to three further sets of draws (m, p) by name, drawn as lines.

    Returns:
        A figure with p rows and p columns.
    """
    sets = {name: draws} | dict(others or {})
    looks = ((BLUE, "-"), *OTHER_LOOKS)[: len(sets)]
    p = len(labels)
    limits = [_limits(draws[:, i], bounds[i], None if truth is None else float(truth[i])) for i in range(p)]
    with style(), _silence():
        densities = [_densities(values, labels, bounds) for values in sets.values()]
        side = 1.25 * p + 0.9
        figure = Figure(figsize=(side, side))
        figure.subplots_adjust(
            left=0.75 / side, right=1 - 0.1 / side, bottom=0.7 / side, top=1 - 0.1 / side, wspace=0, hspace=0
        )
        panels = figure.subplots(p, p, squeeze=False)
        for row in range(p):
            for column in range(p):
                panel = panels[row, column]
                if column > row:
                    panel.set_visible(False)
                    continue
                for index, (colour, line) in enumerate(looks):
                    if row == column:
                        _curve(panel, densities[index], row, colour, line)
                    else:
                        _contours(panel, densities[index], column, row, colour, line, filled=index == 0)
                _dress(panel, row, column, labels, limits, truth)
        _legend(figure, sets, looks, truth)
    return figure


def _densities(values, labels, bounds):
    names = [f"p{i}" for i in range(len(labels))]
    ranges = {
        name: [low if np.isfinite(low) else None, high if np.isfinite(high) else None]
        for name, (low, high) in zip(names, bounds, strict=True)
    }
    settings = {"smooth_scale_2D": -1, "smooth_scale_1D": -1, "fine_bins_2D": 128}
    return MCSamples(samples=np.asarray(values, float), names=names, labels=list(labels), ranges=ranges, settings=settings)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """GetDist prints that it removed no burn-in, and warns when a flat density has no natural bandwidth."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _limits(values, bounds, truth):
    low, high = np.percentile(values, (0.1, 99.9))
    low, high = low - 0.12 * (high - low), high + 0.12 * (high - low)
    if truth is not None:
        margin = 0.08 * (high - low)
        low, high = min(low, truth - margin), max(high, truth + margin)
    return max(low, bounds[0]), min(high, bounds[1])


def _curve(panel: Axes, samples: MCSamples, i: int, colour: str, line: Line) -> None:
    density = samples.get1DDensity(f"p{i}")
    panel.plot(density.x, density.P / density.P.max(), color=colour, ls=line)


def _contours(panel: Axes, samples: MCSamples, i: int, j: int, colour: str, line: Line, *, filled: bool) -> None:
    density = samples.get2DDensity(f"p{i}", f"p{j}")
    if density is None:  # GetDist's word for a parameter that does not vary
        return
    levels = sorted(density.getContourLevels(LEVELS))
    if filled:
        colours = [to_rgba(colour, 0.35), to_rgba(colour, 0.85)]
        panel.contourf(density.x, density.y, density.P, [*levels, np.inf], colors=colours)
    panel.contour(density.x, density.y, density.P, levels, colors=[colour], linestyles=[line], linewidths=1.0)


def _dress(panel, row, column, labels, limits, truth):
    panel.set_xlim(*limits[column])
    panel.locator_params(axis="x", nbins=4, prune="both")
    if row == column:
        panel.set_ylim(0, 1.12)
        panel.set_yticks([])
    else:
        panel.set_ylim(*limits[row])
        panel.locator_params(axis="y", nbins=4, prune="both")
    if truth is not None:
        panel.axvline(float(truth[column]), color=INK, lw=0.7, ls=":")
        if row != column:
            panel.axhline(float(truth[row]), color=INK, lw=0.7, ls=":")
            panel.plot(float(truth[column]), float(truth[row]), marker="+", color=INK, ms=8, mew=1.2)
    last = row == len(labels) - 1
    panel.tick_params(axis="x", labelbottom=last, labelrotation=45)
    panel.tick_params(axis="y", labelleft=column == 0 and row > 0)
    if last:
        panel.set_xlabel(f"${labels[column]}$")
        panel.xaxis.set_label_coords(0.5, -0.42)
    if column == 0 and row > 0:
        panel.set_ylabel(f"${labels[row]}$")
        panel.yaxis.set_label_coords(-0.42, 0.5)


def _legend(figure, sets, looks, truth):
    first, *rest = zip(sets, looks, strict=True)
    handles: list[Patch | Line2D] = [Patch(color=to_rgba(first[1][0], 0.85), label=first[0])]
    handles += [Line2D([], [], color=colour, ls=line, label=name) for name, (colour, line) in rest]
    if truth is not None:
        handles.append(Line2D([], [], color=INK, ls=":", lw=0.7, marker="+", ms=8, mew=1.2, label="truth"))
    # Above the diagonal there is room; of few parameters so little that names have to run out of it, to the right.
    few = len(figure.axes) <= 9
    place = (
        {"loc": "upper left", "bbox_to_anchor": (figure.axes[0].get_position().x1 + 0.02, 0.98)}
        if few
        else {"loc": "upper right", "bbox_to_anchor": (0.98, 0.98)}
    )
    figure.legend(handles=handles, fontsize=11, **place)
