"""Simulator scores: right targets, right limits, and off where they harm."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.datasets import StoredSimulations
from fullfield.inference.implicit import (
    choose,
    ConstantSummaryWarning,
    guarded,
    simulate_with_scores,
    train_amortised,
    train_fmpe,
    train_folds,
    train_nle,
    train_npe,
    train_nre,
    train_score,
    train_with_scores,
    with_marginal_scores,
)
from fullfield.inference.implicit.nle import NLELoss
from fullfield.inference.implicit.npe import NPELoss
from fullfield.inference.implicit.scores import ScoreLoss
from fullfield.networks import regression, smooth_flow
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import LinearGaussian
from fullfield.simulators.tasks import TASKS
from fullfield.training import History


WORLD = LinearGaussian(n_data=3, n_parameters=2)
SMALL = functools.partial(smooth_flow, layers=1, width=16, ramps=4)
BOX = ParameterSpace({"a": Parameter(dist.Uniform(-1.0, 3.0)), "b": Parameter(dist.LogNormal(0.0, 0.4))})


@pytest.fixture(scope="module")
def truth():
    """Simulations with the joint scores of their latents."""
    theta = WORLD.parameters.sample(jax.random.key(0), (2000,))
    latents, data = jax.vmap(WORLD.simulate_with_latents)(jax.random.split(jax.random.key(1), 2000), theta)
    return theta, data, jax.jit(jax.vmap(WORLD.score))(theta, latents, data)


def rows_of(theta, data, scores, n, batch_size):
    rows = np.hstack([data, scores])
    train = StoredSimulations(theta[:n], rows[:n], batch_size=batch_size)
    return train, StoredSimulations(theta[1000:], rows[1000:], batch_size=500)


def test_targets_are_gradients_in_unconstrained_coordinates():
    log_likelihood = lambda theta: -jnp.sum((theta - 1.5) ** 2) + theta[0] * theta[1]  # noqa: E731

    def log_posterior(u):
        theta = BOX.to_constrained(u)
        return log_likelihood(theta) + BOX.log_prob(theta) - BOX.log_det_unconstrained(theta)

    for u in (jnp.array([0.3, -0.8]), jnp.array([-1.4, 1.1])):
        score = jax.grad(log_likelihood)(BOX.to_constrained(u))
        np.testing.assert_allclose(NPELoss(BOX).target(u, score), jax.grad(log_posterior)(u), rtol=2e-4)
        likelihood = jax.grad(lambda u: log_likelihood(BOX.to_constrained(u)))(u)
        np.testing.assert_allclose(NLELoss(BOX).target(u, score), likelihood, rtol=2e-4)
        assert np.abs(likelihood - score).max() > 0.1, "coordinates must matter, or nothing was tested"


@pytest.mark.slow
def test_loss_is_the_densitys_own_without_scores(truth, key):
    theta, data, scores = (array[:64] for array in truth)
    loss, density = NPELoss(WORLD.parameters), SMALL(2, 3, key=key)
    both = jax.jit(lambda weight, rows: ScoreLoss(loss, weight, jnp.ones(2))(density, theta, rows, key=key))
    plain = loss(density, theta, data, key=key)
    np.testing.assert_allclose(both(1.0, data), plain, rtol=1e-5)
    rows = jnp.hstack([data, scores])
    np.testing.assert_allclose(both(0.0, rows), plain, rtol=1e-5)
    gradient = jax.vmap(jax.grad(density.log_prob), in_axes=(0, 0))(WORLD.parameters.to_unconstrained(theta), data)
    target = jax.vmap(loss.target)(WORLD.parameters.to_unconstrained(theta), scores)
    np.testing.assert_allclose(both(0.3, rows) - plain, 0.3 * jnp.mean((gradient - target) ** 2), rtol=1e-3)


def test_simulations_come_with_their_scores(key):
    model = TASKS["two_moons"]()
    theta, rows = simulate_with_scores(model, key, 10)
    np.testing.assert_allclose(
        rows[:, 2:], jax.vmap(lambda t, x: model.score(t, {}, x))(theta, rows[:, :2]), rtol=1e-3, atol=1e-3
    )
    summed = simulate_with_scores(model, key, 10, lambda x: jnp.sum(x, keepdims=True))[1]
    np.testing.assert_allclose(summed, np.hstack([rows[:, :2].sum(1, keepdims=True), rows[:, 2:]]), rtol=1e-3, atol=1e-3)


def test_folds_hold_out_every_simulation_once(truth, key, tmp_path):
    """Log-probabilities of unseen simulations: those of the exact posterior, less what 61 simulations leave open."""
    theta, data, _ = (array[:61] for array in truth)
    settings = {"key": key, "density": SMALL, "folds": 3, "steps": 400, "checkpoint": tmp_path / "folds"}
    posterior, found, history = train_folds(WORLD.parameters, theta, data, **settings)
    assert len(posterior.members) == 3
    theta, data = theta[:60], data[:60]  # of one that is left over nothing is said
    prior = jax.vmap(WORLD.parameters.log_prob)(theta)
    for fold, member in enumerate(posterior.members):
        expected = guarded(jax.vmap(member.log_prob)(theta, data), prior, 41)[fold::3]
        np.testing.assert_allclose(found[fold::3], expected, rtol=1e-4, atol=1e-4)
    # Training stopped where these are best; its loss is that of unconstrained coordinates.
    volume = jnp.mean(jax.vmap(WORLD.parameters.log_det_unconstrained)(theta))
    assert volume - found.mean() == pytest.approx(history.best, abs=1e-4)
    again = train_folds(WORLD.parameters, *(array[:61] for array in truth[:2]), **settings)[1]
    np.testing.assert_array_equal(found, again)
    gaussians = [dist.MultivariateNormal(*WORLD.posterior(one)) for one in data]
    exact = np.mean([gaussian.log_prob(t) for gaussian, t in zip(gaussians, theta, strict=True)])
    assert -0.6 < found.mean() - exact < 0.1
    with pytest.raises(ConfigurationError, match="number of simulations, 60"):
        train_folds(WORLD.parameters, theta, data, key=key, folds=61)
    with pytest.raises(DataError, match="at least 7"):
        train_folds(WORLD.parameters, theta[:8], data[:8], key=key, folds=4)
    with pytest.raises(ShapeError, match="as many as theta"):
        train_folds(WORLD.parameters, theta[:50], data, key=key)
    with pytest.raises(DataError, match="1 of 60 simulations, first at 37"):
        train_folds(WORLD.parameters, theta, data.at[37].set(jnp.nan), key=key)
    with pytest.raises(ShapeError, match="longer than 2"):
        train_folds(WORLD.parameters, theta, data[:, :2], key=key, score_weight=1.0)


def test_folds_share_nothing_but_their_end(truth, key):
    """Several trainings at once are several trainings: one fold's weights do not depend on what the others see."""
    theta, data = np.asarray(truth[0][:40]), np.asarray(truth[1][:40])
    rows = np.concatenate([data, np.asarray(truth[2][:40])], axis=1)
    changed = theta.copy()
    changed[0] += 1e3  # fold 0 of 4 holds it out; in the others its gradients are clipped
    settings = {"key": key, "density": SMALL, "folds": 4, "steps": 1, "score_weight": 1.0}
    first, second = (train_folds(WORLD.parameters, t, rows, **settings)[0].members[0] for t in (theta, changed))
    np.testing.assert_allclose(*(one.log_prob(jnp.asarray(theta[1]), data[1]) for one in (first, second)), rtol=1e-4)


