"""What the toy of summaries that ignore baryons is held to, and its closed form."""

import numpy as np
import pytest

from fullfield._core.progress import silent
from fullfield.recipes import RECIPES
from fullfield.recipes.study import Measured
from fullfield.recipes.vicreg_nuisance_measure import Bench
from fullfield.simulators import BrokenPowerLaw


RECIPE = RECIPES["vicreg-nuisance"]
K = BrokenPowerLaw().wavenumbers
FALLING = np.where(K <= 0.5, 1.0, 0.5)
RISING = 1.0 + 0.5 * np.abs(K - 0.53)  # least at the pivot


def judged(errors, varying=FALLING, constant=RISING):
    """Numbers for errors by name and curves of dependence."""
    study, found = RECIPE.build(RECIPE.configure({})), {}
    for cell in study.cells:
        group, name = cell.name.split("/")
        values = {f"{what}/{one}": errors[what] for what in ("error", "relative", "mse") for one in "AB"}
        values |= {"uncertainty/A": 1e-3, "uncertainty/B": 1e-3, "loss": -6.0, "r2/D": 0.0, "collapse/effective_rank": 9.0}
        values |= {"collapse/least_deviation": 0.1} | {f"collapse/deviation/{i}": i / 4 for i in range(5)}
        if group == "dependence":
            curve = varying if name.startswith("varying") else constant
            values = {f"{what}/{i}": curve[i] for what in ("correlation", "corrected", "mine", "smile") for i in range(140)}
        found[cell.name] = Measured(values)
    return {number.name: number for number in study.judge(found).numbers}


def missed(numbers):
    return {name for name, number in numbers.items() if number.verdict == "fail"}


def test_published_errors_are_the_bars():
    numbers = judged({"error": 0.02, "relative": 0.0213, "mse": 1.08e-4})
    assert not missed(numbers)
    assert (numbers["mse/vicreg/B"].bar, numbers["mse/vicreg/B"].published) == ("<= 2.26e-4", 2.26e-4)
    assert (numbers["relative/vicreg/B"].bar, numbers["relative/vicreg/B"].published) == (None, 0.038707)
    assert numbers["error/vicreg/A"].uncertainty == 1e-3
    assert numbers["rank/varying, trained out"].value == 9.0
    monitored = ("least", "lower quartile of", "median", "upper quartile of")
    assert [numbers[f"{called} deviation/varying"].value for called in monitored] == [0.1, 0.25, 0.5, 0.75]
    assert numbers["error/power law fit to k <= 0.5/A"].bar is None
    assert missed(judged({"error": 0.02, "relative": 0.0213, "mse": 1.1e-4})) == {"mse/vicreg/A"}
    assert missed(judged({"error": 0.03, "relative": 0.0220, "mse": 1e-4})) == {"error/vicreg/A", "relative/vicreg/A"}


@pytest.mark.parametrize(
    ("curve", "fault"),
    [(1.0 + 0 * K, "varying/{} beyond the pivot over before"), (1.5 - 0.5 * K, "constant/{} beyond the pivot over at it"),
     (1.0 + 0.5 * K, "constant/{} at the pivot over before")],
)  # fmt: skip
def test_curves_of_other_shapes_are_seen(curve, fault):
    numbers = judged({"error": 0.02, "relative": 0.02, "mse": 1e-4}, **{fault.split("/")[0]: curve})
    kind, rest = fault.split("/")
    assert missed(numbers) == {
        f"dependence/{kind}{said}/{rest.format(what)}" for said in ("", ", trained out") for what in ("correlation", "smile")
    }


def test_straight_lines_find_the_cosmology_as_well_as_can_be(tmp_path):
    bench = Bench(RECIPE.configure({"cosmologies": 200, "views": 10}))
    bench.simulate("varying", tmp_path / "views.varying", silent)
    found = bench.fit(tmp_path / "inference.fit", silent).values
    # (ln A, B) of a fit with the weights N / 2 has the covariance of their Fisher matrix, and A that times A².
    model, i = bench.model, np.arange(3, 143)[bench.model.wavenumbers <= bench.model.pivot]
    line = np.stack([np.ones(len(i)), np.log(model.fundamental * i)], axis=1)
    covariance = np.linalg.inv((line.T * (2 * np.pi * i**2)) @ line)
    theta, _ = bench.flat("varying", "test", tmp_path / "inference.fit")
    # 200 spectra: a mean square is known to √(2 / 200) = 10 %, and A² of 20 cosmologies is theirs.
    assert found["mse/B"] == pytest.approx(covariance[1, 1], rel=0.4)
    assert found["mse/A"] == pytest.approx(covariance[0, 0] * np.mean(theta[:, 0] ** 2), rel=0.4)
