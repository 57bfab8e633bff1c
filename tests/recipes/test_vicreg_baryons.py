"""What the trial of summaries that forget baryons is held to, and the exact posterior beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.fields import GaussianModes, Plane, RealAmplitudeModes
from fullfield.recipes import RECIPES
from fullfield.recipes.study import Measured
from fullfield.recipes.vicreg_baryons_trials import FRACTIONS
from fullfield.recipes.vicreg_exact import credibility, ExactPosterior, moments_of
from fullfield.simulators import EjectedGas, LognormalOverdensity


RECIPE = RECIPES["vicreg-baryons"]
LABELS = [f"{kind}/{where}" for kind in ("none", "gas", "unseen") for where in ("prior", "fiducial")]
LABELS += [f"unseen/fiducial at {fraction:g}" for fraction in FRACTIONS]


def judged(change, rank=2.0, **settings):
    """Numbers, where posteriors are those of `change(cell, label)`: bias, deviation, and coverage of both regions."""
    study, found = RECIPE.build(RECIPE.configure(settings)), {}
    for cell in study.cells:
        values = {"collapse/effective_rank": rank, "collapse/least_deviation": 0.5}
        for label in LABELS:
            bias, deviation, covered = change(cell.name, label)
            for one in ("omega_m", "sigma_8"):
                values |= {f"{label}/bias/{one}": bias, f"{label}/error/{one}": 0.03, f"{label}/deviation/{one}": deviation}
                values[f"{label}/shift/{one}"] = bias * deviation
            values |= {f"{label}/covered/68": covered, f"{label}/covered/90": 0.9}
            values[f"{label}/failed"] = float(label.startswith("unseen"))
        found[cell.name] = Measured(values)
    return {number.name: number for number in study.judge(found).numbers}


def sound(cell, label):
    if not label.startswith("unseen"):
        return 0.0, 0.02, 0.68
    return {"posterior/supervised": -1.5, "exact/none": -1.5}.get(cell, 0.2), 0.02, 0.66


def test_sound_summaries_meet_all_bars():
    numbers = judged(sound)
    held = {name: number for name, number in numbers.items() if number.bar}
    assert {number.verdict for number in held.values()} == {"pass"}
    # Calibration is held where simulations are like those of the training.
    assert {name for name in held if name.startswith("calibration")} == {
        f"calibration/{name} baryons/failed tests" for name in ("vicreg/gas", "supervised/none", "supervised with gas/gas")
    }
    assert numbers["bias/exact, gas/unseen baryons at 0.7, fiducial cosmology/sigma_8"].value == 0.2
    assert not any(number.bar for name, number in judged(sound, cosmologies=400).items() if name[:11] != "calibration")


@pytest.mark.parametrize(
    ("cell", "values", "failed"),
    [
        ("posterior/vicreg", (0.0, 0.087, 1.0), {"deviation/vicreg over exact/unseen baryons/omega_m"}),  # the prior itself
        ("posterior/vicreg", (0.48, 0.02, 0.66), {"bias/vicreg less exact/unseen baryons/omega_m"}),
        (
            "posterior/vicreg", (-0.6, 0.02, 0.5),
            {
                "bias/vicreg less exact/unseen baryons/omega_m", "bias/vicreg/unseen baryons/omega_m",
                "coverage/vicreg/unseen baryons/68 %",
            },
        ),
        ("posterior/supervised", (0.8, 0.02, 0.6), {"bias/supervised/unseen baryons/largest"}),
    ],
)  # fmt: skip
def test_each_fault_misses_its_bar(cell, values, failed):
    numbers = judged(lambda name, label: values if (name, label) == (cell, "unseen/prior") else sound(name, label))
    missed = {name for name, number in numbers.items() if number.verdict == "fail" and not name.endswith("sigma_8")}
    assert missed == failed


def test_groups_of_one_view_are_refused_with_what_views_are():
    with pytest.raises(
        ConfigurationError, match=r"views: expected .* to 2, got 1\. 10 by default: maps of each, .* in pairs\."
    ):
        RECIPE.configure({"views": 1})


def test_headlines_are_numbers():
    numbers = judged(sound)
    assert all(any(name.startswith(beginning) for name in numbers) for beginning in RECIPE.headline)


def test_summaries_along_one_line_are_collapsed():
    numbers = judged(sound, rank=1.4)
    assert {name for name, number in numbers.items() if number.verdict == "fail"} == {"rank/vicreg"}
    assert numbers["least deviation/vicreg"].value == 0.5


def test_finished_summaries_are_kept_as_trials_change():
    cells = {cell.name: cell.inputs for cell in RECIPE.build(RECIPE.configure({})).cells}
    other = {cell.name: cell.inputs for cell in RECIPE.build(RECIPE.configure({"fraction": 0.6})).cells}
    assert {name.split("/")[0] for name in cells if cells[name] == other[name]} == {"summary"}


@pytest.mark.parametrize("modes", [GaussianModes(), RealAmplitudeModes()])
def test_exact_posterior_is_that_of_the_likelihood_summed_over_baryons(modes, key):
    model = LognormalOverdensity(Plane(16, 80.0), modes, baryons=EjectedGas())
    maps = model.simulate(key, 2).data
    exact = ExactPosterior(model, nodes=3, baryon_nodes=2)
    theta = np.concatenate([np.repeat(exact.grid, 4, axis=0), np.tile(exact.baryons, (9, 1))], axis=1)
    each = jax.jit(jax.vmap(jax.vmap(model.log_likelihood, (None, 0)), (0, None)))
    logs = each(jnp.asarray(theta, jnp.float32), maps)
    every = jax.nn.softmax(logs, axis=0).reshape(9, 4, 2).sum(axis=1).T
    rows = np.asarray(jnp.log1p(maps))
    np.testing.assert_allclose(exact(rows), every, atol=2e-3)  # single precision of sums of some hundreds
    # At a node the density is its probability over the area of a cell.
    truth = exact.grid[[1, 5]]
    again, log_prob = exact.with_log_prob(rows, truth)
    np.testing.assert_array_equal(again, exact(rows))
    cell = np.prod([(high - low) / 3 for low, high in model.parameters.bounds[:2]])
    np.testing.assert_allclose(log_prob, np.log(every[[0, 1], [1, 5]] / cell), atol=5e-3)
    # Those who know nothing of baryons see another posterior.
    without = ExactPosterior(LognormalOverdensity(model.plane, modes), nodes=3)(rows)
    assert np.abs(without - every).max() > 0.05


def test_moments_and_regions_of_a_gaussian_on_a_grid():
    axis = np.linspace(-6, 6, 241)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp(-0.5 * np.sum((grid / [1.0, 0.5]) ** 2, axis=1))[None] / (2 * np.pi * 0.5 / 0.05**2)
    mean, deviation = moments_of(grid, weight)
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    np.testing.assert_allclose(deviation, [[1.0, 0.5]], rtol=1e-4)
    # The ellipse at r deviations holds 1 - exp(-r² / 2). A cell is .05 wide, which is worth .05 r exp(-r² / 2).
    for r in (0.5, 1.5, 2.5):
        found = credibility(grid, weight, np.array([[r, 0.0]]))
        assert found == pytest.approx(1 - np.exp(-(r**2) / 2), abs=0.03)
