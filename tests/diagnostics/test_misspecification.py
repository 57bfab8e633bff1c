import numpy as np
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import misspecification


def ring(n, seed):
    random = np.random.default_rng(seed)
    angle, radius = random.uniform(0, 2 * np.pi, n), 1 + 0.05 * random.normal(size=n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def heavy(n, seed):
    return np.random.default_rng(seed).standard_t(3, (n, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 1e-3]])


REFERENCE, HELD_OUT = ring(2000, 0), ring(500, 1)


def test_members_pass_and_strangers_fail():
    found = misspecification(ring(1, 2)[0], REFERENCE, HELD_OUT)
    assert found.report.verdict == "pass"
    assert found.neighbours.expected.shape == (500,)
    assert misspecification(np.array([4.0, 0.0]), REFERENCE, HELD_OUT).report.verdict == "fail"
    # The middle of the ring is the centre of the ellipsoid: only distances to neighbours see the hole.
    hole = misspecification(np.zeros(2), REFERENCE, HELD_OUT).report
    assert hole["misspecification/mahalanobis"].verdict == "pass"
    assert hole["misspecification/neighbours"].verdict == "fail"


def test_false_alarms_are_as_rare_as_stated_with_heavy_tails():
    reference, held_out = heavy(300, 4), heavy(200, 5)
    reports = [misspecification(one, reference, held_out).report for one in heavy(500, 3)]
    p_values = np.array([[number.value for number in report.numbers] for report in reports])
    # At 10 % per distance: scatter 0.021 from the shared held-out members, 0.013 from 500 observations; 4 sigma.
    np.testing.assert_allclose(np.mean(p_values < 0.1, axis=0), 0.1, atol=0.1)
    # Below the resolution of ranks alarms stay rarer than 1 / 201 per distance whatever the tail; 4 sigma for two.
    assert np.mean([report.verdict == "fail" for report in reports]) < 2 / 201 + 4 * (0.01 / 200 + 0.01 / 500) ** 0.5


def test_outliers_in_the_reference_do_not_hide_a_stranger():
    spoiled = REFERENCE.copy()
    spoiled[:40] *= 1e4
    assert misspecification(np.array([4.0, 0.0]), spoiled, HELD_OUT).report.verdict == "fail"


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="held_out"):
        misspecification(np.zeros(2), REFERENCE, HELD_OUT[:, :1])
    with pytest.raises(DataError, match="observed"):
        misspecification(np.array([0.0, np.nan]), REFERENCE, HELD_OUT)
