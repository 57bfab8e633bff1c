"""Accuracy against cost."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fullfield.plots.style import GREY, INK, PALE, style


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
            # Colours come round after six curves, markers after eight.
            for number, (name, (x, y, errors)) in enumerate(curves.items()):
                bars = None if any(error is None for error in errors) else np.asarray(errors, float)
                dashes, marker = ("-", "--")[number // 6 % 2], MARKERS[number % len(MARKERS)]
                panel.errorbar(x, y, bars, marker=marker, ls=dashes, ms=5, capsize=2, label=name)
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
            panel.legend(loc="best")
        axes[0].set_ylabel(label)
    return figure


def accuracy_rows(
    methods: Mapping[str, Mapping[str, tuple[float, float | None]]],
    *,
    label: str = "C2ST",
    published: Mapping[str, float] | None = None,
    bars: Mapping[str, float] | None = None,
    exact: float = 0.5,
    better: Literal["lower", "higher"] = "lower",
) -> Figure:
    """Draw the accuracy of several methods task by task.

    Args:
        methods: by name of the method, by task: accuracy and its standard error or None.
        label: what the accuracy is.
        published: best published accuracy by task, an open diamond.
        bars: what each task is held to, a vertical tick.
        exact: what an exact method reaches, a solid line.
        better: whether lower or higher values are better; what lies beyond the exact one is not shown if lower are.

    Returns:
        A figure with one row per task, in the order of their first method.
    """
    tasks = list(dict.fromkeys(task for values in methods.values() for task in values))
    with style():
        figure = Figure(figsize=(6.4, 0.42 * len(tasks) + 1.1), layout="constrained")
        panel = figure.subplots()
        panel.axvline(exact, color=INK, lw=0.8)
        offsets = np.linspace(-0.15, 0.15, len(methods)) if len(methods) > 1 else [0.0]
        for marker, offset, (name, values) in zip(MARKERS * len(methods), offsets, methods.items(), strict=False):
            rows = [tasks.index(task) + offset for task in values]
            errors = [error or 0.0 for _, error in values.values()]
            panel.errorbar([v for v, _ in values.values()], rows, xerr=errors, marker=marker, ms=5, ls="", label=name)
        for name, values, settings in (
            ("published", published or {}, {"marker": "D", "mfc": "none", "mec": GREY, "ms": 5}),
            ("bar", bars or {}, {"marker": "|", "mec": INK, "ms": 13, "mew": 1.2}),
        ):
            known = {task: value for task, value in values.items() if task in tasks}
            if known:
                panel.plot(list(known.values()), [tasks.index(task) for task in known], ls="", label=name, **settings)
        panel.set_yticks(range(len(tasks)), [task.replace("_", " ") for task in tasks])
        panel.set_ylim(len(tasks) - 0.5, -0.5)
        if better == "lower":
            panel.set_xlim(left=exact - 0.02)
        panel.grid(axis="y", color=PALE, lw=0.5)
        panel.set_axisbelow(True)
        panel.set_xlabel(label)
        figure.legend(loc="outside upper center", ncols=len(methods) + 2, fontsize=9.5)
    return figure
