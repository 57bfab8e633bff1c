"""The bridge from perturbation theory to the particle mesh: its judge, its suites, and statistics of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core.progress import silent
from fullfield.fields import FlatSky
from fullfield.recipes import RECIPES
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.bridge_bench import BridgeBench, simulated
from fullfield.recipes.bridge_maps import compare_maps, MapStatistics
from fullfield.recipes.study import Measured
from fullfield.simulators import GaussianField, Noiseless


RECIPE = RECIPES["bridge-simulators"]
SMALL = {
    "points": 8, "pixels": 16, "carriers": ("transport", "paired"),
    "simulations": {"cheap": 120, "costly": 60, "reference": 60, "test": 100}, "observations": 100, "compared": 1,
}  # fmt: skip


def judged(**other):
    """A carrier that is as good as it can be, but for what is given."""

    def cell(group, name):
        if group == "maps":
            found = {"power/1/1": 1.0, "power/1/1_error": 0.01, "beyond/1/2": 2.0, "beyond/1/2_error": 0.1, "peaks/1/1": 1.0}
            found |= {"third/1/power": 1.0, "displacement": 0.1, "pqmass": 1.0, "correlation/input/1": 0.99}
            found |= {"correlation/truth/1": 0.98}
        elif group == "against":
            found = {f"{kind}/{p}": value for kind, value in (("shift", 0.0), ("shift_error", 0.0), ("apart", 0.1)) for p in P}
            found |= {f"width/{p}": 1.0 for p in P} | {f"width_error/{p}": 0.0 for p in P} | {"c2st": 0.52, "c2st_error": 0.0}
        else:
            found = {"failed": 0.0, "tarp_failed": 0.0, **{f"mismatch/{p}": 0.1 for p in P}}
        return found | ({key: value for key, value in other.items() if key in found} if name == "transport" else {})

    study = RECIPE.build(RECIPE.configure(SMALL))
    report = study.judge({one.name: Measured(cell(*one.name.split("/"))) for one in study.cells})
    return {number.name: number for number in report.numbers}


P = ("omega_c", "sigma_8")


def test_transport_is_held_to_the_bars_and_nothing_else_is():
    numbers = judged()
    held = {name for name, number in numbers.items() if number.bar}
    assert all("transport" in name for name in held)
    assert all(numbers[name].verdict == "pass" for name in held)
    assert {"power/transport/1/1", "peaks/transport/1/1", "third/transport/1/power", "displacement/transport"} <= held
    assert {"shift/transport/omega_c", "width/transport/sigma_8", "c2st/transport"} <= held
    assert "beyond/transport/1/2" not in held  # what the mesh does not resolve


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("power/1/1", 1.04, "power/transport/1/1"),
        ("peaks/1/1", 0.94, "peaks/transport/1/1"),
        ("displacement", 0.121, "displacement/transport"),
        ("shift/sigma_8", -0.11, "shift/transport/sigma_8"),
        ("width/omega_c", 1.06, "width/transport/omega_c"),
        ("c2st", 0.56, "c2st/transport"),
        ("tarp_failed", 1.0, "calibration/transport/tarp_failed"),
    ],
)
def test_a_fault_is_seen(name, value, number):
    assert judged(**{name: value})[number].verdict == "fail"


def test_simulations_are_those_of_their_keys_in_any_number():
    field = Noiseless(GaussianField(FlatSky(8, 5.0)))
    theta = np.asarray(field.parameters.sample(jax.random.key(0), (45,)))
    maps = simulated(field, jax.random.key(1), theta, silent, stage="")
    keys = jax.random.split(jax.random.key(1), 45)
    for i in (0, 19, 20, 44):
        assert np.allclose(maps[i], field.simulate_at(keys[i], jnp.asarray(theta[i])), atol=1e-5)


def test_bands_beyond_the_mesh_are_known():
    bench = BridgeBench(RECIPE.configure({}))
    resolved = bench.resolved()
    # Half the Nyquist frequency is π / (2 · 6.5 Mpc/h); the last bin's lenses are some 1300 Mpc/h away.
    assert resolved[3].tolist() == [True, True, True, False, False, False]
    assert np.all(np.diff(resolved.sum(axis=1)) >= 0)


def test_maps_that_are_twice_as_high_have_four_times_the_power(tmp_path):
    bench = BridgeBench(RECIPE.configure(SMALL | {"carriers": ("transfer",)}))
    theta = np.asarray(bench.cheap.parameters.sample(jax.random.key(0), (100,)))
    maps = np.random.default_rng(0).normal(size=(2, 100, 16, 16, 4)).astype(np.float32)
    for name, suite in (("test", maps[0]), ("tested", maps[0]), ("cheap", maps[1])):
        write_arrays(tmp_path / f"suite.{name}" / "maps.npz", theta=theta, maps=suite)
    for name, suite in (("tested", 2 * maps[0]), ("cheap", 2 * maps[1])):
        write_arrays(tmp_path / "carrier.transfer" / f"{name}.npz", maps=suite)
    alike, twice = (
        compare_maps(bench, carrier, tmp_path / f"maps.{carrier}", silent).values for carrier in ("none", "transfer")
    )
    powers = [name for name in twice if name.split("/")[0] in ("power", "beyond") and not name.endswith("_error")]
    assert all(alike[name] == pytest.approx(1) and twice[name] == pytest.approx(4, rel=1e-4) for name in powers)
    assert (alike["displacement"], twice["displacement"]) == (0, pytest.approx(1))
    assert twice["correlation/truth/0"] == pytest.approx(1)
    assert twice["peaks/1/3"] > 3 * alike["peaks/1/3"]
    # Of normals of deviations one and two, 2 Φ(1.36) - 2 Φ(0.68) = 0.322.
    assert (alike["pdf/1"], twice["pdf/1"]) == (0, pytest.approx(0.32, abs=0.02))
    assert alike["pqmass"] < 2 < twice["pqmass"]


def test_statistics_of_white_noise():
    bench = BridgeBench(RECIPE.configure(SMALL))
    maps = jax.random.normal(jax.random.key(0), (16, 16, 2))
    found = MapStatistics(bench.bands, jnp.ones(2))(maps)
    assert float(found["pdf"].sum()) == pytest.approx(2)
    assert found["power"].shape == (2, len(bench.bands.centres))


@pytest.mark.slow
def test_the_smallest_scale_runs(tmp_path):
    from typer.testing import CliRunner

    from fullfield.cli.main import app

    run = CliRunner().invoke(app, ["run", "bridge-simulators", "--scale", "smoke", "-o", str(tmp_path / "run")])
    assert run.exit_code == 0, run.output
