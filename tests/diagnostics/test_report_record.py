import json
import math

import pytest

from fullfield._core import ConfigurationError, DataError
from fullfield.diagnostics import Budget, judge, merge, Number, Report


@pytest.mark.parametrize(
    ("value", "bar", "verdict"),
    [
        (0.54, "<= 0.54", "pass"),
        (0.55, "<= 0.54", "fail"),
        (2520.0, ">= 2.4e3", "pass"),
        (0.1, "< .1", "fail"),
        (0.11, "> 1e-1", "pass"),
        (-0.2, "in [-0.1, 0.1]", "fail"),
        (0.1, "in [-0.1, 0.1]", "pass"),
        (3.0, None, "pass"),
        (math.nan, None, "fail"),
        (math.nan, "<= 1", "fail"),
        (math.nan, "in [0, 1]", "fail"),
    ],
)
def test_bars_are_read_as_they_are_written(value, bar, verdict):
    assert judge(value, bar) == verdict
    assert Number("x", value, bar=bar).verdict == verdict


@pytest.mark.parametrize("bar", ["0.54", "=< 1", "in (0, 1)", "<= high", ""])
def test_unreadable_bar_is_refused(bar):
    with pytest.raises(ConfigurationError, match="bar"):
        judge(1.0, bar)


def test_verdict_is_the_worst_and_silence_is_no_pass():
    good, bad = Number("good", 1.0), Number("bad", 2.0, bar="<= 1")
    warned = Number("warned", 2.0, verdict="warn")
    assert Report((good,)).verdict == "pass"
    assert Report((warned, good)).verdict == "warn"
    assert merge((Report((good, bad)), Report((warned,)))).verdict == "fail"
    assert Report(()).verdict == "warn"


def test_json_round_trip():
    report = Report(
        (
            Number("fom", 2400.0, 12.0, ">= 2300", 2520.0),
            Number("lost", math.inf, bar="<= 1"),
            Number("warned", 0.3, bar=">= 0.1", verdict="warn"),
        )
    )
    text = json.dumps(report.to_dict(), allow_nan=False)
    again = Report.from_dict(json.loads(text))
    assert again.to_dict() == report.to_dict()
    assert again.verdict == report.verdict == "fail"
    assert again["fom"].published == 2520.0
    assert math.isnan(again["lost"].value)


def test_report_names_are_unique_and_misspelling_is_answered():
    with pytest.raises(DataError, match="fom twice"):
        merge((Report((Number("fom", 1.0),)), Report((Number("fom", 2.0),))))
    with pytest.raises(ConfigurationError, match="Did you mean 'figure'"):
        Report((Number("figure", 1.0),))["figur"]
    with pytest.raises(DataError, match="content"):
        Report.from_dict({"numbers": [{"name": "x"}]})


def test_budget_is_shared_and_orders_verdicts():
    budget = Budget(fail=0.01, warn=0.05).shared(10)
    assert budget.fail == pytest.approx(0.001)
    assert [budget.verdict(p) for p in (0.2, 0.003, 0.0005, math.nan)] == ["pass", "warn", "fail", "fail"]
    with pytest.raises(ConfigurationError):
        Budget(fail=0.1, warn=0.05)
