"""What the commands print."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fullfield.recipes import Recipe, RECIPES
from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Grid
from fullfield.report import number_cells, number_titles, NumberRecord, RunReport


COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


def recipes_table() -> RenderableType:
    """Recipes, one line each, with the cost of every scale."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("recipe", "what it does", "scales and rough time"):
        table.add_column(title)
    for recipe in RECIPES.values():
        scales = ", ".join(f"[bold]{name}[/] {escape(scale.cost)}" for name, scale in recipe.scales.items())
        table.add_row(f"[bold]{recipe.name}[/]", escape(recipe.summary.partition(":")[0].rstrip(".")), scales)
    foot = (
        "Times are for two cores unless a device is named; those of paper scale are estimates. "
        "Run one with: fullfield run RECIPE --scale SCALE"
    )
    return Group(table, Text(foot, style="dim"))


def plan_table(recipe: Recipe, configuration: Configuration, stages: Mapping[str, str]) -> RenderableType:
    """Stages of a valid configuration with their shapes and sizes, and what a run would cost."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage", style="bold")
    table.add_column("what it would do")
    for stage, text in stages.items():
        table.add_row(stage, escape(text))
    return Group(table, Text(f"Valid. {_cost(recipe, configuration)} Nothing was run.", style="green"))


def _cost(recipe: Recipe, configuration: Configuration) -> str:
    from fullfield.recipes.rundir import tell_difference

    scale = f"the {configuration.scale} scale of {recipe.name}"
    # Neither seed nor observation changes how long a run takes.
    given = {name: getattr(configuration, name) for name in ("scale", "seed", "observation") if hasattr(configuration, name)}
    difference = tell_difference(recipe.configure(given), configuration)
    if difference is None:
        return f"Rough time of {scale}: {recipe.scales[configuration.scale].cost}."
    return f"How long it takes is unknown: settings differ from {scale} ({difference})."


def verdict_table(report: RunReport, headline: Sequence[str] = (), grid: Grid | None = None) -> RenderableType:
    """Verdict and cost of a run, its numbers counted by test; those that do not pass are listed one by one.

    Args:
        report: of the run.
        headline: beginnings of the names of numbers that are listed in any case: what the run was made for.
        grid: numbers that are shown as a table.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("tests")
    table.add_column("passed", justify="right")
    counts: dict[str, list[bool]] = {}
    for number in report.numbers:
        parts = number.name.split("/")
        if number.mark:
            counts.setdefault("/".join(parts[:-2]) or parts[0], []).append(number.verdict == "pass")
    for test, passed in counts.items():
        table.add_row(escape(test), f"{sum(passed)} of {len(passed)}")
    wanted = [n for n in report.numbers if n.verdict != "pass" or n.name.startswith(tuple(headline))]
    details = [_numbers(wanted)] if wanted else []
    if grid is not None:
        details.insert(0, _grid(report.numbers, grid))
    return Group(_sentence(report), table, *details, _cost_line(report))


def _grid(numbers: Sequence[NumberRecord], grid: Grid) -> Table:
    rows: dict[str, dict[str, str]] = {}
    for number in numbers:
        name, *place = number.name.split("/")
        if name == grid.name:
            row, column = place
            rows.setdefault(row, {})[column] = number_cells(number, ["value"])[0]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(grid.name, no_wrap=True)
    for column in next(iter(rows.values()), {}):
        table.add_column(escape(column), justify="right")
    table.add_column(escape(grid.source), justify="right")
    for row, cells in rows.items():
        known = " ".join(f"{value:.2f}" for value in grid.published.get(row, ())) or "–"
        table.add_row(escape(row), *map(escape, cells.values()), known)
    return table


def report_table(report: RunReport) -> RenderableType:
    """Verdict, all numbers and cost of a run."""
    return Group(_sentence(report), _numbers(report.numbers), _cost_line(report))


def _numbers(numbers: Sequence[NumberRecord]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("number", overflow="fold")
    titles = number_titles(numbers)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for number in numbers:
        mark = f"[{COLOURS[number.verdict]}]{number.mark}[/]"
        row = (number.name, *(cell.removeprefix("in ") for cell in number_cells(number, titles)))
        table.add_row(*map(escape, row), mark)
    return table


def _sentence(report: RunReport) -> Text:
    return Text(report.sentence, style=f"bold {COLOURS[report.verdict]}")


def _cost_line(report: RunReport) -> Text:
    cost = report.cost
    line = f"{cost.simulations:,} simulations, {report.total_seconds:.0f} s, {cost.peak_memory_gb:.1f} GB"
    return Text(line, style="dim")
