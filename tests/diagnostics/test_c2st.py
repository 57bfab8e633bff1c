import numpy as np
import pytest
from scipy import stats

from fullfield._core import ShapeError
from fullfield.diagnostics import c2st, LensingC2ST, SbibmC2ST


def normal(seed, n=250, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, 2)) * [1.0, 1e-4] + [shift, 3.0]


@pytest.mark.parametrize("definition", [SbibmC2ST(folds=3), pytest.param(LensingC2ST(), marks=pytest.mark.slow)])
def test_equal_laws_cannot_be_told_apart_and_others_can(key, definition):
    # 500 held-out labels: accuracy has std 0.0224, 3 of which are the tolerance.
    floor = c2st(normal(0), normal(1), definition=definition, bar="<= 0.6", key=key)["c2st"]
    assert floor.value == pytest.approx(0.5, abs=0.067)
    assert 0.0223 <= floor.uncertainty < 0.06
    assert floor.verdict == "pass"
    # Two unit normals a distance d apart: the best accuracy is Φ(d / 2).
    apart = c2st(normal(0, shift=1.0), normal(1), definition=definition, bar="<= 0.6", key=key)["c2st"]
    assert apart.value == pytest.approx(stats.norm.cdf(0.5), abs=0.067)
    assert apart.verdict == "fail"


def test_definitions_are_the_published_ones():
    assert SbibmC2ST().hidden(2) == (20, 20)
    assert LensingC2ST().hidden(6) == (60, 60)
    assert SbibmC2ST().folds == LensingC2ST().folds == 5


@pytest.mark.usefixtures("unchecked")
def test_unequal_numbers_are_refused(key):
    with pytest.raises(ShapeError, match="as many as the reference"):
        c2st(normal(0, 100), normal(1, 101), key=key)


@pytest.mark.slow
def test_floor_with_ten_thousand_samples(key):
    # Reference sheet: .495 to .508.
    assert 0.49 < c2st(normal(0, 10_000), normal(1, 10_000), key=key)["c2st"].value < 0.512
