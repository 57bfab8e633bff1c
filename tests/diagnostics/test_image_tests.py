"""Sets of images of one law and of others, each with a fault of its own.

Numbers on bars have the same outcome every time, as seeds are fixed; what chance makes of them stands beside them as `halves`.
Tests have the package's false-alarm probability, one in a thousand for each report.
"""

import jax
import numpy as np
import pytest
from boxes import lognormal_boxes, quarters
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.diagnostics import compare_images, diversity, energy_test, image_deviations, image_ruler, image_tests


SIMULATED, BOXES = quarters(lognormal_boxes(300, 1))
GENERATED = lognormal_boxes(900, 2)[:, :32, :32]
RULER = image_ruler(SIMULATED, 25.0)
TABLE = RULER.measure(SIMULATED, BOXES)
EXACT = RULER.measure(GENERATED)
RANDOM = np.random.default_rng(0)


def failing(report):
    return {number.name for number in report.numbers if number.verdict == "fail"}


@pytest.fixture(scope="module")
def report():
    return compare_images(TABLE, EXACT, key=jax.random.key(0))


def test_an_exact_generator_passes(report):
    assert report.verdict == "pass"


def test_deviations_are_of_the_size_of_chance(report):
    for name in ("power", "scatter", "pixels", "peaks"):
        worst, by_chance = report[f"{name}/worst"], report[f"{name}/halves"]
        # A quarter of 1 + 300 / 900 is under a root: .58 of what halves have.
        assert worst.value < 0.58 * by_chance.value + 4 * by_chance.uncertainty
        assert 0 < worst.uncertainty < 0.1
        assert 0.005 < by_chance.value < 0.15


def test_a_known_deviation_is_measured():
    denser = image_deviations(TABLE, RULER.measure(1.05 * SIMULATED, BOXES), resamples=5, key=jax.random.key(0))
    assert denser["power/worst"].value == pytest.approx(1.05**2 - 1, rel=1e-3)
    assert denser["scatter/worst"].value == pytest.approx(1.05**2 - 1, rel=1e-3)
    assert denser["power/worst"].verdict == "fail"
    same = image_deviations(TABLE, TABLE, resamples=5, key=jax.random.key(0))
    assert same["peaks/worst"].value == same["pixels/worst"].value == 0


def even(images):
    """Those of middling variance: medians are right, and the scatter about them is not."""
    variance = images.var((1, 2))
    low, high = np.quantile(variance, (0.2, 0.8))
    return images[(variance > low) & (variance < high)]


TWINS = {
    "denser": (1.06 * GENERATED, {"means/ks", "power/worst"}),
    "smoother": (lognormal_boxes(900, 3, smoothing=1.15)[:, :32, :32], {"power/worst", "peaks/worst", "power/p_value"}),
    "flatter": (
        lognormal_boxes(900, 3, amplitude=0.7)[:, :32, :32],
        {"pixels/worst", "power/worst", "pixels/p_value", "pqmass"},
    ),
    "grainy": (GENERATED * np.exp(0.3 * RANDOM.normal(size=GENERATED.shape)), {"peaks/worst", "power/worst", "peaks/p_value"}),
    "too even": (even(GENERATED), {"scatter/worst", "power/p_value", "means/ks"}),
}
FEW = np.arange(300)


@pytest.mark.parametrize("name", TWINS)
def test_broken_twins_fail_by_name(name):
    """Deviations of all of their images, and tests of three hundred."""
    images, expected = TWINS[name]
    table, key = RULER.measure(images.astype(np.float32)), jax.random.key(0)
    deviations = image_deviations(TABLE, table, resamples=5, key=key)
    tests = image_tests(TABLE.take(FEW), table.take(FEW), key=key)
    assert failing(deviations) | failing(tests) >= expected


