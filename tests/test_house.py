"""The house rules that a machine can check: layers, file sizes, names, side effects of import, documentation."""

import ast
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import jaxtyping
import pytest

from fullfield.networks.convolution import average_pool


ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "src" / "fullfield").rglob("*.py"))


def test_layers_are_kept():
    command = [pathlib.Path(sys.executable).with_name("lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PYTHONIOENCODING": "utf8", "PATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_rules(path):
    text = path.read_text()
    assert text.count("\n") <= 400, "two rooms in one file"
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
    assert "from __future__ import annotations" not in text
    assert "import pickle" not in text
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_import_has_no_side_effects():
    code = """
import os, sys, warnings
# What the packages below do when they are imported is not ours: variables of OpenMP, filters of warnings.
import blackjax, jax, sklearn.covariance, flowjax.bijections
import getdist, matplotlib.figure, numpyro, optax, zarr
filters, environment = list(warnings.filters), dict(os.environ)
settings, arrays = dict(jax.config.values), len(jax.live_arrays())
import importlib, pkgutil, fullfield
for module in pkgutil.walk_packages(fullfield.__path__, "fullfield."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert len(jax.live_arrays()) == arrays, jax.live_arrays()
assert dict(jax.config.values) == settings, "a JAX setting changed"
assert dict(os.environ) == environment, "the environment changed"
assert warnings.filters == filters, [entry for entry in warnings.filters if entry not in filters]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_annotated_shapes_are_checked_in_the_tests():
    with pytest.raises(jaxtyping.TypeCheckError, match="y x c"):
        average_pool(jnp.zeros((4, 4)), 2)
