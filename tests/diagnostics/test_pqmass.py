"""Two samples of one law, and of two."""

import numpy as np
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import pqmass


RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=(2, 3000, 3))


def test_samples_of_one_law_have_one():
    # Over 40 degrees of freedom one chi-square scatters by .22; five deviations of it.
    number = pqmass(*NORMAL, regions=41, repeats=50, random=RANDOM)
    assert number.uncertainty == pytest.approx(0.2236, abs=1e-4)
    assert abs(number.value - 1) < 5 * number.uncertainty


def test_chi_square_has_its_mean_over_many_samples():
    # Mean of 100 independent chi-squares of 19 degrees of freedom: deviation .033; four of them.
    values = [pqmass(*RANDOM.normal(size=(2, 200, 2)), regions=20, repeats=1, random=RANDOM).value for _ in range(100)]
    assert abs(np.mean(values) - 1) < 0.13


@pytest.mark.parametrize("change", [lambda x: x + 0.3, lambda x: 1.2 * x, lambda x: x + 0.5 * x[:, :1] ** 2])
def test_other_laws_have_more(change):
    assert pqmass(NORMAL[0], change(NORMAL[1]), regions=41, repeats=20, random=RANDOM).value > 2.5


def test_scales_do_not_matter_and_copies_give_themselves_away():
    scale = np.array([1.0, 1e3, 1e-3])
    assert pqmass(*(NORMAL * scale), regions=41, repeats=20, random=RANDOM).value < 2
    assert pqmass(NORMAL[0], NORMAL[0].copy(), regions=41, repeats=20, random=RANDOM).value < 0.2


def test_what_is_refused():
    with pytest.raises(DataError, match="fewer regions"):
        pqmass(NORMAL[0], NORMAL[1, :100], random=RANDOM)
    with pytest.raises(DataError, match="finite"):
        pqmass(NORMAL[0] * np.nan, NORMAL[1], random=RANDOM)
    with pytest.raises(ShapeError):
        pqmass(NORMAL[0], NORMAL[1, :, :2], random=RANDOM)