def test_one_miss_decides_no_mean():
    values, prior = np.array([1.0, -1e4]), np.full(2, -2.0)
    np.testing.assert_allclose(guarded(values, prior, 50), np.log([0.98 * np.e + np.exp(-2) / 50, np.exp(-2) / 50]), rtol=1e-5)


@pytest.mark.slow
def test_scores_help_where_right_and_are_dropped_where_wrong(truth):
    theta, data, _ = truth
    scores = jax.vmap(WORLD.marginal_score)(theta, data)
    settings = {"key": jax.random.key(2), "density": SMALL, "max_epochs": 40, "weight": 1.0}
    right = train_with_scores(WORLD.parameters, *rows_of(theta, data, scores, 200, 50), **settings)[2]
    wrong = train_with_scores(WORLD.parameters, *rows_of(theta, data, -5 * scores, 200, 50), **settings)[2]
    assert right.used
    assert right.gain > 2 * right.error > 0
    assert not wrong.used
    assert wrong.gain < right.gain


def test_a_gain_within_its_error_is_not_believed():
    random = np.random.default_rng(0)
    plain = random.normal(size=400)
    assert not choose(plain, plain + 0.005).used, "below the margin"
    assert choose(plain, plain + 0.02).used
    noisy = np.where(np.arange(400) == 0, 20.0, np.where(np.arange(400) == 1, -10.0, 0.0))  # two decide for all
    assert not choose(plain, plain + noisy).used, "its error is as large"
    assert not choose(plain[:1], plain[:1] + 1).used, "one simulation has no error"


