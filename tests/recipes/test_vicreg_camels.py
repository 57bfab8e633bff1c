"""The comparison on CAMELS maps: its judge, its maps, its network, and the files that it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import DamagedDataError, DataError
from fullfield._core.progress import silent
from fullfield.datasets import write_camels
from fullfield.networks import PowerNet
from fullfield.recipes import RECIPES
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.study import Measured
from fullfield.recipes.vicreg_accuracy import accuracy, error_ratio
from fullfield.recipes.vicreg_camels_measure import CamelsBench, MAPS, WithConstant


RECIPE, N, SIDE = RECIPES["vicreg-camels"], 20, 16


def judged(synthetic, simulations=1000, **settings):
    """Errors by each method and suite: VICReg's are 5 and 6 % above the supervised ones."""

    def cell(group, suite, name=""):
        if group == "maps":
            return {"synthetic": float(synthetic), "simulations": float(simulations)}
        if group == "summary":
            return {"collapse/effective_rank": 9.0, "collapse/least_deviation": 0.2}
        worse = {"vicreg": (1.05, 1.06)}.get(name, (1.0, 1.0))
        if group == "ratio":
            ratios = {f"ratio/{one}": ratio for one, ratio in zip(("Omega_m", "sigma_8"), worse, strict=True)}
            return ratios | {"uncertainty/Omega_m": 0.02, "uncertainty/sigma_8": 0.02}
        shared = {"loss": -3.5, "uncertainty/Omega_m": 1e-3, "uncertainty/sigma_8": 1e-3, "mse/Omega_m": 2e-4}
        return shared | {"mse/sigma_8": 3e-4, "error/Omega_m": 0.03 * worse[0], "error/sigma_8": 0.02 * worse[1]}

    study = RECIPE.build(RECIPE.configure(settings))
    found = {one.name: Measured(cell(*one.name.split("/"))) for one in study.cells}
    return {number.name: number for number in study.judge(found).numbers}


def test_published_maps_stand_beside_published_numbers():
    numbers = judged(False, suites=("SIMBA", "IllustrisTNG", "Astrid"), methods=("vicreg", "vicreg-pair", "simclr"))
    assert numbers["error/SIMBA/vicreg/Omega_m"].published == 0.0379
    assert numbers["error/IllustrisTNG/simclr/sigma_8"].published == 0.0211
    assert numbers["loss/IllustrisTNG/supervised"].published == -3.84
    assert numbers["mse/SIMBA/vicreg-pair/sigma_8"].published == 6.73e-4
    assert numbers["error/Astrid/vicreg/Omega_m"].published is None
    ratio = numbers["ratio/IllustrisTNG/vicreg over supervised/Omega_m"]
    assert ratio.published == pytest.approx(0.0370 / 0.0332)
    assert (ratio.bar, ratio.verdict, ratio.uncertainty) == ("<= 1.05", "pass", 0.02)
    assert numbers["ratio/IllustrisTNG/vicreg over supervised/sigma_8"].verdict == "fail"


def test_synthetic_maps_say_so_in_every_number_and_stand_beside_none():
    numbers = judged(True)
    assert all(name.split("/")[1] == "synthetic IllustrisTNG" for name in numbers)
    assert all(number.published is None for number in numbers.values())


def test_few_simulations_are_held_to_nothing():
    assert not any(number.bar for number in judged(True, simulations=199).values())
    assert any(number.bar for number in judged(True, simulations=200).values())


def test_errors_of_data_sets_that_share_parameters_count_as_one():
    theta = np.repeat(np.array([[1.0, 2.0], [3.0, 2.0]]), 2, axis=0)
    found = accuracy(("a", "b"), theta, theta + np.array([[0.1, 0.2], [0.3, -0.2], [-0.5, 0.2], [0.7, 0.2]]), 2)
    assert found["error/a"] == pytest.approx(0.4 / 2)
    assert found["mse/a"] == pytest.approx(0.21)
    assert found["uncertainty/a"] == pytest.approx(0.2 / 2)  # the groups' errors are .2 and .6
    assert (found["error/b"], found["uncertainty/b"]) == (pytest.approx(0.1), pytest.approx(0, abs=1e-12))


