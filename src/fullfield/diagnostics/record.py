"""The verdict: numbers, the bars they are held to, and the report that collects them."""

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Literal

import equinox as eqx

from fullfield._core import ConfigurationError, DataError, nearest


Verdict = Literal["pass", "warn", "fail"]
VERDICTS: tuple[Verdict, ...] = ("pass", "warn", "fail")

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ONE_SIDED = re.compile(rf"(<=|>=|<|>)\s*({_NUMBER})")
_INTERVAL = re.compile(rf"in \[({_NUMBER}), ({_NUMBER})\]")


def judge(value: float, bar: str | None) -> Verdict:
    """Verdict of a value on its bar: "pass" or "fail"; without a bar anything finite passes.

    Args:
        value: the number; NaN fails.
        bar: "<= x", ">= x", "< x", "> x", "in [x, y]" or None.

    Raises:
        ConfigurationError: the bar is none of these.
    """
    if bar is None:
        return "fail" if math.isnan(value) else "pass"
    if one_sided := _ONE_SIDED.fullmatch(bar):
        sign, limit = one_sided[1], float(one_sided[2])
        held = {"<=": value <= limit, ">=": value >= limit, "<": value < limit, ">": value > limit}[sign]
    elif interval := _INTERVAL.fullmatch(bar):
        held = float(interval[1]) <= value <= float(interval[2])
    else:
        raise ConfigurationError("bar", expected='"<= x", ">= x", "< x", "> x" or "in [x, y]"', got=repr(bar))
    return "pass" if held else "fail"


class Number(eqx.Module):
    """One named result, what it is held to, and whether it holds.

    Args:
        name: path such as "tarp/uniform/deviation".
        value: the number.
        uncertainty: its standard deviation; for a calibration statistic, the one of an exact posterior.
        bar: condition that `judge` reads, None for a number that only informs.
        published: value of the same quantity in the literature.
        verdict: judged from value and bar unless given; a statistical test gives it, since it also warns.
        simulations: simulator calls that the result cost, None where that says nothing.
        gradients: gradients of the simulator.
    """

    name: str = eqx.field(static=True)
    value: float
    uncertainty: float | None = None
    bar: str | None = eqx.field(static=True, default=None)
    published: float | None = None
    verdict: Verdict = eqx.field(static=True, default="pass")
    simulations: int | None = eqx.field(static=True, default=None)
    gradients: int | None = eqx.field(static=True, default=None)

    def __init__(
        self,
        name: str,
        value: float,
        uncertainty: float | None = None,
        bar: str | None = None,
        published: float | None = None,
        verdict: Verdict | None = None,
        *,
        simulations: int | None = None,
        gradients: int | None = None,
    ):
        self.name, self.bar = name, bar
        self.simulations, self.gradients = simulations, gradients
        self.value = float(value)
        self.uncertainty = None if uncertainty is None else float(uncertainty)
        self.published = None if published is None else float(published)
        self.verdict = judge(self.value, bar) if verdict is None else verdict

    def to_dict(self) -> dict:
        """The fields as JSON has them; a value that is not finite becomes None."""
        return {
            "name": self.name,
            "value": _plain(self.value),
            "uncertainty": _plain(self.uncertainty),
            "bar": self.bar,
            "published": _plain(self.published),
            "verdict": self.verdict,
            "simulations": self.simulations,
            "gradients": self.gradients,
        }


class Report(eqx.Module):
    """Numbers in order, each under a name of its own.

    Args:
        numbers: the numbers.

    Raises:
        DataError: two numbers share a name.
    """

    numbers: tuple[Number, ...]

    def __check_init__(self):
        names = [number.name for number in self.numbers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError("numbers", expected="one number per name", got=f"{', '.join(twice)} twice")

    @property
    def verdict(self) -> Verdict:
        """Worst verdict of the numbers; a report without numbers warns, since nothing was tested."""
        found: set[Verdict] = {number.verdict for number in self.numbers} or {"warn"}
        return max(found, key=VERDICTS.index)

    def __getitem__(self, name: str) -> Number:
        for number in self.numbers:
            if number.name == name:
                return number
        known = [number.name for number in self.numbers]
        raise ConfigurationError("name", expected="a number of this report", got=repr(name), remedy=nearest(name, known))

    def under(self, path: str) -> "Report":
        """The same numbers with a path before their names."""
        return Report(tuple(dataclasses.replace(number, name=f"{path}/{number.name}") for number in self.numbers))

    def to_dict(self) -> dict:
        """Verdict and numbers as JSON has them."""
        return {"verdict": self.verdict, "numbers": [number.to_dict() for number in self.numbers]}

    @classmethod
    def from_dict(cls, content: dict) -> "Report":
        """Inverse of `to_dict`; further keys of a whole report.json are ignored.

        Raises:
            DataError: the content has no list of numbers, or one lacks a field.
        """
        try:
            return cls(
                tuple(
                    Number(
                        entry["name"],
                        math.nan if entry["value"] is None else entry["value"],
                        entry["uncertainty"],
                        entry["bar"],
                        entry["published"],
                        entry["verdict"],
                        simulations=entry.get("simulations"),
                        gradients=entry.get("gradients"),
                    )
                    for entry in content["numbers"]
                )
            )
        except (KeyError, TypeError) as error:
            raise DataError("content", expected="what Report.to_dict wrote", got=f"no {error}") from error


def merge(reports: Iterable[Report]) -> Report:
    """All numbers of several reports in one.

    Raises:
        DataError: two numbers share a name.
    """
    return Report(tuple(number for report in reports for number in report.numbers))


def _plain(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