def test_ten_images_over_and_over_fail_by_name():
    table = RULER.measure(GENERATED[RANDOM.integers(0, 10, 900)])
    report = compare_images(TABLE, table, key=jax.random.key(0))
    assert failing(report) >= {"diversity/distinct", "pqmass", "power/p_value"}
    assert report["diversity/distinct"].value == pytest.approx(10 / 300), "of as many as there are independent simulations"


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (
            np.rot90(GENERATED[RANDOM.integers(0, 10, 900)], axes=(1, 2)) * (1 + 1e-3 * RANDOM.normal(size=(900, 1, 1))),
            {"distinct"},
        ),
        (np.where(np.arange(900)[:, None, None] % 4 == 0, GENERATED[7], GENERATED), {"distinct"}),
        (GENERATED[7] * np.exp(0.003 * RANDOM.normal(size=GENERATED.shape)), {"distinct", "spread"}),
    ],
    ids=["ten images, turned and scaled", "a quarter of one image", "one image with noise"],
)
def test_collapse_is_named(images, expected):
    made = RULER.measure(images.astype(np.float32))
    report = diversity(EXACT.summaries, made.summaries, random=np.random.default_rng(0))
    assert failing(report) >= {f"diversity/{name}" for name in expected}


def test_tests_keep_their_budget():
    """Halves of one set of independent images have no failing test in eight reports: each has a chance of 1e-3."""
    rows = np.arange(900)
    reports = []
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(rows)
        halves = EXACT.take(order[:200]), EXACT.take(order[200:400])
        reports.append(image_tests(*halves, key=jax.random.key(seed)))
    assert not any(failing(report) for report in reports)
    p_values = [report[f"{name}/p_value"].value for report in reports for name in ("power", "pixels", "peaks")]
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.4)
    assert np.mean([report["pqmass"].value for report in reports]) == pytest.approx(1, abs=0.4)


def test_p_values_of_the_energy_test_are_uniform_for_one_law_and_small_for_two():
    """Among 300 of one law, the Kolmogorov-Smirnov distance from uniform has a chance of 1e-4 to be larger than allowed."""
    mixing = RANDOM.normal(size=(4, 4))

    def p_value(count, change=lambda x: x, permutations=99):
        samples, others = RANDOM.standard_t(3, size=(30, 4)) @ mixing, RANDOM.standard_t(3, size=(count, 4)) @ mixing
        return energy_test(samples, change(others), permutations=permutations, random=RANDOM)

    found = np.array([p_value(45) for _ in range(300)])
    # Evenly spaced numbers down to 1 / 100.
    assert stats.kstest(found - 0.01 * RANDOM.uniform(size=300), "uniform").pvalue > 1e-4
    assert p_value(500, lambda x: x + 2.5, 4999) < 1e-3
    assert p_value(500, lambda x: 3 * x, 4999) < 1e-3
    assert energy_test(np.ones((20, 2)), np.ones((20, 2)), random=RANDOM) == 1


def test_diversity_counts_different_images():
    """Numbers of five dimensions, of which any two are far apart: 400 draws among forty leave about forty."""
    simulated = RANDOM.normal(size=(400, 5))
    kinds = RANDOM.normal(size=(40, 5))
    report = diversity(simulated, kinds[RANDOM.integers(0, 40, 400)], random=RANDOM)
    assert report["diversity/distinct"].value * 400 == pytest.approx(40, abs=1)
    narrow = diversity(simulated, 0.6 * RANDOM.normal(size=(400, 5)), random=RANDOM)
    assert narrow["diversity/spread"].value == pytest.approx(0.6, abs=0.06)
    assert narrow["diversity/spread"].verdict == "fail"


def test_diversity_of_equal_laws_passes_at_its_fewest():
    """Fifty of each, 200 times: their spread scatters by about 0.08 about one, and has its bar at 0.8."""
    reports = [diversity(*RANDOM.normal(size=(2, 50, 10)), random=RANDOM) for _ in range(200)]
    assert all(report.verdict == "pass" for report in reports)


def test_what_is_refused(unchecked):
    with pytest.raises(DataError, match="at least 50 independent images, got 40"):
        compare_images(TABLE, EXACT.take(np.arange(40)), key=jax.random.key(0))
    with pytest.raises(ConfigurationError, match="another ruler"):
        compare_images(TABLE, image_ruler(GENERATED, 25.0).measure(GENERATED), key=jax.random.key(0))
    with pytest.raises(ShapeError, match="at least 50 summaries"):
        diversity(np.ones((60, 3)), np.ones((20, 3)), random=RANDOM)
    with pytest.raises(ShapeError, match="3 coordinates"):
        energy_test(np.ones((60, 3)), np.ones((60, 2)), random=RANDOM)


def test_the_fewest_images_are_enough_to_run():
    few = image_deviations(EXACT.take(np.arange(50)), EXACT.take(np.arange(50, 100)), resamples=20, key=jax.random.key(0))
    assert all(np.isfinite(number.value) for number in few.numbers)
