"""Progress of long stages on the terminal: bars with an ETA, or plain lines where nobody watches a terminal."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


SECONDS_BETWEEN_LINES = 15.0


class ProgressBars:
    """Draws a bar per stage; in a log file, writes a line per stage now and then instead.

    It is a `fullfield._core.progress.Progress`, and a context in which the bars live.
    """

    def __init__(self, console: Console):
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._spoken: dict[str, float] = {}
        self._latest: tuple[str, int, int] | None = None
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=26),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[numbers]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "ProgressBars":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, **numbers: float) -> None:
        """Show that `done` of `total` units of `stage` are finished."""
        text = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items())
        if self._console.is_terminal:
            if stage not in self._tasks:
                # Training that stopped early is finished too.
                for task in self._bars.tasks:
                    self._bars.update(task.id, total=task.completed)
                self._tasks[stage] = self._bars.add_task(stage, total=total, numbers="")
            self._bars.update(self._tasks[stage], completed=done, total=total, numbers=text)
        else:
            self._say(stage, done, total, text)

    def _say(self, stage: str, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if self._latest and self._latest[0] != stage and self._latest[1] < self._latest[2]:
            earlier, at, end = self._latest
            seconds = now - self._begun[earlier][0]
            self._console.print(f"{earlier}: {at}/{end}, stopped early, took {seconds:.0f} s", highlight=False)
        self._latest = stage, done, total
        start, first = self._begun.setdefault(stage, (now, done))
        last = self._spoken.setdefault(stage, now)
        if done < total and now - last < SECONDS_BETWEEN_LINES:
            return
        self._spoken[stage] = now
        remaining = (now - start) * (total - done) / (done - first) if done > first else float("nan")
        clock = f"took {now - start:.0f} s" if done >= total else f"ETA {remaining:.0f} s"
        self._console.print(f"{stage}: {done}/{total}, {clock}  {text}".rstrip(), highlight=False)
