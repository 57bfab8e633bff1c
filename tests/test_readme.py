"""The README's Python example runs as it stands, and its tables are those of the result files."""

import os
import pathlib
import re
import subprocess
import sys


ROOT = pathlib.Path(__file__).parents[1]


def test_example_of_the_readme_runs(tmp_path):
    block = re.search(r"<!-- example: own-model -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    # Settings of a smaller run: the example's own take a minute.
    settings = {
        "simulations": {"training": 400, "inference": 400, "validation": 100, "calibration": 60, "chunk": 80},
        "compressor": {"training": {"epochs": 2}},
        "posterior": {"layers": 1, "width": 16, "draws": 400, "training": {"epochs": 3}},
        "calibration": {"draws": 50, "replicas": 50},
    }
    small = f"RunConfiguration(**{settings!r})"
    code = block[1].replace("RunConfiguration()", small)
    assert small in code
    # Optimised, as for a user.
    environment = os.environ | {"XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in {"pass", "warn", "fail"}
    assert (tmp_path / "runs" / "own-model" / "report.html").exists()


def test_tables_are_up_to_date():
    documents = [str(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    command = [sys.executable, "-m", "fullfield.report", "--check", *documents]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
