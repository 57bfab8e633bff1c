"""Tables in Markdown, generated from result files and never typed.

A document marks where a table goes:

    <!-- results: lensing-laptop linear-gaussian-smoke -->
    <!-- end results -->

    <!-- benchmarks -->
    <!-- end benchmarks -->

and `python -m fullfield.report README.md` fills in what `results/<name>.json`, or `results/benchmarks.json` as
`fullfield bench -o` writes it, say. `--check` changes nothing and exits with 1 when a table is out of date.
"""

import html
import json
import pathlib
import re
from collections.abc import Sequence

from fullfield.report.schema import NumberRecord, read_report, RunReport


BLOCK = re.compile(r"(<!-- results: (?P<names>.*?) -->\n).*?(<!-- end results -->)", re.DOTALL)
BENCHMARKS = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- end benchmarks -->)", re.DOTALL)
MARKS = {"": "", "pass": "pass", "warn": "**warn**", "fail": "**FAIL**"}


def format_value(value: float | None, uncertainty: float | None = None) -> str:
    """A number to the digits that its uncertainty allows, to four if it has none, and a dash for none."""
    if value is None:
        return "–"
    if uncertainty:
        digits = max(0, 1 - int(f"{uncertainty:e}".split("e")[1]))
        return f"{value:.{digits}f} ± {uncertainty:.{digits}f}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def number_titles(numbers: Sequence[NumberRecord]) -> list[str]:
    """Titles of the columns between a number's name and its verdict, without those that would be empty."""
    optional = {
        "published": lambda number: number.published is not None,
        "simulations": lambda number: number.simulations,
        "gradients": lambda number: number.gradients,
    }
    return ["value", "bar", *(title for title, filled in optional.items() if any(map(filled, numbers)))]


def number_cells(number: NumberRecord, titles: Sequence[str]) -> list[str]:
    """A number's cells under these titles."""
    made = {
        "value": format_value(number.value, number.uncertainty),
        "bar": number.bar or "–",
        "published": format_value(number.published),
        "simulations": "–" if number.simulations is None else f"{number.simulations:,}",
        "gradients": "–" if number.gradients is None else f"{number.gradients:,}",
    }
    return [made[title] for title in titles]


def markdown_table(report: RunReport) -> str:
    """Numbers of one run as a Markdown table, with its cost below."""
    titles = number_titles(report.numbers)
    lines = [f"| test | {' | '.join(titles)} | verdict |", "|---" * (len(titles) + 2) + "|"]
    for number in report.numbers:
        row = number.name, *number_cells(number, titles), MARKS[number.mark]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |")
    cost, hardware = report.cost, report.hardware
    lines += [
        "",
        f"`{report.command}`: {cost.simulations:,} simulations, {report.total_seconds / 60:.1f} min, "
        f"{cost.peak_memory_gb:.1f} GB on {hardware.get('cores', '?')} cores ({hardware.get('device', '?')}), "
        f"revision {report.revision or report.versions.get('fullfield', '?')}.",
    ]
    return "\n".join(lines)


def folded(name: str, report: RunReport) -> str:
    """One run's table behind a line with its name and verdict, which opens it."""
    summary = f"<summary><b>{html.escape(name)}</b>: {html.escape(report.sentence)}</summary>"
    return f"<details>{summary}\n\n{markdown_table(report)}\n\n</details>"


def fill_tables(text: str, results: pathlib.Path) -> str:
    """Text whose marked blocks hold the tables of the result files that they name.

    Raises:
        DataError: a named result file is missing or malformed.
    """

    def block(match: re.Match) -> str:
        tables = [folded(name, read_report(results / f"{name}.json")) for name in match["names"].split()]
        return match[1] + "\n" + "\n\n".join(tables) + "\n\n" + match[3]

    def benchmarks(match: re.Match) -> str:
        return match[1] + "\n" + benchmark_table(json.loads((results / "benchmarks.json").read_text())) + "\n\n" + match[2]

    return BENCHMARKS.sub(benchmarks, BLOCK.sub(block, text))


def format_bar(row: dict) -> str:
    """The bar that a row of a benchmark is held to, and whether it is met."""
    met = {True: "✓", False: "✗", None: "–"}[row.get("met")]
    return f"{row['bar']} {met}" if row.get("bar") else "–"


def benchmark_table(record: dict) -> str:
    """Rows of `fullfield bench` as a Markdown table, with hardware and revision below."""
    lines = ["| what | ours | peer | ratio | bar | note |", "|---|---|---|---|---|---|"]
    for row in (row for rows in record["rows"].values() for row in rows):
        unit = row.get("unit") or ""
        ours, peer = (f"{format_value(row.get(side))} {unit}".strip() for side in ("ours", "peer"))
        ratio = "–" if row.get("ratio") is None else f"{row['ratio']:.3g}×"
        cells = (row["name"], ours, "not measured" if row.get("peer") is None else peer, ratio)
        lines.append("| " + " | ".join((*cells, format_bar(row), row.get("note") or "")) + " |")
    hardware = record["hardware"]
    lines += [
        "",
        f"One core of {hardware.get('device', '?')}, {hardware.get('processor', '')} revision {record.get('revision')}.",
    ]
    return "\n".join(lines)
