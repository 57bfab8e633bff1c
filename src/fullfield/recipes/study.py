"""Studies: many measurements of the same kind, each resumable by itself, judged together."""

import json
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fullfield import plots
from fullfield._core import digest, make_room, write_atomically
from fullfield._core.progress import Progress, silent
from fullfield.diagnostics import Report
from fullfield.recipes.artefacts import write_json
from fullfield.recipes.citations import bibliography
from fullfield.recipes.configuration import Configuration
from fullfield.recipes.problem import Illustration
from fullfield.recipes.reporting import record
from fullfield.recipes.rundir import RunDirectory, Work
from fullfield.report import Picture, RunReport, write_page, write_report


@dataclass(frozen=True)
class Measured:
    """What one cell found, and what that cost.

    Args:
        values: numbers by name.
        simulations: simulator calls.
        gradients: gradients of the simulator.
    """

    values: Mapping[str, float]
    simulations: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Cell:
    """One measurement of a study.

    Args:
        name: path such as "two_moons/npe/1000", unique in the study; what stands before the last slash names its group.
        inputs: what decides its result; a finished cell with other inputs is measured again.
        measure: what measures it, given a folder for its own checkpoints, which need not exist, and whom to tell of progress.
        effort: about how long it takes beside the others, so that the study knows when it will be done.
    """

    name: str
    inputs: object
    measure: Callable[[pathlib.Path, Progress], Measured]
    effort: int = 1


@dataclass(frozen=True)
class Study:
    """Measurements in the order in which they are made, and what they say together.

    Args:
        cells: the measurements.
        judge: numbers with their bars, from what all cells found, by name.
        illustrate: figures, from the same, and from what cells left in the run directory.
    """

    cells: Sequence[Cell]
    judge: Callable[[Mapping[str, Measured]], Report]
    illustrate: Callable[[Mapping[str, Measured], RunDirectory], list[Illustration]] = field(default=lambda *_: [])

    def plan(self) -> dict[str, str]:
        """By group of cells, how many there are."""
        groups: dict[str, int] = {}
        for cell in self.cells:
            group = cell.name.rpartition("/")[0]
            groups[group] = groups.get(group, 0) + 1
        return {group: f"{count} measurement{'s' if count > 1 else ''}" for group, count in groups.items()}


def run_study(
    study: Study,
    configuration: Configuration,
    directory: RunDirectory,
    *,
    progress: Progress = silent,
    command: str = "fullfield.recipes.run_study",
    summary: str = "",
    citations: Sequence[str] = (),
) -> RunReport:
    """Make every measurement that is not finished, and report; a stopped study continues where it was.

    Args:
        study: what to measure.
        configuration: settings.
        directory: a run directory.
        progress: told about every cell, and by the cells themselves.
        command: what the user typed, for the report.
        summary: one line for the report that says what is done.
        citations: BibTeX keys of the methods and tasks.

    Returns:
        The record of the study.

    Raises:
        ConfigurationError: another process writes to the directory.
    """
    with directory.locked():
        # What is finished takes no time, and would make the time that is left look short.
        efforts = [0 if _finished(cell, directory) else cell.effort for cell in study.cells]
        found, done, total = {}, 0, sum(efforts)
        for cell, effort in zip(study.cells, efforts, strict=True):
            if effort:
                progress("measuring", done, total)
            make_room()
            found[cell.name] = _measure(cell, directory, progress)
            done += effort
        if total:
            progress("measuring", total, total)
        start = time.perf_counter()
        pictures = study.illustrate(found, directory)
        for picture in pictures:
            plots.save_figure(picture.figure, directory.figure(picture.name))
        entries = bibliography(citations)
        with write_atomically(directory.citations) as file:
            file.write(("\n\n".join(entries.values()) + "\n").encode())
        report = record(configuration, directory, study.judge(found), command=command, seconds=time.perf_counter() - start)
        write_page(
            directory.page, report, summary=summary, intervals=(),
            pictures=[Picture(entry.section, directory.figure(entry.name), entry.caption) for entry in pictures],
            citations=entries, configuration=configuration.to_yaml(),
        )  # fmt: skip
        write_report(directory.report, report)
    return report


def _finished(cell: Cell, directory: RunDirectory) -> bool:
    name = cell.name.replace("/", ".")
    return directory.finished(name, digest(name, cell.inputs))


def _measure(cell: Cell, directory: RunDirectory, progress: Progress) -> Measured:
    name = cell.name.replace("/", ".")
    file, folder = directory.checkpoint(f"{name}.json"), directory.checkpoint(name)

    def work() -> Work:
        _forget_others(folder, digest(cell.inputs))
        measured = cell.measure(folder, progress)
        write_json(
            file, {"values": dict(measured.values), "simulations": measured.simulations, "gradients": measured.gradients}
        )
        return Work((file,), measured.simulations, measured.gradients)

    directory.once(name, cell.inputs, work)
    return Measured(**json.loads(file.read_bytes()))


def _forget_others(folder: pathlib.Path, inputs: str) -> None:
    """Half-finished work is continued if it is of the same inputs, and else begun anew."""
    begun = folder.with_name(f"{folder.name}.begun")
    if begun.exists() and begun.read_text() != inputs:
        shutil.rmtree(folder, ignore_errors=True)
    with write_atomically(begun) as out:
        out.write(inputs.encode())