def test_ratios_of_errors_are_known_better_than_errors_of_which_cosmologies_decide(tmp_path):
    random = np.random.default_rng(0)

    def written(theta, errors):
        paths = tmp_path / "one", tmp_path / "other"
        for path, error in zip(paths, errors, strict=True):
            write_arrays(path / "test.npz", theta=theta, mean=theta + error)
        return paths

    n, found, said = 300, [], []
    for _ in range(100):
        theta = random.uniform(1, 2, (n, 1)).repeat(3, axis=0)
        shared = random.normal(size=(n, 1)).repeat(3, axis=0)
        ratio = error_ratio(("a",), *written(theta, [1.1 * shared + 0.3 * random.normal(size=(3 * n, 1)), shared]), 3)
        found.append(ratio["ratio/a"])
        said.append(ratio["uncertainty/a"])
    # The scatter of 100 is known to 7 %; were errors not paired, five times as much would be said.
    assert np.mean(said) == pytest.approx(np.std(found), rel=0.25)
    one, _ = written(theta, [shared, shared])
    _, other = written(theta + 1, [shared, shared])
    write_arrays(one / "test.npz", theta=theta, mean=theta + shared)
    with pytest.raises(DataError, match="the parameters of"):
        error_ratio(("a",), one, other, 3)


def test_powers_beside_a_constant_tell_the_sign_of_the_mean(key):
    shape = (16, 16)
    alone = PowerNet((*shape, 1), 3, key=key)
    beside = WithConstant(PowerNet((*shape, 2), 3, key=key))
    x = 1 + jax.random.normal(key, (*shape, 1))
    np.testing.assert_allclose(alone(-x), alone(x), rtol=1e-5)
    assert float(jnp.max(jnp.abs(beside(-x) - beside(x)))) > 0.01


@pytest.fixture
def folder(tmp_path):
    """Files of few simulations with small maps, of the right mass."""
    random = np.random.default_rng(0)
    theta = random.uniform((0.1, 0.6), (0.5, 1.0), (N, 2)).astype(np.float32)
    boxes = (2.775e11 * 5 * one * np.exp(0.1 * random.normal(size=(MAPS, SIDE, SIDE))) for one in theta[:, 0])
    return write_camels(tmp_path / "files", "Mtot", "IllustrisTNG", "LH", theta, boxes, made_by="a test").path.parent


def test_maps_of_a_folder_are_dealt_by_simulation_in_logarithms(folder, tmp_path):
    bench = CamelsBench(RECIPE.configure({"folder": str(folder)}))
    measured = bench.copy("IllustrisTNG", tmp_path / "maps.IllustrisTNG", silent)
    assert (measured.values, measured.simulations) == ({"synthetic": 1.0, "simulations": float(N)}, 0)
    seen = 0
    for part, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        theta, maps = bench.single("IllustrisTNG", part, tmp_path / "any")
        assert (theta.shape, maps.shape) == ((share * N * MAPS, 2), (share * N * MAPS, SIDE, SIDE, 1))
        assert theta.min() >= 0
        assert theta.max() <= 1
        # The mean tells Omega_m: maps and parameters are of the same simulation.
        omega_m = (10.0**maps).mean(axis=(1, 2, 3)) / 2.775e11 / 5
        np.testing.assert_allclose(0.1 + 0.4 * theta[:, 0], omega_m, rtol=0.05)
        seen += len(np.unique(theta, axis=0))
    assert seen == N


def test_files_are_refused_before_anything_is_done(folder, tmp_path, monkeypatch):
    configured = lambda place: RECIPE.configure({"folder": str(place)})  # noqa: E731
    with pytest.raises(DataError, match="Maps_Mtot_IllustrisTNG_LH"):
        RECIPE.build(configured(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="Maps_Mtot_SIMBA_LH"):
        RECIPE.build(RECIPE.configure({"folder": str(folder), "suites": ("IllustrisTNG", "SIMBA")}))
    monkeypatch.chdir(folder.parent)
    assert configured(folder.name) == configured(folder)
    maps = folder / "Maps_Mtot_IllustrisTNG_LH_z=0.00.npy"
    maps.write_bytes(maps.read_bytes()[:-4])
    with pytest.raises(DamagedDataError, match="Maps_Mtot"):
        RECIPE.build(configured(folder))
