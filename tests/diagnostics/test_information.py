"""The bound on mutual information against the closed form of two normal numbers."""

import numpy as np
import pytest
from scipy import stats

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import mutual_information


NOISE, N = 0.5, 4000
EXACT = 0.5 * np.log1p(1 / NOISE**2)


@pytest.fixture(scope="module")
def pairs():
    random = np.random.default_rng(0)
    theta = random.normal(size=N)
    return theta, theta + NOISE * random.normal(size=N)


def log_posterior(theta, t, widened=1.0):
    variance = NOISE**2 / (1 + NOISE**2)
    return stats.norm.logpdf(theta, t / (1 + NOISE**2), widened * variance**0.5)


def test_an_exact_posterior_reaches_the_mutual_information(pairs):
    theta, t = pairs
    found = mutual_information(log_posterior(theta, t), stats.norm.logpdf(theta))
    assert found.uncertainty < 0.02
    assert found.value == pytest.approx(EXACT, abs=4 * found.uncertainty)  # a false alarm in 16 000


def test_a_posterior_that_is_too_wide_is_charged_its_divergence(pairs):
    theta, t = pairs
    both = [mutual_information(log_posterior(theta, t, w), stats.norm.logpdf(theta)).value for w in (1.0, 2.0)]
    # KL divergence of a normal from one of twice the width: log 2 + 1/8 - 1/2, to the scatter of z² over the pairs.
    assert both[0] - both[1] == pytest.approx(np.log(2) + 1 / 8 - 1 / 2, abs=4 * 0.375 * (2 / N) ** 0.5)


def test_bad_densities_are_refused(pairs):
    theta, _ = pairs
    with pytest.raises(ShapeError, match="log_posterior"):
        mutual_information(np.zeros(1), np.zeros(1))
    with pytest.raises(DataError, match="log_posterior"):
        mutual_information(np.full(N, -np.inf), stats.norm.logpdf(theta))
