"""Mass maps beside each other: the cell from end to end on simulations of its own, with draws of which all is known.

Error budget: methods are compared on the same 60 maps of 256 pixels and five bins; bars leave several times what 30 of them
change.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core.progress import silent
from fullfield.diagnostics import joint_blocks, joint_table, JointSample
from fullfield.recipes import mass_map_baselines, RECIPES
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.joint_measure import mode_sums
from fullfield.recipes.mass_map_baselines import agreement, SMOOTHINGS, squared_error, sums_of_draws
from fullfield.recipes.mass_map_bench import ShearBench
from fullfield.recipes.mass_map_judge import map_numbers, map_pictures
from fullfield.recipes.study import Measured


TESTED, DRAWS = 60, 4
METHODS = ("Kaiser-Squires", "Wiener", "sparse", "learnt", "posterior mean")


@pytest.fixture(scope="module")
def bench():
    settings = {"pixels": 16, "baselines": {"observations": TESTED, "epochs": 6}}
    return ShearBench(RECIPES["mass-map-cosmology"].configure(settings))


@pytest.fixture(scope="module")
def simulated(bench):
    """Parameters, convergence and shear."""

    @eqx.filter_jit
    def simulate(bench, keys, theta):
        def one(pair):
            latents, shear = bench.model.simulate_with_latents(*pair)
            return bench.truth(pair[1], latents), shear

        return jax.lax.map(one, (keys, theta), batch_size=20)

    theta = bench.model.parameters.sample(jax.random.key(0), (400,))
    return tuple(map(np.asarray, (theta, *simulate(bench, jax.random.split(jax.random.key(1), 400), theta))))


@pytest.fixture(scope="module")
def table(bench, simulated):
    """All draws of an observation are four tenths of its truth."""
    theta, kappa = (array[:TESTED] for array in simulated[:2])
    estimates = theta[::-1], np.zeros_like(kappa)
    blocks = joint_blocks(bench.model.parameters.names, bench.bands, theta, kappa, *estimates)

    def draw(j):
        yield JointSample(np.tile(theta[j], (DRAWS, 1)), np.tile(0.4 * kappa[j], (DRAWS, 1, 1, 1)))

    return joint_table(blocks, JointSample(theta, kappa), estimates, draw, key=jax.random.key(2))


@pytest.fixture(scope="module")
def measured(bench, simulated, table, tmp_path_factory):
    folder, (theta, kappa, shear) = tmp_path_factory.mktemp("run"), simulated
    parts = {"calibration": slice(0, TESTED), "validation": slice(TESTED, 80), "training": slice(80, None)}

    def simulations_of(folder, name):
        return {"theta": theta[parts[name]], "rows": kappa[parts[name]], "data": shear[parts[name]]}

    write_arrays(folder / "calibration.joint" / "table.npz", **table.arrays())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mass_map_baselines, "simulations_of", simulations_of)
        patched.setattr(mass_map_baselines, "maps_of", lambda frame, layout, theta, rows: rows)
        patched.setattr(ShearBench, "frame", lambda self, folder: None)
        (cell,) = [cell for cell in RECIPES["mass-map-cosmology"].build(bench.configuration).cells if "baselines" in cell.name]
        return cell.measure(folder / "baselines.maps", silent).values


def correlations(values, method):
    return np.array([value for name, value in values.items() if name.startswith(f"correlation/{method}/")])


def test_every_method_is_measured_in_every_band(bench, measured):
    assert len(measured) == len(METHODS) * (len(bench.bands.centres) + 1) + 1
    assert measured["smoothing of Kaiser-Squires in arcmin"] in SMOOTHINGS
    for method in METHODS:
        assert correlations(measured, method).shape == (len(bench.bands.centres),)
        assert np.all(correlations(measured, method) > 0)


def test_methods_that_know_more_are_nearer_the_truth(measured):
    error = {method: measured[f"squared error/{method}"] for method in METHODS}
    assert error["Wiener"] < 0.9 * error["Kaiser-Squires"]
    assert error["sparse"] < 1.1 * error["Kaiser-Squires"]
    # Fifty steps of training: far from the posterior mean, and beyond what a map of zeros gives.
    assert 0.95 * error["Wiener"] < error["learnt"] < 0.9
    assert np.all(correlations(measured, "Wiener") > correlations(measured, "Kaiser-Squires") - 0.01)


def test_the_smoothing_is_the_best_of_the_list(bench, simulated, measured):
    _, kappa, shear = (jnp.asarray(array[:TESTED]) for array in simulated)
    best = measured["squared error/Kaiser-Squires"]
    for width in SMOOTHINGS:
        method = bench.baselines(width)["Kaiser-Squires"]
        found = squared_error(mode_sums(bench.bands, np.asarray(kappa), np.asarray(jax.lax.map(method, shear))))
        assert found > 0.999 * best


def test_the_posterior_mean_is_read_from_the_table_of_draws(bench, simulated, table, measured):
    """Of maps that are f times the truth r = 1 and the squared error is (1 - f)²."""
    np.testing.assert_allclose(correlations(measured, "posterior mean"), 1.0, rtol=1e-4)
    assert measured["squared error/posterior mean"] == pytest.approx(0.36, rel=1e-3)
    kappa = simulated[1][:20]
    for ours, expected in zip(sums_of_draws(table, 20), mode_sums(bench.bands, kappa, 0.4 * kappa), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3)
    other = agreement(bench.bands.centres, {"other": mode_sums(bench.bands, kappa, kappa[::-1])})
    assert np.abs(correlations(other, "other")[2:]).max() < 0.3
    assert other["squared error/other"] > 1.5


def test_the_wiener_map_is_the_one_that_draws_are_held_against(bench, simulated):
    shear = jnp.asarray(simulated[2][0])
    np.testing.assert_allclose(bench.baselines(0.0)["Wiener"](shear), eqx.filter_jit(bench.filtered)(shear), atol=1e-6)


def test_the_report_has_a_row_and_a_curve_of_each(bench, measured):
    found = {"baselines/maps": Measured(measured)}
    numbers = {number.name: number.value for number in map_numbers(found).numbers}
    band = f"ell_{bench.bands.centres[0]:.0f}"
    assert numbers[f"maps/correlation/Wiener/{band}"] == measured[f"correlation/Wiener/{band}"]
    (picture,) = map_pictures(found)
    curves = {text.get_text() for text in picture.figure.axes[0].get_legend().get_texts()}
    assert curves == set(METHODS)
