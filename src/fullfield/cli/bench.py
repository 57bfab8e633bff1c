"""The benchmarks of a checkout, each in a process of its own on one core."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fullfield._core import ConfigurationError, FullfieldError, Registry, write_atomically
from fullfield.report import format_bar, format_value, hardware, revision, versions


# Affinity is set before JAX is imported, because XLA counts its threads then; no compiled program is kept, because compile
# times are among what is measured.
CHILD = """
import importlib.util, json, os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
spec = importlib.util.spec_from_file_location("benchmark", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
json.dump(module.run(), open(sys.argv[2], "w"))
"""


class BenchmarkError(FullfieldError):
    """A benchmark did not finish."""


def run_benchmarks(names: Sequence[str], output: pathlib.Path | None) -> None:
    """Run benchmarks, print a table of each, and write all rows as JSON if wanted.

    Args:
        names: which; all if empty.
        output: file for the rows, none if not given.

    Raises:
        ConfigurationError: there is no benchmark of this name, or no checkout.
        BenchmarkError: a benchmark did not finish.
    """
    scripts = _scripts()
    chosen = {name: scripts[name] for name in names or scripts}
    console = Console()
    rows: dict[str, list[dict]] = {}
    for name, script in chosen.items():
        with console.status(f"measuring {name}"):
            rows[name] = _measure(name, script)
        console.print(_table(name, rows[name]))
    if output:
        record = {"rows": rows, "hardware": hardware(), "versions": versions(), "revision": revision()}
        with write_atomically(output) as file:
            file.write(json.dumps(record, indent=2).encode() + b"\n")


def _scripts() -> Registry[pathlib.Path]:
    checkout = pathlib.Path(__file__).parents[3] / "benchmarks"
    folder = checkout if checkout.is_dir() else pathlib.Path("benchmarks")
    scripts = {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}
    if not scripts:
        raise ConfigurationError(
            "bench", expected="the folder `benchmarks` of a checkout", got="none",
            remedy="Clone the repository, `pip install -e .[bench]` in it, and run the command there.",
        )  # fmt: skip
    return Registry("benchmark", scripts)


def _measure(name: str, script: pathlib.Path) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "rows.json"
        environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(script), str(result)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not result.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkError(name, expected="rows of measurements", got=last, remedy=f"Run {script} to see more.")
        return json.loads(result.read_text())


def _table(name: str, rows: Sequence[dict]) -> Table:
    table = Table(title=name, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    for title in ("ours", "peer", "ratio", "bar"):
        table.add_column(title, justify="right")
    table.add_column("note", style="dim")
    for row in rows:
        unit = row.get("unit") or ""
        cells = [f"{format_value(row['ours'])} {unit}".strip()]
        cells.append(f"{format_value(row['peer'])} {unit}".strip() if row.get("peer") is not None else "not measured")
        cells.append(f"{row['ratio']:.3g}×" if row.get("ratio") is not None else "–")
        table.add_row(*map(escape, (row["name"], *cells, format_bar(row), row.get("note") or "")))
    return table
