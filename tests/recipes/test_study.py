"""A study of cheap cells: what is finished is not measured again, and every number stands in the report with its cost."""

import contextlib
import json

import pytest

from fullfield.diagnostics import Number, Report
from fullfield.recipes import Configuration, run_study, Study
from fullfield.recipes.rundir import create, resume
from fullfield.recipes.study import Cell, Measured
from fullfield.report import read_report


def study(calls, *, broken=None, inputs=1):
    def measure(name):
        def cell(folder, progress):
            calls.append(name)
            folder.mkdir(exist_ok=True)
            if name == broken:
                raise KeyboardInterrupt
            return Measured({"distance": len(name) / 10}, simulations=100, gradients=7)

        return cell

    def judge(found):
        return Report(tuple(Number(f"distance/{name}", one.values["distance"], bar="<= 0.35") for name, one in found.items()))

    return Study([Cell(name, (name, inputs), measure(name), effort=len(name)) for name in ("a/1", "a/22", "b/1")], judge)


def test_every_cell_is_measured_once_and_reported(tmp_path):
    calls, told = [], []
    directory = create(tmp_path / "run", Configuration())
    report = run_study(study(calls), Configuration(), directory, progress=lambda *stage, **numbers: told.append(stage))
    assert calls == ["a/1", "a/22", "b/1"]
    # In units of their effort, or the time left would be a guess from the dearest.
    assert [stage for stage in told if stage[0] == "measuring"] == [("measuring", done, 10) for done in (0, 3, 7, 10)]
    assert report == read_report(directory.report)
    assert [number.verdict for number in report.numbers] == ["pass", "fail", "pass"]
    assert report.verdict == "fail"
    assert report.sentence == "1 (distance/a/22) of 3 bars are missed."
    assert (report.cost.simulations, report.cost.gradients) == (300, 21)
    assert "distance/a/22" in directory.page.read_text()


def test_a_stopped_study_continues_and_other_inputs_are_measured_again(tmp_path):
    calls, told = [], []
    with pytest.raises(KeyboardInterrupt):
        run_study(study(calls, broken="b/1"), Configuration(), create(tmp_path / "run", Configuration()))
    again = resume(tmp_path / "run", Configuration())
    report = run_study(study(calls), Configuration(), again, progress=lambda *stage, **numbers: told.append(stage))
    assert calls == ["a/1", "a/22", "b/1", "b/1"]
    assert told == [("measuring", 0, 3), ("measuring", 3, 3)], "what is finished says nothing about the time that is left"
    assert len(report.numbers) == 3
    run_study(study(calls, inputs=2), Configuration(), resume(tmp_path / "run", Configuration()))
    assert calls[4:] == ["a/1", "a/22", "b/1"]


def test_the_report_names_every_revision_that_measured(tmp_path, monkeypatch):
    for revision, broken in (("aaa", "b/1"), ("bbb", None)):
        monkeypatch.setattr("fullfield.recipes.rundir.revision", lambda revision=revision: revision)
        monkeypatch.setattr("fullfield.recipes.reporting.revision", lambda revision=revision: revision)
        with contextlib.suppress(KeyboardInterrupt):
            report = run_study(study([], broken=broken), Configuration(), resume(tmp_path / "run", Configuration()))
    assert report.revision == "aaa, bbb"


@pytest.mark.parametrize("inputs", [1, 2])
def test_half_finished_work_is_continued_only_with_the_same_inputs(tmp_path, inputs):
    def one(stop, number):
        seen = []

        def measure(folder, progress):
            seen.append((folder / "half").exists())
            folder.mkdir(exist_ok=True)
            (folder / "half").touch()
            if stop:
                raise KeyboardInterrupt
            return Measured({"x": 1.0})

        return Study([Cell("a/1", number, measure)], lambda found: Report((Number("x", found["a/1"].values["x"]),))), seen

    stopped, _ = one(True, 1)
    with pytest.raises(KeyboardInterrupt):
        run_study(stopped, Configuration(), create(tmp_path / "run", Configuration()))
    continued, seen = one(False, inputs)
    run_study(continued, Configuration(), resume(tmp_path / "run", Configuration()))
    assert seen == [inputs == 1]


def test_a_study_may_grow(tmp_path):
    calls = []
    run_study(study(calls), Configuration(), create(tmp_path / "run", Configuration()))
    larger = Configuration(scale="larger")
    whole = study(calls)
    grown = Study([*whole.cells, Cell("b/2", 0, lambda *_: Measured({"distance": 0.1}, simulations=5))], whole.judge)
    directory = resume(tmp_path / "run", larger)
    report = run_study(grown, larger, directory)
    assert calls == ["a/1", "a/22", "b/1"], "nothing is measured twice"
    assert (len(report.numbers), report.cost.simulations) == (4, 305)
    assert "scale: larger" in directory.configuration.read_text()


def test_a_damaged_cell_is_measured_again(tmp_path):
    calls = []
    directory = create(tmp_path / "run", Configuration())
    run_study(study(calls), Configuration(), directory)
    directory.checkpoint("a.22.json").write_text(json.dumps({"values": {"distance": 0.0}, "simulations": 1, "gradients": 1}))
    report = run_study(study(calls), Configuration(), resume(tmp_path / "run", Configuration()))
    assert calls[3:] == ["a/22"]
    assert report.numbers[1].verdict == "fail"


def test_a_plan_counts_cells_by_group():
    assert study([]).plan() == {"a": "2 measurements", "b": "1 measurement"}
