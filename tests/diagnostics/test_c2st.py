import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import cross_val_score, KFold
from sklearn.neural_network import MLPClassifier

from fullfield._core import ShapeError
from fullfield.diagnostics import c2st, thinned


def normal(seed, n=250, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, 2)) * [1.0, 1e-4] + [shift, 3.0]


@pytest.mark.parametrize("settings", [{"folds": 3}, pytest.param({"units": 60}, marks=pytest.mark.slow)])
def test_equal_laws_cannot_be_told_apart_and_others_can(key, settings):
    # 500 held-out labels: accuracy has std 0.0224, 3 of which are the tolerance.
    floor = c2st(normal(0), normal(1), **settings, bar="<= 0.6", key=key)["c2st"]
    assert floor.value == pytest.approx(0.5, abs=0.067)
    assert 0.0223 <= floor.uncertainty < 0.06
    assert floor.verdict == "pass"
    # Two unit normals a distance d apart: the best accuracy is Φ(d / 2).
    apart = c2st(normal(0, shift=1.0), normal(1), **settings, bar="<= 0.6", key=key)["c2st"]
    assert apart.value == pytest.approx(stats.norm.cdf(0.5), abs=0.067)
    assert apart.verdict == "fail"


def test_the_classifier_is_that_of_scikit_learn(key):
    """A banana against a Gaussian of equal moments, where a better or worse classifier would be more or less accurate.

    2000 held-out labels: each accuracy has std 0.01, and the two see other folds; four of √2 of these are the tolerance.
    """
    random = np.random.default_rng(0)
    banana, gaussian = random.normal(size=(2, 1000, 2))
    banana[:, 1] = 0.5 * banana[:, 1] + (banana[:, 0] ** 2 - 1) * np.sqrt(3 / 8)
    points, labels = np.concatenate([banana, gaussian]), np.repeat([0, 1], 1000)
    theirs = MLPClassifier((20, 20), max_iter=10_000, random_state=0)
    accuracy = np.mean(cross_val_score(theirs, points, labels, cv=KFold(3, shuffle=True, random_state=0)))
    assert accuracy > 0.7
    ours = c2st(banana, gaussian, folds=3, key=key)["c2st"].value
    assert ours == pytest.approx(accuracy, abs=0.057)
    assert ours == c2st(banana, gaussian, folds=3, units=20, key=key)["c2st"].value
    assert ours != c2st(banana, gaussian, folds=3, units=60, key=key)["c2st"].value


@pytest.mark.usefixtures("unchecked")
def test_unequal_numbers_are_refused(key):
    with pytest.raises(ShapeError, match="as many as the reference"):
        c2st(normal(0, 100), normal(1, 101), key=key)


@pytest.mark.slow
def test_floor_with_ten_thousand_samples(key):
    # Exact draws against the reference draws of github.com/sbi-benchmark/sbibm gave .495 to .508.
    assert 0.49 < c2st(normal(0, 10_000), normal(1, 10_000), key=key)["c2st"].value < 0.512


def test_thinned_draws_reach_from_the_first_to_the_last():
    draws = np.arange(20.0).reshape(10, 2)
    np.testing.assert_array_equal(thinned(draws, 4), draws[[0, 3, 6, 9]])
    np.testing.assert_array_equal(thinned(draws, 10), draws)
