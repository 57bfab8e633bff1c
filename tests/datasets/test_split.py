import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.datasets import FRACTIONS, split


@pytest.mark.parametrize("n", [1, 7, 100, 2501])
def test_parts_have_their_shares(n):
    counts = np.bincount(split(n, FRACTIONS, 0), minlength=4)
    assert counts.sum() == n
    assert (np.abs(counts - np.array(list(FRACTIONS.values())) * n) <= 1).all()


def test_split_depends_on_the_seed_alone():
    np.testing.assert_array_equal(split(500, FRACTIONS, 3), split(500, FRACTIONS, 3))
    assert (split(500, FRACTIONS, 3) != split(500, FRACTIONS, 4)).any()


def test_growing_keeps_earlier_parts_and_exact_shares():
    earlier = split(333, FRACTIONS, 0)
    grown = split(1000, FRACTIONS, 0, earlier=earlier)
    np.testing.assert_array_equal(grown[:333], earlier)
    np.testing.assert_array_equal(np.bincount(grown), [800, 100, 50, 50])


@pytest.mark.parametrize("fractions", [{"train": 0.8, "test": 0.1}, {"train": 1.2, "test": -0.2}])
def test_impossible_shares_are_refused(fractions):
    with pytest.raises(ConfigurationError, match="sum to one"):
        split(10, fractions, 0)
