"""What the benchmark of the particle mesh says of gradients and bars."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import pytest


PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "particle_mesh.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("particle_mesh", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_wrong_slopes_are_seen(benchmark, wrong):
    """Each slope in turn is a hundredth too large; single precision leaves the others within a thousandth."""
    theta, white = jnp.asarray(benchmark.FIDUCIAL), jax.random.normal(jax.random.key(0), benchmark.SHAPE)

    def value(theta, white):
        return theta[0] ** 3 + jnp.exp(4 * theta[1]) + jnp.mean(white**4)

    def gradient(theta, white):
        of_theta, of_white = jax.grad(value, argnums=(0, 1))(theta, white)
        factors = jnp.ones(3).at[wrong].set(1.01)
        return of_theta * factors[:2], of_white * factors[2]

    errors = benchmark.errors(jax.jit(value), gradient, theta, white)
    for i, error in enumerate(errors):
        assert error == pytest.approx(0.01 if i == wrong else 0, abs=1e-3)


def test_bars_are_kept_or_not(benchmark):
    row = benchmark.row
    assert row("a", "s", {"ours": 1.0, "peer": 3.5}, "", faster=3)["met"]
    assert not row("a", "s", {"ours": 1.0, "peer": 2.5}, "", faster=3)["met"]
    assert row("a", "s", {"ours": 1.0}, "", faster=3)["met"] is None
    assert row("a", "MiB", {"ours": 1.0}, "", most=2)["met"]
    assert row("a", "MiB", {"ours": 3.0, "peer": 9.0}, "", most=2)["met"] is False
