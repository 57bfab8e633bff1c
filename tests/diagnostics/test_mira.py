import jax
import numpy as np
import pytest

from fullfield.diagnostics import mira, mira_null_mean
from fullfield.diagnostics.mira import mira_of, mira_score
from fullfield.diagnostics.references import Distances, place_references


def one_radius(truths, draws, centres, random):
    """The published algorithm, one trial at a time: a random draw sets the radius."""
    scores = []
    for truth, many, centre in zip(truths, draws, centres, strict=True):
        distances = np.linalg.norm(many - centre, axis=1)
        chosen = random.integers(len(many))
        inside = np.sum(np.delete(distances, chosen) < distances[chosen])
        others = len(many) - 1
        hit = np.linalg.norm(truth - centre) <= distances[chosen]
        smoothed = (inside + 1) / (others + 2) if hit else (others - inside + 1) / (others + 2)
        scores.append(smoothed / ((others + 1) / (others + 2)))
    return np.array(scores)


def box_world(width=1.0, bias=0.0, count=4000, size=200):
    """Two parameters, uniform prior on the unit square, measured to 0.02: the posterior is normal to high accuracy."""
    random = np.random.default_rng(30)
    truths = random.uniform(size=(count, 2))
    measured = truths + 0.02 * random.normal(size=(count, 2))
    return truths, measured[:, None] + 0.02 * (bias + width * random.normal(size=(count, size, 2)))


@pytest.mark.parametrize(("draws", "mean"), [(5, 0.7333), (100, 0.6700), (500, 0.6673)])
def test_null_mean_is_exact(draws, mean):
    assert mira_null_mean(draws) == pytest.approx(mean, abs=5e-5)
    # Every rank 0..S is equally likely for an exact posterior.
    scores = mira_score(np.arange(draws + 1), draws)
    assert scores.mean() == pytest.approx(mira_null_mean(draws), rel=1e-12)
    if draws == 500:
        assert scores.var() == pytest.approx(1 / 180, rel=0.01)


@pytest.mark.parametrize("size", [5, 100])
def test_score_is_the_published_one_averaged_over_radii(size):
    random = np.random.default_rng(31)
    count = 20_000 if size == 5 else 4000
    truths, draws, centres = (random.normal(size=shape) for shape in ((count, 2), (count, size, 2), (count, 2)))
    truths *= 0.8
    published = one_radius(truths, draws, centres, random)
    ranks = np.sum(
        np.linalg.norm(draws - centres[:, None], axis=-1) < np.linalg.norm(truths - centres, axis=-1)[:, None], axis=1
    )
    averaged = mira_score(ranks, size)
    difference = published - averaged
    assert abs(difference.mean()) < 4 * difference.std() / count**0.5
    assert abs(averaged.mean() - mira_null_mean(size)) > 4 * averaged.std() / count**0.5


def test_published_algorithm_has_the_stated_null_spread():
    # Variance of one trial 1/18, so sqrt(1/(18 L)) for L: the relative error of a variance of 4000 is about 2 %.
    random = np.random.default_rng(32)
    scores = one_radius(
        random.normal(size=(4000, 2)), random.normal(size=(4000, 100, 2)), random.normal(size=(4000, 2)), random
    )
    assert scores.var() == pytest.approx(1 / 18, rel=0.08)
    assert scores.mean() == pytest.approx(mira_null_mean(100), abs=4 * (18 * 4000) ** -0.5)


@pytest.mark.parametrize(
    ("width", "bias", "score"),
    [
        (4, 0, 0.739), (2, 0, 0.719), (1, 0, 0.667), (0.5, 0, 0.605), (0.25, 0, 0.559),
        (1, 0.5, 0.657), (1, 1, 0.633), (1, 2, 0.576), (1, 4, 0.539),
    ],
)  # fmt: skip
def test_score_is_two_sided_with_the_tabulated_values(key, width, bias, score):
    # The table's own error is about 0.004 (a few thousand trials of variance 1/18), ours 0.002.
    report = mira(*box_world(width, bias), key=key)
    assert report["mira/uniform/score"].value == pytest.approx(score, abs=0.008)
    assert report["mira/uniform/score"].verdict == ("pass" if (width, bias) == (1, 0) else "fail")


def test_null_spread_is_right_with_one_centre_and_with_shared_simulations(world):
    # One centre: all ranks equally likely, sqrt(1/(180 T)) for many draws.
    sample = world.sample(400, 100, 33)
    single = mira(sample.truths, sample.draws, folds=1, key=jax.random.key(0))
    assert single["mira/uniform/score"].uncertainty == pytest.approx(mira_score(np.arange(101), 100).std() / 20, rel=1e-3)
    # Four centres share a simulation: z over 200 worlds has unit variance (error 5 %, tolerance 4 of it) and no offset.
    z = []
    for seed in range(200):
        sample = world.sample(60, 30, 1000 + seed)
        report = mira(sample.truths, sample.draws, estimates=sample.estimates, key=jax.random.key(seed))
        z.append([report[f"mira/{rule}/z"].value for rule in ("uniform", "other_truth", "estimate")])
    assert np.all(np.abs(np.mean(z, axis=0)) < 4 / 200**0.5)
    assert np.all(np.abs(np.std(z, axis=0) - 1) < 0.2)


def test_errors_are_those_of_a_bootstrap_over_simulations(world):
    sample, random = world.sample(300, 50, 36, width=3.0), np.random.default_rng(37)
    placed = place_references(sample.truths, sample.draws, estimates=sample.estimates, blocks=None, folds=4, random=random)
    report, scores = mira_of(placed, random=random), []
    for _ in range(200):
        rows = random.integers(0, 300, 300)
        again = mira_of(Distances(placed.rules, placed.truths[..., rows], placed.draws[:, :, rows]), random=random)
        scores.append([again[f"mira/{rule}/score"].value for rule in placed.rules])
    for rule, many in zip(placed.rules, np.transpose(scores), strict=True):
        null, error = report[f"mira/{rule}/score"].uncertainty, report[f"mira/{rule}/z"].uncertainty
        # 200 replicates: to 5 %, four of those.
        assert error * null == pytest.approx(many.std(), rel=0.2), rule
    # The null's own deviation would be off by more than is allowed above.
    assert report["mira/uniform/z"].uncertainty < 0.8


@pytest.mark.parametrize("fault", [{"width": 1.5}, {"width": 0.67}, {"shift": 1.0}])
def test_exact_passes_and_faults_fail(world, key, fault):
    good, bad = world.sample(500, 200, 34), world.sample(500, 200, 34, **fault)
    assert mira(good.truths, good.draws, estimates=good.estimates, key=key).verdict == "pass"
    assert mira(bad.truths, bad.draws, estimates=bad.estimates, key=key).verdict == "fail"


def test_only_centres_that_depend_on_data_see_the_prior(world, key):
    sample = world.sample(1000, 200, 35, prior=True)
    report = mira(sample.truths, sample.draws, estimates=sample.estimates, key=key)
    assert report["mira/uniform/score"].verdict == "pass"
    assert report["mira/estimate/score"].verdict == "fail"
