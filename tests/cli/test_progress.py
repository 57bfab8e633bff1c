import io

import pytest
from rich.console import Console

from fullfield.cli import progress as room
from fullfield.cli.progress import ProgressBars


def test_a_terminal_gets_bars_and_early_stopping_finishes_one():
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, force_terminal=True, width=120)) as progress:
        progress("training", 3, 10, train_loss=1.23456)
        progress("drawing", 1, 2)
        assert [task.finished for task in progress._bars.tasks] == [True, False]
    assert "train loss 1.235" in stream.getvalue()
    assert "ETA" in stream.getvalue()


def test_a_log_file_gets_a_line_now_and_then(monkeypatch):
    clock = iter([-5.0, 0.0, 1.0, 20.0, 60.0])
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, force_terminal=False, width=120)) as progress:
        for done in (0, 1, 20, 60):
            progress("training", done, 60, loss=0.5)
    assert stream.getvalue().splitlines() == [
        "training: 20/60, ETA 40 s  loss 0.5",
        "training: 60/60, took 65 s  loss 0.5",
    ]


def test_a_log_file_tells_of_training_that_stopped_early(monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 9.0])
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, force_terminal=False, width=120)) as progress:
        progress("training", 1, 60)
        progress("training", 2, 60)
        progress("drawing", 1, 2)
    assert stream.getvalue().splitlines() == ["training: 2/60, stopped early, took 6 s"]


@pytest.mark.parametrize("total", [0, 1])
def test_a_stage_with_nothing_to_do_is_done(total):
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, force_terminal=False, width=120)) as progress:
        progress("verifying", total, total)
    assert f"verifying: {total}/{total}" in stream.getvalue()


def test_a_stage_that_begins_with_nothing_done_encloses_others(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 3.0, 10.0, 20.0, 21.0, 24.0, 30.0, 40.0])
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    told = [("measuring", 0, 2), ("training", 1, 3), ("drawing", 1, 1), ("measuring", 1, 2)]
    told += [("training", 1, 3), ("training", 2, 3), ("drawing", 1, 1), ("measuring", 2, 2)]
    with ProgressBars(Console(file=stream, force_terminal=False, width=120)) as progress:
        for stage in told:
            progress(*stage)
    assert stream.getvalue().splitlines() == [
        "training: 1/3, stopped early, took 1 s",
        "drawing: 1/1, took 2 s",
        "training: 2/3, stopped early, took 11 s",
        "drawing: 1/1, took 3 s",
        "measuring: 2/2, took 30 s",
    ]
    with ProgressBars(Console(file=stream, force_terminal=True, width=120)) as bars:
        for stage in told[:3]:
            bars(*stage)
        assert [task.finished for task in bars._bars.tasks] == [False, True, True]
