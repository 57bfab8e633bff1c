import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from rich.console import Console

from fullfield import cli
from fullfield.cli.tables import verdict_table
from fullfield.recipes import RECIPES
from fullfield.recipes.recipe import Grid
from fullfield.report import read_report, write_report


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command as the shell does: (exit code, what it printed, what it complained)."""

    def run(*words, columns=200):
        monkeypatch.setattr(sys, "argv", ["fullfield", *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the smoke scale, made by the command in a process of its own."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["run", "linear-gaussian", "--scale", "smoke", "--seed", "7", "-o", "run"]
    code = "import sys; from fullfield import cli; sys.argv = ['fullfield', *sys.argv[1:]]; cli.main()"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=False)
    return folder / "run", done


def test_one_command_goes_from_model_to_verdict(finished):
    directory, done = finished
    assert done.returncode == 0, done.stderr
    assert "can be trusted" in done.stdout
    assert str(directory.name) in done.stdout
    for name in ("config.yaml", "simulations.zarr", "checkpoints", "posterior.npz", "posterior.txt", "posterior.paramnames",
                 "posterior.ranges", "report.json", "report.html", "citations.bib"):  # fmt: skip
        assert (directory / name).exists(), name
    assert {path.stem for path in (directory / "figures").glob("*.png")} >= {
        "observation",
        "corner",
        "training",
        "tarp",
        "ranks",
    }


def test_the_record_tells_everything(finished):
    directory, _ = finished
    report = read_report(directory / "report.json")
    assert (report.recipe, report.scale, report.seed) == ("linear-gaussian", "smoke", 7)
    assert report.command == "fullfield run linear-gaussian --scale smoke --seed 7 -o run"
    epochs = json.loads((directory / "checkpoints" / "compressor.history.json").read_text())["train_loss"]
    assert report.cost.simulations == 200 + 2000 + 400 + 200 + 100 + len(epochs) * 50 * 128
    assert set(report.cost.seconds) >= {"simulate", "compress", "summarise", "draw", "replicate", "report"}
    assert {number.name for number in report.numbers} >= {"exact/score", "exact/c2st", "exact/information", "exact/evidence"}
    assert report.verdict == "pass"


def test_the_configuration_is_fully_resolved_and_runs_again(finished, call):
    directory, _ = finished
    settings = yaml.safe_load((directory / "config.yaml").read_text())
    assert settings["seed"] == 7
    assert settings["posterior"]["training"]["learning_rate"] > 0
    code, _, err = call("run", directory / "config.yaml")
    assert code == 2
    assert "--resume" in err
    assert "--force" in err


def test_the_page_loads_nothing(finished):
    page = (finished[0] / "report.html").read_text()
    sources = re.findall(r"(?:src|href)\s*=\s*['\"]([^'\"]{0,30})", page)
    assert len(sources) >= 6
    assert all(source.startswith("data:") for source in sources)


def test_show_prints_the_verdict(finished, call):
    code, out, _ = call("show", finished[0])
    assert code == 0
    assert "can be trusted" in out
    assert "exact/c2st" in out


def test_cite_prints_bibtex(finished, call):
    code, out, _ = call("cite", finished[0])
    assert code == 0
    assert "@article{alsing2018," in out
    assert "@inproceedings{lemos2023," in out
    assert "@inproceedings{durkan2019," in out


def test_resume_of_another_configuration_names_the_first_difference(finished, call):
    before = (finished[0] / "config.yaml").read_bytes()
    code, _, err = call("run", "linear-gaussian", "--scale", "smoke", "--seed", "8", "-o", finished[0], "--resume")
    assert code == 2
    assert "seed is 7 there and 8 here" in err
    assert (finished[0] / "config.yaml").read_bytes() == before


def test_a_failed_calibration_exits_with_3(call, monkeypatch, tmp_path):
    monkeypatch.setattr("fullfield.cli.run.execute", lambda *_, **__: "fail")
    assert call("run", "linear-gaussian", "-o", tmp_path / "x")[0] == 3
    monkeypatch.setattr("fullfield.cli.run.execute", lambda *_, **__: "warn")
    assert call("run", "linear-gaussian", "-o", tmp_path / "x")[0] == 0


def test_ctrl_c_says_how_to_go_on(call, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fullfield.cli.run.run_pipeline", interrupted)
    code, out, _ = call("run", "linear-gaussian", "--scale", "smoke", "-o", tmp_path / "a b")
    assert code == 130
    assert f"fullfield run '{tmp_path}/a b/config.yaml' --resume" in out


def test_a_resumed_run_reports_the_command_that_started_it(call, monkeypatch, tmp_path):
    told = []

    def interrupted(*_, command, **__):
        told.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr("fullfield.cli.run.run_pipeline", interrupted)
    call("run", "linear-gaussian", "--scale", "smoke", "-o", tmp_path / "run")
    call("run", tmp_path / "run" / "config.yaml", "--resume")
    call("run", tmp_path / "run" / "config.yaml", "--force")
    assert told[0] == told[1] == f"fullfield run linear-gaussian --scale smoke -o {tmp_path}/run"
    assert told[2] == f"fullfield run {tmp_path}/run/config.yaml --force"


def test_a_run_from_python_is_sent_back_there(call, tmp_path):
    (tmp_path / "config.yaml").write_text("recipe: custom\n")
    code, _, err = call("run", tmp_path / "config.yaml", "--resume")
    assert code == 2
    assert "resume=True" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "linear-gausian"], "'linear-gaussian'"),
        (["run", "linear-gaussian", "--scale", "labtop"], "'laptop'"),
        (["run", "linear-gaussian", "--set", "simulations.trainin=3"], "'training'"),
        (["run", "linear-gaussian", "--set", "simulations.training=-3"], "greater than"),
        (["run", "linear-gaussian", "--set", "recipe=lensing"], "recipe"),
        (["run", "linear-gaussian", "--observation", "nowhere.npy"], "nowhere.npy"),
        (["run", "linear-gaussian", "--resume", "--force"], "one of them"),
        (["run", "nowhere.yaml"], "no such file"),
        (["check", "linear-gaussian", "--set", "compressor.network=resnet"], "resnet18"),
        (["check", "linear-gaussian", "--set", "model.data=2"], "n_data"),
        (["show", "nowhere"], "nowhere"),
        (["cite", "nowhere"], "nowhere"),
        (["bench", "nothing"], "nothing"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(call, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*words)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_observations_of_the_wrong_kind_are_refused_before_anything_runs(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = {
        "shape": (np.ones(23), "shape (24,)"),
        "nan": (np.where(np.arange(24) == 3, np.nan, np.arange(24.0)), "NaN"),
        "flat": (np.ones(24), "vary"),
        "text": (np.array(["a"] * 24), "real numbers"),
    }
    for name, (values, said) in bad.items():
        np.save(f"{name}.npy", values)
        code, _, err = call("run", "linear-gaussian", "--observation", f"{name}.npy", "-o", name)
        assert code == 2
        assert said in err
        assert not pathlib.Path(name).exists()
    pathlib.Path("broken.npy").write_bytes(b"\x93NUMPY")
    assert call("run", "linear-gaussian", "--observation", "broken.npy")[0] == 2


def test_list_gives_every_recipe_and_its_scales_a_line(call):
    code, out, _ = call("list", columns=100)
    assert code == 0
    for recipe in RECIPES.values():
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [recipe.name])
        assert all(f"{name} {scale.cost}" in line for name, scale in recipe.scales.items())


def test_check_prints_the_plan_and_runs_nothing(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("check", "linear-gaussian", "--set", "simulations.training=12345")
    assert code == 0
    assert "34,845 data sets of 24" in out
    assert "unknown: settings differ from the laptop scale of linear-gaussian" in out
    assert "simulations.training is 500 there and 12345 here" in out
    assert "Nothing was run" in out
    assert list(tmp_path.iterdir()) == []


def test_check_takes_a_scale_and_tells_the_time_of_a_preset(call):
    code, out, _ = call("check", "linear-gaussian", "--scale", "smoke", "--set", "seed=5")
    assert code == 0
    assert "2,800 data sets of 24" in out
    assert f"Rough time of the smoke scale of linear-gaussian: {RECIPES['linear-gaussian'].scales['smoke'].cost}." in out


def test_help_names_the_published_mock(call):
    assert "published-mock" in call("run", "--help")[1]


def test_check_reads_a_file(call, tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: linear-gaussian\nscale: smoke\nmodel: {data: 30}\n")
    code, out, _ = call("check", tmp_path / "mine.yaml")
    assert code == 0
    assert "data sets of 30" in out
    code, _, err = call("run", tmp_path / "mine.yaml", "--scale", "laptop")
    assert code == 2
    assert "--scale" in err


def test_bench_measures_and_says_what_it_could_not(call, tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    row = '{"name": "maps", "ours": 1.5, "peer": None, "ratio": None, "unit": "ms", "note": "", "bar": ">= 25x", "met": False}'
    (folder / "maps.py").write_text(f"import os\ndef run():\n    return [{row} | {{'cores': len(os.sched_getaffinity(0))}}]\n")
    (folder / "broken.py").write_text("def run():\n    raise ValueError('no peer here')\n")
    monkeypatch.setattr("fullfield.cli.bench.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("bench", "maps", "-o", "rows.json")
    assert code == 0
    assert "not measured" in out
    assert "✗" in out
    rows = json.loads(pathlib.Path("rows.json").read_text())["rows"]["maps"]
    assert rows[0]["ours"] == 1.5
    assert rows[0]["cores"] == 1
    code, _, err = call("bench", "broken")
    assert code == 2
    assert "no peer here" in err


def test_help_answers_without_importing_jax():
    code = "import sys; from fullfield.cli import main; sys.argv = ['fullfield', '--help']\ntry: main()\n"
    code += "except SystemExit: assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_show_of_a_failed_run_is_red_and_plain(call, finished, tmp_path):
    report = read_report(finished[0] / "report.json")
    broken = [number.model_copy(update={"verdict": "fail"}) for number in report.numbers[:1]]
    write_report(tmp_path / "report.json", report.model_copy(update={"numbers": broken, "verdict": "fail"}))
    code, out, _ = call("show", tmp_path)
    assert code == 0
    assert "Do not trust" in out


def test_a_run_ends_with_its_tests_counted_and_the_failed_ones_named(finished):
    report = read_report(finished[0] / "report.json")
    held = [number for number in report.numbers if number.bar and number.name.startswith("sbc/")]
    numbers = [number.model_copy(update={"verdict": "fail"}) if number is held[0] else number for number in report.numbers]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(verdict_table(report.model_copy(update={"numbers": numbers, "verdict": "fail"})))
    lines = console.export_text().splitlines()
    assert f"{len(held) - 1} of {len(held)}" in next(line for line in lines if line.strip().startswith("sbc "))
    assert [line.split()[0] for line in lines if line.rstrip().endswith("fail")] == [held[0].name]


def test_a_run_ends_with_its_grid_beside_published_numbers_and_what_they_are_of(finished):
    report = read_report(finished[0] / "report.json")
    one = report.numbers[0].model_copy(update={"bar": None, "verdict": "pass", "published": None})
    values = {
        "kept/vmim/a-b": (0.93, 0.012),
        "kept/vmim/a-c": (0.914, 0.02),
        "kept/mine/a-b": (0.5, None),
        "kept/mine/a-c": (0.4, None),
    }
    numbers = [one.model_copy(update={"name": name, "value": v, "uncertainty": e}) for name, (v, e) in values.items()]
    grid = Grid("kept", {"vmim": (1.0, 0.96)}, "published, 256 x 256")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(verdict_table(report.model_copy(update={"numbers": numbers}), grid=grid))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "kept a-b a-c published, 256 x 256" in lines
    assert "vmim 0.930 ± 0.012 0.914 ± 0.020 1.00 0.96" in lines
    assert "mine 0.5 0.4 –" in lines


def test_a_run_ends_with_what_it_was_made_for_though_it_passed(finished):
    report = read_report(finished[0] / "report.json")
    numbers = [number.model_copy(update={"verdict": "pass"}) for number in report.numbers]
    wanted = next(number for number in numbers if number.name.startswith("sbc/"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(verdict_table(report.model_copy(update={"numbers": numbers}), [wanted.name]))
    lines = console.export_text().splitlines()
    assert [line.split()[0] for line in lines if line.rstrip().endswith("pass")] == [wanted.name]
