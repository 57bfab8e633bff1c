"""One self-contained HTML page that a person likes to read."""

import base64
import html
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fullfield._core import write_atomically
from fullfield.report.schema import NumberRecord, RunReport
from fullfield.report.table import format_value, number_cells, number_titles


PIXELS = 1.7  # of a picture per pixel of the page, so that it is sharp on dense screens
TESTS = {
    "sbc": "Simulation-based calibration: ranks of the truth among the draws",
    "coverage": "Expected coverage: how often credible regions hold the truth",
    "tarp": "TARP: coverage of balls around random points",
    "mira": "MIRA: do balls of draws predict where the truth is",
    "misspecification": "Misspecification: does the observation lie among the simulations (p-values)",
    "predictive": "Posterior predictive: do data drawn from the posterior look like the observation (p-values)",
    "exact": "Distance from the exact answer",
    "averaged": "The same tests on maps of finer pixels, averaged",
    "c2st": "Classifier two-sample test: can draws be told from the reference",
    "fom": "Figure of merit of pairs of parameters",
}
STYLE = pathlib.Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        section: heading under which it stands; sections appear in the order of their first picture.
        path: PNG file.
        caption: what is to be seen, one or two sentences.
    """

    section: str
    path: pathlib.Path
    caption: str


@dataclass(frozen=True)
class Interval:
    """Marginal posterior of one parameter: label in LaTeX-free text, mean, standard deviation, truth if known."""

    name: str
    mean: float
    deviation: float
    truth: float | None = None


def write_page(
    path: str | os.PathLike,
    report: RunReport,
    *,
    summary: str,
    intervals: Sequence[Interval],
    pictures: Sequence[Picture],
    citations: Mapping[str, str],
    configuration: str,
) -> None:
    """Write `report.html`: one file, with its pictures and its style inside, that loads nothing else.

    Args:
        path: file to write, replaced atomically.
        report: the run's record.
        summary: one line that says what the recipe does.
        intervals: marginal posteriors.
        pictures: figures in reading order.
        citations: BibTeX entries by key.
        configuration: the fully resolved configuration in YAML.
    """
    sections = dict.fromkeys(picture.section for picture in pictures)
    body = [
        _header(report, summary),
        _intervals(intervals),
        *(_section(name, [picture for picture in pictures if picture.section == name]) for name in sections),
        _numbers(report.numbers),
        _cost(report),
        _reproduce(report, configuration),
        _cite(citations),
    ]
    title = f"{report.recipe} · {report.scale} · {report.verdict}"
    document = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )
    with write_atomically(path) as file:
        file.write(document.encode())


def _header(report: RunReport, summary: str) -> str:
    facts = (
        f"seed {report.seed}",
        f"{report.cost.simulations:,} simulations",
        _duration(report.total_seconds),
        f"{report.cost.peak_memory_gb:.1f} GB",
    )
    return (
        f"<header>\n<p class='kicker'>fullfield · {html.escape(report.recipe)} · {html.escape(report.scale)}</p>\n"
        f"<h1 class='{report.verdict}'>{html.escape(report.sentence)}</h1>\n"
        f"<p class='summary'>{html.escape(summary)}</p>\n<p class='facts'>{' · '.join(facts)}</p>\n</header>\n"
    )


def _intervals(intervals: Sequence[Interval]) -> str:
    if not intervals:  # a study has no posterior of its own
        return ""
    known = any(entry.truth is not None for entry in intervals)
    head = "<th>parameter</th><th>posterior</th>" + ("<th>truth</th><th>distance</th>" if known else "")
    rows = []
    for entry in intervals:
        cells = f"<td>{html.escape(entry.name)}</td><td>{format_value(entry.mean, entry.deviation)}</td>"
        if known and entry.truth is not None:
            distance = abs(entry.mean - entry.truth) / entry.deviation
            cells += f"<td>{format_value(entry.truth)}</td><td>{distance:.1f} σ</td>"
        rows.append(f"<tr>{cells}</tr>")
    return f"<h2>Parameters</h2>\n<table class='numbers'>\n<tr>{head}</tr>\n{_lines(rows)}</table>\n"


def _section(name: str, pictures: Sequence[Picture]) -> str:
    figures = []
    for picture in pictures:
        content = picture.path.read_bytes()
        data, caption = base64.b64encode(content).decode(), html.escape(picture.caption)
        width = round(int.from_bytes(content[16:20], "big") / PIXELS)  # where PNG keeps it
        image = f"<img src='data:image/png;base64,{data}' width='{width}' alt='{caption}'>"
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f"<h2>{html.escape(name)}</h2>\n<div class='figures'>\n{_lines(figures)}</div>\n"


def _numbers(numbers: Sequence[NumberRecord]) -> str:
    rows, group = [], ""
    titles = number_titles(numbers)
    for number in numbers:
        test, _, rest = number.name.partition("/")
        if test != group and test in TESTS:
            rows.append(f"<tr><td class='group' colspan='{2 + len(titles)}'>{html.escape(TESTS[test])}</td></tr>")
        group = test
        name = rest.replace("/", " · ") if test in TESTS else number.name
        tail = f"<td><span class='mark {number.mark}'>{number.mark}</span></td>"
        rows.append(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in (name, *number_cells(number, titles))) + tail + "</tr>"
        )
    head = "".join(f"<th>{title}</th>" for title in ("number", *titles, "verdict"))
    return f"<h2>Numbers</h2>\n<table class='numbers'>\n<tr>{head}</tr>\n{_lines(rows)}</table>\n"


def _cost(report: RunReport) -> str:
    stages = [
        f"<tr><td>{html.escape(stage)}</td><td>{_duration(value)}</td></tr>" for stage, value in report.cost.seconds.items()
    ]
    facts = {
        "simulations": f"{report.cost.simulations:,}",
        "gradients of the simulator": f"{report.cost.gradients:,}",
        "peak memory": f"{report.cost.peak_memory_gb:.2f} GB",
        **{key.replace("_", " "): str(value) for key, value in report.hardware.items()},
    }
    rows = [f"<tr><td>{html.escape(key)}</td><td>{html.escape(value)}</td></tr>" for key, value in facts.items()]
    return (
        "<h2>Cost</h2>\n<div class='columns'>\n<table>\n<tr><th>stage</th><th>time</th></tr>\n"
        f"{_lines(stages)}</table>\n<table>\n<tr><th>quantity</th><th></th></tr>\n{_lines(rows)}</table>\n</div>\n"
    )


def _reproduce(report: RunReport, configuration: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"<h2>How to reproduce</h2>\n<pre>{html.escape(report.command)}</pre>\n"
        f"<p>Revision {html.escape(report.revision or 'of the release')}; {html.escape(versions)}.</p>\n"
        f"<details><summary>Configuration, fully resolved</summary>\n<pre>{html.escape(configuration)}</pre>\n</details>\n"
    )


def _cite(citations: Mapping[str, str]) -> str:
    entries = "\n\n".join(citations.values())
    return f"<h2>How to cite</h2>\n<p>Papers behind the methods that ran:</p>\n<pre>{html.escape(entries)}</pre>\n"


def _lines(parts: Sequence[str]) -> str:
    return "".join(f"{part}\n" for part in parts)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
