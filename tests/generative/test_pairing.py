"""Plans against brute force and their limits, and what suites that cannot be paired are told."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, FullfieldError, ShapeError
from fullfield.generative import (
    Assignment,
    CoupledSimulations,
    EqualSeeds,
    Independent,
    MapsAlone,
    Sinkhorn,
    Triangular,
)
from fullfield.generative.pairing import drawn, plan_entropy, smoothed
from fullfield.simulators import Simulations


KEY = jax.random.key(0)


def suite(seed, n, *, shift=0.0, pixels=4, bins=1, parameters=2):
    random = np.random.default_rng(seed)
    theta = random.random((n, parameters)) + shift
    maps = random.normal(size=(n, pixels, pixels, bins)) * np.exp(theta[:, :1, None, None])
    return Simulations(jnp.asarray(theta, jnp.float32), jnp.asarray(maps, jnp.float32))


def coupled(coupling=None, n=64, **settings):
    settings = {"batch_size": 16} | settings
    return CoupledSimulations(suite(1, n), suite(2, n), coupling, **settings)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_an_assignment_is_the_best_of_all_permutations(n):
    cost = np.random.default_rng(n).random((n, n))
    best = min(sum(cost[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(n))) / n
    plan = Assignment()(cost)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / n)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / n)
    assert np.sum(plan * cost) == pytest.approx(best)
    assert np.sum(Assignment()(-cost) * cost) > best + 1e-3, "the worst permutation would not pass"


def test_sinkhorn_becomes_the_assignment_without_entropy_and_independent_with_much():
    cost = np.random.default_rng(0).random((12, 12))
    best = np.sum(Assignment()(cost) * cost)
    excess = [np.sum(Sinkhorn(size)(cost) * cost) / best - 1 for size in (1.0, 0.1, 0.01, 0.003)]
    assert np.all(np.diff(excess) < 0)
    assert excess[-1] < 0.01
    assert excess[0] > 0.5, "the looser plan would not pass"
    # Of regularisation ε a plan is exp(-M / ε) about the product of its marginals.
    np.testing.assert_allclose(Sinkhorn(1e3)(cost), 1 / 144, rtol=5e-3)


def test_a_plan_of_two_pairs_with_entropy_is_known():
    # M = [[0, 1], [1, 0]] of mean 1/2: of symmetric plans the share on the diagonal is 1 / (1 + exp(-2 / ε)).
    plan = Sinkhorn(0.7)(np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(2 * plan[0, 0], 1 / (1 + np.exp(-2 / 0.7)), rtol=1e-6)


def test_without_weight_on_maps_partners_are_the_nearest_parameters_can_be():
    # Equal parameters in another order: the triangular plan finds each its own.
    first = suite(3, 32)
    order = np.random.default_rng(4).permutation(32)
    second = Simulations(first.theta[order], suite(5, 32).data)
    for weight in (0.0, 1e-4):
        pairs = CoupledSimulations(first, second, Triangular(weight), batch_size=8)
        assert pairs.quality(KEY).mismatch.max() == 0
        rows = pairs.rows(KEY)
        np.testing.assert_array_equal(order[rows[1]], rows[0])
    blind = CoupledSimulations(first, second, MapsAlone(), batch_size=8).quality(KEY)
    assert blind.mismatch.min() > 0.5


def test_of_equal_parameters_partners_are_those_of_each_group_alone():
    # Four cosmologies with eight maps each: conditional transport is transport within every one (exact special case).
    groups = np.repeat(np.arange(4), 8)
    theta = jnp.asarray(np.stack([groups, groups % 2], axis=1), jnp.float32)
    first, second = (Simulations(theta, suite(seed, 32).data) for seed in (6, 7))
    pairs = CoupledSimulations(first, second, Triangular(1e-3, pixels=4), batch_size=8)
    here, there = pairs.rows(KEY)
    np.testing.assert_array_equal(groups[here], groups[there])
    for group in range(4):
        rows = np.flatnonzero(groups == group)
        one, other = (np.asarray(each.data)[rows].reshape(8, -1) for each in (first, second))
        cost = ((one[:, None] - other) ** 2).sum(-1)
        best = np.sum(Assignment()(cost) * cost) * 8
        mine = groups[here] == group
        found = ((np.asarray(first.data)[here[mine]] - np.asarray(second.data)[there[mine]]) ** 2).sum()
        assert found == pytest.approx(best, rel=1e-5)


def test_weight_on_maps_moves_them_less_and_parameters_more():
    light, heavy = coupled(Triangular(1e-3, pixels=4)).quality(KEY), coupled(Triangular(3.0, pixels=4)).quality(KEY)
    assert heavy.displacement < light.displacement
    assert heavy.mismatch.mean() > 1.5 * light.mismatch.mean()


def test_quality_says_what_pairs_are_like():
    exact, loose, any_will_do = (
        coupled(each).quality(KEY) for each in (Triangular(), Triangular(planner=Sinkhorn(0.1)), Independent())
    )
    assert exact.entropy == 0
    assert exact.partners == 1
    assert 0.1 < loose.entropy < any_will_do.entropy
    assert any_will_do.entropy == pytest.approx(1.0)
    # Of n draws with replacement 1 - 1/e differ: 0.632 ± 0.04 for 64.
    assert any_will_do.partners == pytest.approx(1 - np.exp(-1), abs=0.15)
    # Uniform parameters differ by a third of their range, 1.15 deviations; 64 pairs have that to a tenth.
    np.testing.assert_allclose(any_will_do.mismatch, 2 / np.sqrt(3), atol=0.35)
    assert exact.mismatch.max() < loose.mismatch.min() < 0.8


def test_partners_are_drawn_as_the_plan_says():
    plan = np.array([[0.4, 0.1], [0.1, 0.4]])
    random = np.random.default_rng(0)
    same = np.mean([drawn(plan, random) == np.arange(2) for _ in range(2000)])
    assert same == pytest.approx(0.8, abs=0.03)  # three standard errors of 4000 draws
    assert plan_entropy(plan) == pytest.approx(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(2))


def test_batches_hold_partners_and_a_larger_suite_lends_others_every_epoch():
    cheap, costly = suite(1, 100), suite(2, 40)
    pairs = CoupledSimulations(cheap, costly, batch_size=8, block=16)
    assert (pairs.pairs, pairs.steps_per_epoch, pairs.cost(9)) == (40, 5, 140)
    shard = next(pairs.shards(KEY))
    theta, maps = shard.draw(KEY, jnp.asarray(1, jnp.int32))
    first, second = (rows[8:16] for rows in pairs.rows(KEY))
    np.testing.assert_array_equal(theta, np.concatenate([cheap.theta[first], costly.theta[second]], axis=1))
    np.testing.assert_array_equal(maps, np.concatenate([cheap.data[first], costly.data[second]], axis=-1))
    other = pairs.rows(jax.random.key(1))[0]
    assert len(np.unique(first)) == 8
    assert set(other) != set(pairs.rows(KEY)[0])
    assert pairs.identity != CoupledSimulations(cheap, costly, MapsAlone(), batch_size=8, block=16).identity


def test_equal_seeds_keep_rows_together():
    one = suite(1, 12)
    pairs = CoupledSimulations(one, Simulations(one.theta, 2 * one.data), EqualSeeds(), batch_size=4, block=5)
    np.testing.assert_array_equal(*pairs.rows(KEY))
    assert pairs.quality(KEY).displacement == pytest.approx(0.5)


def test_what_a_plan_sees_is_an_average_over_blocks():
    maps = np.arange(36.0).reshape(6, 6, 1)
    np.testing.assert_array_equal(smoothed(maps, 3), maps.reshape(3, 2, 3, 2).mean((1, 3)).ravel())
    np.testing.assert_array_equal(smoothed(maps, 5), smoothed(maps, 3))
    assert smoothed(maps, 8).shape == (36,)


def _bad(suite, row):
    return Simulations(suite.theta, suite.data.at[row, 0, 0, 0].set(jnp.nan))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: CoupledSimulations(suite(1, 64), suite(2, 64, shift=2.0), batch_size=8), DataError, "overlapping priors"),
        (lambda: CoupledSimulations(suite(1, 64), suite(2, 64, shift=0.6), batch_size=8), DataError, "overlapping priors"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8, pixels=8), batch_size=8), ShapeError, "finer"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8, bins=2), batch_size=8), ShapeError, "bins"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8, parameters=3), batch_size=8), ShapeError, "same order"),
        (lambda: CoupledSimulations(suite(1, 8), _bad(suite(2, 8), 5), batch_size=8), DataError, "costly.*first at row 5"),
        (lambda: CoupledSimulations(_bad(suite(2, 8), 3), suite(2, 8), batch_size=8), DataError, "cheap.*first at row 3"),
        (lambda: CoupledSimulations(suite(1, 1), suite(2, 8), batch_size=1), ConfigurationError, "at least two"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8), batch_size=8, block=1), ConfigurationError, "at least two"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8), batch_size=0), ConfigurationError, "positive"),
        (lambda: CoupledSimulations(suite(1, 8), suite(2, 8), EqualSeeds(), batch_size=8), DataError, "equal parameters"),
        (lambda: Triangular(-1.0), ConfigurationError, "not negative"),
        (lambda: Sinkhorn(0.0), ConfigurationError, "Assignment"),
        (lambda: Sinkhorn(1e-7)(np.random.default_rng(0).random((40, 40))), ConfigurationError, "Raise it"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_suites_that_cannot_be_paired_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, FullfieldError)


def test_suites_of_one_prior_are_never_refused():
    # Six parameters and few draws: many lie outside the range of the others.
    for seed in range(20):
        for n in (4, 16, 64):
            pairs = CoupledSimulations(suite(seed, n, parameters=6), suite(seed + 100, n, parameters=6), batch_size=4)
            assert pairs.steps_per_epoch == n // 4