@pytest.mark.slow
def test_a_likelihood_gains_by_scores_too(truth):
    """Of 60 simulations of a linear world: exact marginal scores must be worth more than chance."""
    theta, data, _ = truth
    scores = jax.vmap(WORLD.marginal_score)(theta, data)
    settings = {"key": jax.random.key(2), "density": SMALL, "max_epochs": 60, "weight": 1.0, "train": train_nle}
    assert train_with_scores(WORLD.parameters, *rows_of(theta, data, scores, 60, 30), **settings)[2].used
    assert not train_with_scores(WORLD.parameters, *rows_of(theta, data, -5 * scores, 60, 30), **settings)[2].used


def test_regression_finds_the_marginal_score(truth):
    theta, data, joint = truth
    score, _ = train_score(
        WORLD.parameters, *rows_of(theta, data, joint, 1000, 100), key=jax.random.key(3), width=32, blocks=1, max_epochs=40
    )
    rows = with_marginal_scores(score, theta[1000:], data[1000:])
    exact = np.asarray(jax.vmap(WORLD.marginal_score)(theta[1000:], data[1000:]))
    learnt, noisy = (np.mean((s - exact) ** 2) / np.mean(exact**2) for s in (rows[:, 3:], np.asarray(joint[1000:])))
    # 1000 noisy scores leave an error far below the noise itself.
    assert learnt < 0.1
    assert noisy > 0.2, "joint scores must be noisy, or nothing was tested"
    np.testing.assert_array_equal(rows[:, :3], data[1000:])


def test_rows_without_scores_are_refused(truth):
    theta, data, _ = truth
    short = StoredSimulations(theta[:100], data[:100, :2], batch_size=50)
    with pytest.raises(ShapeError, match="summary and score"):
        train_npe(WORLD.parameters, short, short, key=jax.random.key(0), density=SMALL, score_weight=0.1)


def test_methods_without_a_gradient_to_match_are_refused(truth):
    sources = rows_of(*truth, 200, 100)
    for train in (train_fmpe, functools.partial(train_nre, max_epochs=1)):
        with pytest.raises(ConfigurationError, match=r"train_npe, train_nle or train_amortised, got train_(fmpe|nre)"):
            train_with_scores(WORLD.parameters, *sources, key=jax.random.key(0), train=train)


def test_the_mixture_of_networks_takes_scores(truth, monkeypatch):
    """Scores of data on a logarithmic scale and beside a constant: networks, emulator and weights each see their columns."""
    begun = []

    def fit(module, loss, *_, **__):
        begun.append(loss)
        return module, History()

    monkeypatch.setattr("fullfield.inference.implicit.estimate.fit", fit)
    theta, data, scores = (np.asarray(array) for array in truth)
    data = np.insert(np.exp(data), 1, 1.0, axis=1)
    straight = functools.partial(regression, degree=1)
    train = functools.partial(train_amortised, density=straight, likelihood=straight, members=1)
    with pytest.warns(ConstantSummaryWarning):
        posterior, _, choice = train_with_scores(
            WORLD.parameters, *rows_of(theta, data, scores, 500, 250), key=jax.random.key(0), train=train
        )
    assert [isinstance(loss, ScoreLoss) for loss in begun] == [True, True, False] * 2
    assert posterior.data_shape == (4,)
    assert np.isfinite(choice.error)
    assert posterior.sample(jax.random.key(1), data[0], 5).shape == (5, 2)
