import json
import re
import shutil
import subprocess

import jax
import pytest
from pydantic import ValidationError

from fullfield import report as room
from fullfield._core import DataError
from fullfield.report import (
    Cost,
    fill_tables,
    format_value,
    markdown_table,
    NumberRecord,
    Picture,
    read_report,
    RunReport,
    write_report,
)


KEYS = {"recipe", "scale", "seed", "verdict", "numbers", "cost", "versions", "revision", "hardware", "command"}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def make_report(**changes):
    values = {
        "recipe": "linear-gaussian", "scale": "smoke", "seed": 1, "verdict": "pass",
        "numbers": [
            NumberRecord(name="C2ST", value=0.507, uncertainty=0.004, bar="<= 0.52", verdict="pass"),
            NumberRecord(name="fom/a-b", value=2431.0, published=2520.0, verdict="pass"),
        ],
        "cost": Cost(simulations=1500, gradients=0, seconds={"simulate": 2.0, "compress": 100.0}, peak_memory_gb=1.25),
        "versions": {"fullfield": "0.1.0"}, "revision": None, "hardware": {"cores": 2, "device": "1 × cpu"},
        "command": "fullfield run linear-gaussian --scale smoke",
    }  # fmt: skip
    return RunReport(**(values | changes))


def test_json_has_exactly_the_agreed_keys(tmp_path):
    path = tmp_path / "report.json"
    write_report(path, make_report())
    record = json.loads(path.read_text())
    assert set(record) == KEYS
    assert set(record["numbers"][0]) == {
        "name", "value", "uncertainty", "bar", "published", "verdict", "simulations", "gradients"
    }  # fmt: skip
    assert set(record["cost"]) == {"simulations", "gradients", "seconds", "peak_memory_gb"}
    assert read_report(path) == make_report()


def test_what_is_not_finite_becomes_null(tmp_path):
    number = NumberRecord(name="broken", value=float("nan"), uncertainty=float("inf"), bar="<= 1", verdict="fail")
    write_report(tmp_path / "report.json", make_report(numbers=[number], verdict="fail"))
    assert json.loads((tmp_path / "report.json").read_text())["numbers"][0]["value"] is None


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "JSON"), ('{"recipe": "a"}', "scale"), (None, "no such file"), ('{"extra": 1}', "recipe")],
)
def test_malformed_records_are_refused(tmp_path, text, word):
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=word):
        read_report(path)


def test_unknown_verdicts_are_refused():
    with pytest.raises(ValidationError):
        make_report(verdict="good")


def test_the_sentence_tells_the_verdict():
    assert "can be trusted" in make_report().sentence
    failed = make_report(numbers=[NumberRecord(name="TARP", value=0.4, bar="<= 0.1", verdict="fail")], verdict="fail").sentence
    assert "Do not trust" in failed
    assert "TARP" in failed
    warned = make_report(numbers=[NumberRecord(name="SBC", value=0.4, bar="<= 0.1", verdict="warn")], verdict="warn").sentence
    assert "with care" in warned


def test_the_sentence_of_a_study_speaks_of_bars():
    def of(verdict, *bars):
        numbers = [NumberRecord(name=f"c2st/{i}", value=0.6, bar=bar, verdict=verdict) for i, bar in enumerate(bars)]
        return make_report(numbers=numbers, verdict=verdict).sentence

    assert of("pass", "<= 0.7", "<= 0.8", None) == "Every bar is met: 2 of 2."
    assert of("pass", None) == "Measured; no number is held to a bar."
    assert of("fail", "<= 0.5") == "1 (c2st/0) of 1 bar is missed."
    assert of("warn", "<= 0.59", "<= 0.59") == "2 (c2st/0, c2st/1) of 2 bars are barely met."


