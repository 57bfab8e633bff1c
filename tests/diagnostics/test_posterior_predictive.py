import jax
import numpy as np
import pytest

from fullfield._core import ShapeError
from fullfield.diagnostics import Budget, predictive


COVARIANCE = 0.6 + 0.4 * np.eye(20)


def replicas(n, seed):
    return np.exp(0.2 * np.random.default_rng(seed).multivariate_normal(np.zeros(20), COVARIANCE, size=n))


def test_member_passes_and_strangers_fail(key):
    many = replicas(800, 0)
    found = predictive(many[0], many[1:], key=key)
    assert found.report.verdict == "pass"
    assert found.quantiles.shape == (5, 20)
    assert np.all(np.diff(found.quantiles, axis=0) > 0)
    amplified = predictive(many[0] * 6, many[1:], key=key)
    assert amplified.report.verdict == "fail"
    one_band = many[0].copy()
    one_band[7] = 30.0
    assert predictive(one_band, many[1:], key=key).report["predictive/spectra/largest"].verdict == "fail"
    # Each band is ordinary, their alternation is not: only the joint test can know.
    zigzag = predictive(np.exp(0.2 * np.resize([1.4, -1.4], 20)), many[1:], key=key)
    assert zigzag.report["predictive/spectra/joint"].verdict == "fail"
    assert np.all((zigzag.pit > 0.02) & (zigzag.pit < 0.98))


def test_false_alarms_are_as_rare_as_stated(key):
    # 300 observations at 10 %: std 0.017; Bonferroni may only lower it.
    many = replicas(600, 1)
    verdicts = [
        predictive(one, many, budget=Budget(fail=0.1, warn=0.2), key=jax.random.key(i)).report.verdict
        for i, one in enumerate(replicas(300, 2))
    ]
    assert 0.02 < np.mean([verdict == "fail" for verdict in verdicts]) < 0.1 + 0.07


def test_few_replicas_are_refused(key):
    with pytest.raises(ShapeError, match="at least 40"):
        predictive(np.zeros(3), np.zeros((10, 3)), key=key)
