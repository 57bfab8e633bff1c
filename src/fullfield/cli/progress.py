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

    A stage first told of with nothing done encloses the stages that follow, until it is done. It is a
    `fullfield._core.progress.Progress`, and a context in which the bars live.
    """

    def __init__(self, console: Console):
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, float, int]] = {}
        self._heard: float | None = None
        self._spoken: dict[str, float] = {}
        self._latest: tuple[str, int, int] | None = None
        self._enclosing: set[str] = set()
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
        self._heard = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, **numbers: float) -> None:
        """Show that `done` of `total` units of `stage` are finished."""
        if done == 0:
            self._enclosing.add(stage)
        text = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items())
        if self._console.is_terminal:
            if stage not in self._tasks:
                # Training that stopped early is finished too.
                for name, task in self._tasks.items():
                    if name not in self._enclosing:
                        self._bars.update(task, total=self._bars.tasks[task].completed)
                self._tasks[stage] = self._bars.add_task(stage, total=total, numbers="")
            self._bars.update(self._tasks[stage], completed=done, total=total, numbers=text)
        else:
            self._say(stage, done, total, text)

    def _say(self, stage: str, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        heard = now if self._heard is None else self._heard
        earlier, at, end = self._latest or (stage, done, total)
        if earlier != stage and at < end and earlier not in self._enclosing:
            self._console.print(
                f"{earlier}: {at}/{end}, stopped early, took {self._end(earlier, heard):.0f} s", highlight=False
            )
        self._latest, self._heard = (stage, done, total), now
        # A stage begins where the one before was last heard of, but what it did until it first spoke may be compilation.
        _, start, first = self._begun.setdefault(stage, (heard, now, done))
        last = self._spoken.setdefault(stage, now)
        if done < total and (done == first or now - last < SECONDS_BETWEEN_LINES):
            return
        self._spoken[stage] = now
        if done >= total:
            clock = f"took {self._end(stage, now):.0f} s"
        else:
            clock = f"ETA {(now - start) * (total - done) / (done - first):.0f} s"
        self._console.print(f"{stage}: {done}/{total}, {clock}  {text}".rstrip(), highlight=False)

    def _end(self, stage: str, now: float) -> float:
        """How long a stage took; whoever tells of it again begins anew."""
        del self._spoken[stage]
        return now - self._begun.pop(stage)[0]
