import sys

import numpy as np
import pytest
from scipy import stats

from fullfield._core import ShapeError
from fullfield.diagnostics import c2st


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


@pytest.mark.parametrize(("units", "layers"), [(None, (20, 20)), (60, (60, 60))])
def test_the_classifier_is_the_published_one(key, monkeypatch, units, layers):
    seen = []

    class Guesser:
        def __init__(self, hidden_layer_sizes, **_):
            seen.append(hidden_layer_sizes)

        def fit(self, points, labels):
            return self

        def score(self, points, labels):
            return 0.5

    monkeypatch.setattr(sys.modules[c2st.__module__], "MLPClassifier", Guesser)
    c2st(normal(0), normal(1), units=units, key=key)
    assert seen == 5 * [layers]


@pytest.mark.usefixtures("unchecked")
def test_unequal_numbers_are_refused(key):
    with pytest.raises(ShapeError, match="as many as the reference"):
        c2st(normal(0, 100), normal(1, 101), key=key)


@pytest.mark.slow
def test_floor_with_ten_thousand_samples(key):
    # Exact draws against the reference draws of github.com/sbi-benchmark/sbibm gave .495 to .508.
    assert 0.49 < c2st(normal(0, 10_000), normal(1, 10_000), key=key)["c2st"].value < 0.512
