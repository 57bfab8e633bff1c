import numpy as np
import pytest

from fullfield._core import DataError
from fullfield.diagnostics import figure_of_merit


COVARIANCE = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, 0.3], [0.0, 0.3, 0.25]]) * 1e-4


def draws(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal([0.3, 0.8, -1.0], COVARIANCE, size=n)


def test_normal_draws_give_the_closed_form():
    report = figure_of_merit(draws(20_000), names=("a", "b", "c"), published={("a", "b"): 9.0e3})
    assert [number.name for number in report.numbers] == ["fom/a-b", "fom/a-c", "fom/b-c"]
    for (i, j), number in zip([(0, 1), (0, 2), (1, 2)], report.numbers, strict=True):
        expected = np.linalg.det(COVARIANCE[np.ix_([i, j], [i, j])]) ** -0.5
        assert abs(number.value - expected) < 4 * number.uncertainty
        # ln det of a normal sample's covariance has variance 4 / n in two dimensions, ln FoM a quarter of it.
        assert number.uncertainty / number.value == pytest.approx(20_000**-0.5, rel=0.45)
    assert report["fom/a-b"].published == 9.0e3


def test_uncertainty_is_the_bootstrap_one():
    chain = np.exp(5 * draws(4000, 1))
    random = np.random.default_rng(2)
    merits = []
    for _ in range(300):
        sample = chain[random.integers(0, 4000, 4000)]
        merits.append(np.linalg.det(np.cov(sample[:, :2].T)) ** -0.5)
    number = figure_of_merit(chain, names=("a", "b", "c"), pairs=[("a", "b")])["fom/a-b"]
    # 40 batches give a standard deviation to 11 %.
    assert number.uncertainty == pytest.approx(np.std(merits), rel=0.4)


def test_uncertainty_knows_that_a_chain_repeats_itself():
    few, many = draws(400, 3), np.repeat(draws(400, 3), 25, axis=0)
    one, other = (figure_of_merit(chain, names=("a", "b", "c"))["fom/a-b"].uncertainty for chain in (few, many))
    assert other == pytest.approx(one, rel=0.05)


def test_degenerate_or_unknown_pairs_are_refused():
    chain = draws(100)
    chain[:, 1] = 2 * chain[:, 0]
    with pytest.raises(DataError, match="degenerate pair"):
        figure_of_merit(chain, names=("a", "b", "c"))
    with pytest.raises(DataError, match="'z'"):
        figure_of_merit(draws(100), names=("a", "b", "c"), pairs=[("a", "z")])
