"""What `report.json` holds, for every recipe: the schema, and how a run's record is read and written."""

import json
import math
import os
import pathlib
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fullfield._core import DataError, write_atomically


Verdict = Literal["pass", "warn", "fail"]
OF_ONE_POSTERIOR = ("sbc", "coverage", "tarp", "mira", "fom")
"""Tests of a single posterior. A report without any is of a study, in which there is no one posterior to trust."""


def _finite_or_none(value: object) -> object:
    # JSON has neither NaN nor infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberRecord(_Record):
    """One measured number, the bar it is held to, what was published for it, and what it cost."""

    name: str
    value: Number
    uncertainty: Number = None
    bar: str | None = None
    published: Number = None
    verdict: Verdict = "pass"
    simulations: int | None = None
    gradients: int | None = None

    @property
    def mark(self) -> str:
        """The verdict where there was something to judge, nothing for a number that only informs.

        A number without a bar that is NaN fails all the same.
        """
        return self.verdict if self.bar is not None or self.verdict != "pass" else ""


class Cost(_Record):
    """What a run cost: simulator calls, gradients of the simulator, seconds of each stage, memory."""

    simulations: int = Field(ge=0)
    gradients: int = Field(ge=0)
    seconds: dict[str, float]
    peak_memory_gb: float = Field(ge=0)


class RunReport(_Record):
    """The record of a finished run; `report.json` is exactly this.

    `verdict` is the worst among those of `numbers`.
    """

    recipe: str
    scale: str
    seed: int
    verdict: Verdict
    numbers: list[NumberRecord]
    cost: Cost
    versions: dict[str, str]
    revision: str | None
    hardware: dict[str, str | int | float]
    command: str

    @property
    def total_seconds(self) -> float:
        """Wall time of all stages."""
        return sum(self.cost.seconds.values())

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        held = [number for number in self.numbers if number.mark]
        found = _listing([number.name for number in held if number.verdict == self.verdict])
        if not any(number.name.split("/")[0].lower() in OF_ONE_POSTERIOR for number in self.numbers):
            bars = "bar is" if len(held) == 1 else "bars are"
            if self.verdict == "pass":
                return f"Every bar is met: {len(held)} of {len(held)}." if held else "Measured; no number is held to a bar."
            return f"{found} of {len(held)} {bars} {'missed' if self.verdict == 'fail' else 'barely met'}."
        if self.verdict == "fail":
            return f"Do not trust this posterior: {found} of {len(held)} tests failed."
        if self.verdict == "warn":
            return f"This posterior may be trusted with care: {found} of {len(held)} tests deserve a look."
        return f"This posterior can be trusted: it passes all {len(held)} of its tests."


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} ({shown})"


def write_report(path: str | os.PathLike, report: RunReport) -> None:
    """Write `report.json`, whole or not at all."""
    text = json.dumps(report.model_dump(mode="json"), indent=2, allow_nan=False, ensure_ascii=False)
    with write_atomically(path) as file:
        file.write(text.encode() + b"\n")


def read_report(path: str | os.PathLike) -> RunReport:
    """Read and validate a `report.json`.

    Raises:
        DataError: the file does not exist, is no JSON, or differs from the schema; names the first difference.
    """
    path = pathlib.Path(path)
    try:
        return RunReport.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        remedy = "Is the run finished? Continue it with --resume."
        raise DataError(str(path), expected="the report of a finished run", got="no such file", remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(str(path), expected="the schema of report.json", got=f"{place}: {first['msg']}") from error