def test_a_number_without_a_bar_that_is_nan_is_no_reason_for_trust():
    broken = NumberRecord(name="fom/a-b", value=float("nan"), verdict="fail")
    report = make_report(numbers=[*make_report().numbers, broken], verdict="fail")
    assert report.sentence == "Do not trust this posterior: 1 (fom/a-b) of 2 tests failed."
    assert "| fom/a-b | – | – | – | **FAIL** |" in markdown_table(report)


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.50712, 0.0042, "0.5071 ± 0.0042"), (2431.2, 53.0, "2431 ± 53"), (-1.03, 0.21, "-1.03 ± 0.21"), (None, None, "–"),
        (12345.6, None, "12,346"), (0.31560, None, "0.3156"), (0.0, None, "0"), (-25000.0, None, "-25,000"),
    ],
)  # fmt: skip
def test_digits_follow_the_uncertainty(value, uncertainty, text):
    assert format_value(value, uncertainty) == text


def test_costs_stand_beside_their_numbers_where_there_are_any():
    numbers = [NumberRecord(name="c2st/a", value=0.5, simulations=1000, gradients=176_000), NumberRecord(name="b", value=1.0)]
    table = markdown_table(make_report(numbers=numbers))
    assert "| test | value | bar | simulations | gradients | verdict |" in table
    assert "| c2st/a | 0.5 | – | 1,000 | 176,000 |  |" in table
    assert "| b | 1 | – | – | – |  |" in table
    assert "simulations |" not in markdown_table(make_report())


def test_tables_are_generated_between_their_marks(tmp_path):
    write_report(tmp_path / "linear-gaussian-smoke.json", make_report())
    before = "intro\n<!-- results: linear-gaussian-smoke -->\nstale 0.9\n<!-- end results -->\noutro\n"
    after = fill_tables(before, tmp_path)
    assert "| C2ST | 0.5070 ± 0.0040 | <= 0.52 | – | pass |" in after
    assert "| fom/a-b | 2431 | – | 2520 |  |" in after
    assert "stale" not in after
    assert after.startswith("intro\n")
    assert after.endswith("outro\n")
    assert fill_tables(after, tmp_path) == after
    with pytest.raises(DataError, match=r"nowhere\.json"):
        fill_tables("<!-- results: nowhere -->\n<!-- end results -->", tmp_path)


def test_the_page_carries_everything_inside_itself(tmp_path):
    picture = tmp_path / "maps.png"
    picture.write_bytes(PIXEL)
    report = make_report(command="fullfield run <script>alert(1)</script>")
    room.write_page(
        tmp_path / "report.html", report, summary="What it does.",
        intervals=[room.Interval("width", 1.0, 0.1, 1.2), room.Interval("slope", -3.0, 0.5)],
        pictures=[Picture("Observation", picture, "The observed maps.")],
        citations={"a": "@misc{a, title = {T & U}}"}, configuration="seed: 1\n",
    )  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    sources = re.findall(r"(?:src|href)\s*=\s*['\"]([^'\"]*)|url\(([^)]*)\)|@import", page)
    assert sources
    assert all(source[0].startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page
    assert "T &amp; U" in page
    assert "2.0 σ" in page
    assert page.index("can be trusted") < page.index("data:image")


def test_a_study_has_no_empty_section_of_parameters(tmp_path):
    room.write_page(
        tmp_path / "report.html", make_report(), summary="", intervals=[], pictures=[], citations={}, configuration="",
    )  # fmt: skip
    assert "<h2>Parameters" not in (tmp_path / "report.html").read_text()


def test_the_surroundings_are_told():
    hardware = room.hardware()
    assert hardware["cores"] >= 1
    assert hardware["memory_gb"] > 0
    assert room.versions()["jax"] == jax.__version__
    assert 0.01 < room.peak_memory_gb() < 1000


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_revision_is_our_own_and_nobody_elses(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    package = tmp_path / "fullfield"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "somebody's repository")
    monkeypatch.setattr("fullfield.__file__", str(package / "__init__.py"))
    assert room.revision() is None
    git("add", ".")
    git("commit", "-q", "-m", "ours")
    assert re.fullmatch(r"[0-9a-f]{12}", room.revision() or "")
    (package / "__init__.py").write_text("changed = True")
    assert (room.revision() or "").endswith("-dirty")
