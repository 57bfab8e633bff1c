import numpy as np
import pytest
from scipy import stats

from fullfield.diagnostics import Budget, simultaneous_band
from fullfield.diagnostics.uniformity import area, cumulative, deviation


ALPHA = np.linspace(0, 1, 101)


@pytest.mark.parametrize("n", [20, 500])
def test_band_holds_whole_curves_as_often_as_it_says(n):
    # 4000 curves: the measured probability has std 0.0034; tolerance 4 of it. Counts are discrete, so the band may be wider.
    uniform = np.random.default_rng(0).uniform(size=(4000, n))
    low, high = simultaneous_band(n, 0.95)
    curve = cumulative(uniform, ALPHA)
    inside = np.mean(np.all((curve >= low) & (curve <= high), axis=1))
    assert 0.95 - 0.014 < inside < (0.99 if n == 20 else 0.95 + 0.014)
    # A pointwise band is the broken twin: it holds the whole curve far too rarely.
    low, high = stats.binom.ppf(0.025, n, ALPHA) / n, stats.binom.isf(0.025, n, ALPHA) / n
    assert np.mean(np.all((curve >= low) & (curve <= high), axis=1)) < 0.85


def test_band_of_many_numbers_is_quick_and_narrow():
    low, high = simultaneous_band(20_000, 0.95)
    assert 3.0 < (high[50] - 0.5) / (0.25 / 20_000) ** 0.5 < 3.6
    np.testing.assert_allclose(low + high[::-1], 1, atol=2e-4)


def test_deviation_is_the_kolmogorov_smirnov_statistic():
    fractions = np.random.default_rng(1).beta(1.2, 1, 300)
    expected = stats.kstest(fractions, "uniform")
    number = deviation("x", fractions, Budget(fail=expected.pvalue * 0.99, warn=expected.pvalue * 1.01))
    assert number.value == pytest.approx(expected.statistic)
    assert number.verdict == "warn"
    assert deviation("x", fractions, Budget(fail=expected.pvalue * 1.01, warn=0.5)).verdict == "fail"


@pytest.mark.parametrize("test", [deviation, area])
def test_false_alarms_are_as_rare_as_stated(test):
    # 1000 replicas at 10 %: std 0.0095, tolerance 4 of it.
    uniform = np.random.default_rng(2).uniform(size=(1000, 200))
    verdicts = [test("x", row, Budget(fail=0.1, warn=0.2)).verdict for row in uniform]
    assert np.mean([v == "fail" for v in verdicts]) == pytest.approx(0.1, abs=0.038)
    assert np.mean([v == "warn" for v in verdicts]) == pytest.approx(0.1, abs=0.038)


def test_area_is_signed_like_the_curve():
    fractions = np.random.default_rng(3).beta(1, 1.5, 400)
    curve = cumulative(fractions, np.linspace(0, 1, 2001))
    assert area("x", fractions, Budget()).value == pytest.approx(np.mean(curve - np.linspace(0, 1, 2001)), abs=1e-3)
    assert area("x", fractions, Budget()).value > 0
