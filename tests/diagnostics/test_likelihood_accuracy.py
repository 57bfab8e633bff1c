"""Means and deviations of a learnt likelihood: planted faults are found at their size, and nothing where there is none."""

import numpy as np
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import likelihood_accuracy


POINTS, SIMULATED, DRAWN = 300, 200, 400
NAMES = ("Om", "S8")


def draws(count, *, seed, shift=0.0, stretch=1.0, tails=False):
    """Summaries at many parameters, whose means and deviations differ from point to point; the faults are in deviations."""
    random = np.random.default_rng(seed)
    where = np.random.default_rng(0)
    mean, sigma = where.normal(size=(POINTS, 1, 2)), np.exp(where.normal(size=(POINTS, 1, 2)))
    noise = random.laplace(size=(POINTS, count, 2)) / np.sqrt(2) if tails else random.normal(size=(POINTS, count, 2))
    return mean + sigma * (shift + stretch * noise)


@pytest.mark.parametrize("tails", [False, True])
def test_a_perfect_likelihood_has_no_scatter_but_that_of_finite_numbers(tails):
    found = likelihood_accuracy(draws(SIMULATED, seed=1, tails=tails), draws(DRAWN, seed=2, tails=tails), names=NAMES)
    assert found.mean.shape == found.deviation.shape == (POINTS, 2)
    each = 1 / SIMULATED + 1 / DRAWN
    kurtosis = 6 if tails else 3
    for name in NAMES:
        for kind, noise in (("mean", each), ("deviation", (kurtosis - 1) / 4 * each)):
            average, scatter = found.report[f"likelihood/{name}/{kind}"], found.report[f"likelihood/{name}/{kind}_scatter"]
            np.testing.assert_allclose(average.uncertainty, np.sqrt(noise / POINTS), rtol=0.25)
            assert abs(average.value) < 4 * average.uncertainty + kurtosis / (4 * SIMULATED) * (kind == "deviation")
            # Four errors of a mean square of normal numbers.
            assert scatter.value**2 < 4 * np.sqrt(2 / POINTS) * noise
    assert found.report.verdict == "pass"
    raw = np.sqrt(np.mean(found.mean**2))
    np.testing.assert_allclose(raw, np.sqrt(each), rtol=0.1)


def test_planted_faults_are_found_at_their_size():
    """Of a mean that is off by half a deviation up and down, and of deviations a quarter too large."""
    sign = np.resize([1.0, -1.0], (POINTS, 1, 1))
    faulty = draws(DRAWN, seed=2, shift=np.array([0.5, 0.0]) * sign, stretch=np.array([1.0, 1.25]))
    report = likelihood_accuracy(draws(SIMULATED, seed=1), faulty, names=NAMES).report
    for name, value in (
        ("Om/mean", 0.0), ("Om/mean_scatter", 0.5), ("Om/deviation", 0.0),
        ("S8/mean", 0.0), ("S8/deviation", 0.25), ("S8/deviation_scatter", 0.25),
    ):  # fmt: skip
        number = report[f"likelihood/{name}"]
        assert abs(number.value - value) < 4 * number.uncertainty + 1 / SIMULATED, name
    failed = {number.name for number in report.numbers if number.verdict == "fail"}
    assert failed == {"likelihood/Om/mean_scatter", "likelihood/S8/deviation_scatter"}


def test_what_cannot_be_compared_is_refused(unchecked):
    good = draws(20, seed=1)
    with pytest.raises(ShapeError, match="T, m, s"):
        likelihood_accuracy(good, good[:50], names=NAMES)
    with pytest.raises(ShapeError, match="at least 10"):
        likelihood_accuracy(good[:, :5], good, names=NAMES)
    with pytest.raises(ShapeError, match="2 names"):
        likelihood_accuracy(good, good, names=("Om",))
    with pytest.raises(DataError, match="finite"):
        likelihood_accuracy(good, np.where(good > 1, np.nan, good), names=NAMES)
    still = good.copy()
    still[3, :, 1] = 1.0
    with pytest.raises(DataError, match="S8 constant at point 3"):
        likelihood_accuracy(still, good, names=NAMES)
