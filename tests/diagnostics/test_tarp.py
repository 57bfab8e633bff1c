import jax
import numpy as np
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import regress, tarp


def run(sample, key, **arguments):
    return tarp(sample.truths, sample.draws, estimates=sample.estimates, key=key, **arguments)


def test_exact_posterior_passes_for_every_rule(world, key):
    found = run(world.sample(500, 200, 20), key)
    assert found.report.verdict == "pass"
    assert found.curves.labels == ("uniform", "other_truth", "estimate")


@pytest.mark.parametrize("fault", [{"width": 1.5}, {"width": 0.67}, {"shift": 1.0}, {"prior": True}])
def test_faulty_posterior_is_rejected(world, key, fault):
    report = run(world.sample(500, 200, 21, **fault), key).report
    assert report.verdict == "fail"
    if "width" in fault:
        assert np.sign(report["tarp/other_truth/area"].value) == np.sign(fault["width"] - 1)


def test_only_references_that_depend_on_data_see_the_prior(world, key):
    report = run(world.sample(500, 200, 22, prior=True), key).report
    verdicts = {rule: report[f"tarp/{rule}/deviation"].verdict for rule in ("uniform", "other_truth", "estimate")}
    assert verdicts == {"uniform": "pass", "other_truth": "pass", "estimate": "fail"}


def test_bootstrap_spread_is_that_of_independent_simulations(world, key):
    # Reference value 0.022 at α = 0.5 for 500 simulations; 200 replicates give it to 5 %, so 0.0045 is four of these.
    found = run(world.sample(500, 100, 23), key)
    np.testing.assert_allclose(found.spread[:, 50], 0.0224, atol=0.0045)
    curve = found.curves.values[:, 10:-10]
    np.testing.assert_allclose(found.spread[:, 10:-10], np.sqrt(curve * (1 - curve) / 500), rtol=0.35)
    again = run(world.sample(500, 100, 23), key)
    np.testing.assert_array_equal(found.spread, again.spread)
    assert not np.array_equal(found.spread, run(world.sample(500, 100, 23), jax.random.key(1)).spread)


def test_fractions_are_uniform_with_few_draws(world, key):
    # Three draws give four ranks; without the random part the deviation would be 1/4 whatever the posterior.
    found = run(world.sample(2000, 3, 24), key)
    assert found.report["tarp/uniform/deviation"].value < 0.06


def test_units_do_not_matter(world, key):
    sample = world.sample(500, 200, 25, width=0.67)
    units = np.array([1e-6, 1.0, 1e5])
    scaled = tarp(sample.truths * units, sample.draws * units, estimates=sample.estimates * units, key=key).report
    plain = run(sample, key).report
    for number in plain.numbers:
        assert scaled[number.name].value == pytest.approx(number.value, abs=0.005)


def test_blocks_find_what_a_crowd_of_columns_hides(key):
    # One bad parameter beside 300 good ones, as parameters beside pixels: a block of its own brings it out.
    random = np.random.default_rng(26)
    truths, draws = random.normal(size=(300, 301)), random.normal(size=(300, 60, 301))
    draws[..., 0] *= 4
    blocks = ([0], range(1, 301))
    assert tarp(truths, draws, key=key).report.verdict == "pass"
    assert tarp(truths, draws, blocks=blocks, key=key).report.verdict == "fail"
    draws[..., 0] /= 4
    assert tarp(truths, draws, blocks=blocks, key=key).report.verdict == "pass"


def test_regression_gives_references_that_see_the_prior(world, key):
    random = np.random.default_rng(27)
    theta = random.normal(size=(1500, 2))
    summaries = np.stack([theta[:, 0] + theta[:, 1] ** 2, np.exp(theta[:, 1])], axis=1) + 0.1 * random.normal(size=(1500, 2))
    estimates = regress(theta[:1000], summaries[:1000], summaries[1000:])
    assert np.corrcoef(estimates[:, 1], theta[1000:, 1])[0, 1] > 0.9
    assert np.all(estimates >= theta[:1000].min(0))
    assert tarp(theta[1000:], random.normal(size=(500, 200, 2)), estimates=estimates, key=key).report.verdict == "fail"


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(world, key):
    sample = world.sample(50, 20, 28)
    with pytest.raises(ShapeError, match="blocks"):
        run(sample, key, blocks=([0, 1], [1, 2]))
    with pytest.raises(ShapeError, match="estimates"):
        tarp(sample.truths, sample.draws, estimates=sample.estimates[:, :2], key=key)
    stuck = sample.draws.copy()
    stuck[4, :, 2] = 0.3
    with pytest.raises(DataError, match="column 2 of simulation 4"):
        tarp(sample.truths, stuck, key=key)
