import numpy as np
import pytest
from scipy import stats

from fullfield._core import DataError
from fullfield.diagnostics import coverage


def run(sample, key):
    return coverage(sample.truths, sample.draws, names=sample.names, log_probs=sample.log_probs, key=key)


def test_exact_posterior_is_covered(world, key):
    found = run(world.sample(500, 200, 10), key)
    assert found.report.verdict == "pass"
    assert found.curves.labels == ("a", "b", "c", "hpd")


@pytest.mark.parametrize("width", [1.5, 0.67])
def test_wrong_width_is_rejected_with_its_sign(world, key, width):
    report = run(world.sample(500, 200, 11, width=width), key).report
    for label in ("a", "b", "c", "hpd"):
        assert report[f"coverage/{label}/area"].verdict == "fail"
        assert np.sign(report[f"coverage/{label}/area"].value) == (1 if width > 1 else -1)


def test_shift_and_prior_are_rejected(world, key):
    assert run(world.sample(500, 200, 12, shift=1.0), key).report.verdict == "fail"
    # The prior's own highest-density regions cover; the density that claims to be a posterior's must be that of the draws.
    sample = world.sample(500, 200, 13, prior=True)
    assert run(sample, key).report.verdict == "pass"


def test_curve_of_a_wide_posterior_is_the_closed_form(world, key):
    # Central interval α of a normal twice as wide holds the truth with probability 2 Φ(2 z) - 1, z = Φ⁻¹((1 + α) / 2).
    found = run(world.sample(4000, 400, 14, width=2.0), key).curves
    expected = 2 * stats.norm.cdf(2 * stats.norm.ppf((1 + found.alpha[1:-1]) / 2)) - 1
    # Curves of 4000: std at most 0.008, plus 1/S from the discrete ranks; 4 sigma.
    np.testing.assert_allclose(found.values[:3, 1:-1], np.broadcast_to(expected, (3, expected.size)), atol=0.035)
    # Highest density in three dimensions: χ² with 3 degrees of freedom, four times as large.
    expected = stats.chi2.cdf(4 * stats.chi2.ppf(found.alpha[1:-1], 3), 3)
    np.testing.assert_allclose(found.values[3, 1:-1], expected, atol=0.035)


def test_zero_density_is_the_last_place_and_nan_is_refused(world, key):
    sample = world.sample(50, 20, 15)
    at_truth, at_draws = sample.log_probs
    found = coverage(
        sample.truths, sample.draws, names=sample.names, log_probs=(np.full_like(at_truth, -np.inf), at_draws), key=key
    )
    assert found.report["coverage/hpd/area"].value < -0.4
    with pytest.raises(DataError, match="log_probs"):
        coverage(sample.truths, sample.draws, names=sample.names, log_probs=(at_truth * np.nan, at_draws), key=key)
