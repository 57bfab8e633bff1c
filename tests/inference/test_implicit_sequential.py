"""Rounds: truncation without leakage, continuation without a trace, and refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.datasets import StoredSimulations
from fullfield.inference import AbstractPosterior
from fullfield.inference.implicit import (
    PosteriorProposal,
    proposals,
    sequential,
    train_fmpe,
    train_nle,
    train_npe,
    train_nre,
    train_with_scores,
    truncate,
    TruncatedPrior,
)
from fullfield.inference.implicit.sequential import proposal_from
from fullfield.networks import gaussian, regression, smooth_flow, velocity_flow
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import BlackBoxModel, LinearGaussian
from fullfield.training import History


WORLD = LinearGaussian(n_data=3, n_parameters=2, latent_scale=0.2, noise_scale=0.2)
ALL_NOISE = LinearGaussian(n_data=3, n_parameters=2, latent_scale=1e-3, noise_scale=0.28)  # whose joint scores are exact
DENSITY = functools.partial(gaussian, width=8, depth=1)
TRAIN = functools.partial(train_npe, density=DENSITY, max_epochs=3)
SETTINGS = {"key": jax.random.key(0), "rounds": 3, "simulations": 500, "batch_size": 150}


@pytest.fixture(scope="module")
def observation():
    return WORLD.simulate(jax.random.key(5), 4).data[0]


@pytest.fixture(scope="module")
def whole(observation, tmp_path_factory):
    return sequential(TRAIN, WORLD, observation, directory=tmp_path_factory.mktemp("whole"), **SETTINGS)


def test_truncated_rounds_find_the_exact_posterior(whole, observation):
    posterior, used = whole
    mean, covariance = WORLD.posterior(observation)
    draws, sigma = np.asarray(posterior.sample(jax.random.key(1), observation, 4000)), np.sqrt(np.diag(covariance))
    # 1350 training simulations fix a mean to 0.03 σ and a width to 2 %; a start without training is worse.
    assert np.abs((draws.mean(0) - mean) / sigma).max() < 0.25
    np.testing.assert_allclose(draws.std(0) / sigma, 1, atol=0.15)
    assert used.simulations == (500, 500, 500)
    assert used.left_out == (0, 0, 0)


SMALL_FMPE = functools.partial(train_fmpe, density=functools.partial(velocity_flow, width=32, blocks=1, steps=12))


@pytest.mark.slow
@pytest.mark.parametrize("train", [train_nle, train_nre, SMALL_FMPE])
def test_rounds_of_every_method_find_the_exact_posterior(train, observation):
    """1350 simulations: means to .35 sigma and widths to a quarter; the prior is wider by more."""
    posterior, _ = sequential(train, WORLD, observation, **SETTINGS)
    mean, covariance = WORLD.posterior(observation)
    draws, sigma = np.asarray(posterior.sample(jax.random.key(1), observation, 4000)), np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(0) - mean) / sigma).max() < 0.35
    np.testing.assert_allclose(draws.std(0) / sigma, 1, atol=0.25)
    prior = np.asarray(WORLD.parameters.sample(jax.random.key(2), (4000,)))
    assert np.abs(prior.std(0) / sigma - 1).max() > 0.5


BENT = BlackBoxModel(lambda key, theta: jnp.exp(theta) + 0.1 * jax.random.normal(key, (2,)), WORLD.parameters)


def test_local_rounds_forget_what_is_far_and_continue_identically(tmp_path):
    """A likelihood whose mean is bent over the prior, described by a straight one: right where it matters only when local."""
    train = functools.partial(train_nle, density=functools.partial(regression, degree=1), max_epochs=1)
    observed = jnp.exp(jnp.array([0.5, -0.4]))

    def draws(**settings):
        posterior, _ = sequential(train, BENT, observed, hold_out=False, **(SETTINGS | {"rounds": 5}), **settings)
        return np.asarray(posterior.sample(jax.random.key(1), observed, 2000))

    near, far = draws(local=True, directory=tmp_path / "run"), draws(local=False)
    # Widths are the noise over the slope; 2500 simulations and what is left of the bend change them by a tenth at most.
    width = 0.1 / np.asarray(observed)
    np.testing.assert_allclose(near.std(axis=0), width, rtol=0.15)
    assert np.abs((near.mean(axis=0) - [0.5, -0.4]) / width).max() < 0.25
    assert (far.std(axis=0) / width).max() > 1.3
    (tmp_path / "run" / "round-5.training").unlink()
    (tmp_path / "run" / "round-5.simulations").unlink()
    np.testing.assert_array_equal(near, draws(local=True, directory=tmp_path / "run"))


@pytest.mark.slow
def test_a_parabola_fitted_nearby_is_not_trusted_far_away():
    """In its last rounds a regression of degree two sees a small piece of the exponential, and turns round outside it."""
    train = functools.partial(train_nle, density=regression, max_epochs=1)
    observed, width = jnp.exp(jnp.array([0.5, -0.4])), 0.1 / np.exp([0.5, -0.4])
    settings = {"rounds": 8, "simulations": 60, "batch_size": 20, "key": jax.random.key(3)}
    posterior, _ = sequential(train, BENT, observed, local=True, hold_out=False, **settings)
    draws = np.asarray(posterior.sample(jax.random.key(1), observed, 2000))
    # About a hundred simulations are near: a tenth of the width per moment, three of those and the exponential's own bend.
    np.testing.assert_allclose(draws.std(axis=0), width, rtol=0.4)
    assert np.abs((draws.mean(axis=0) - [0.5, -0.4]) / width).max() < 0.6


def test_local_rounds_count_what_is_not_finite_too():
    def failing(key, theta):
        fails = jax.random.uniform(jax.random.fold_in(key, 1)) < 0.1
        return jnp.where(fails, jnp.nan, jnp.exp(theta) + 0.1 * jax.random.normal(key, (2,)))

    train = functools.partial(train_nle, density=regression, max_epochs=1)
    model, observed = BlackBoxModel(failing, WORLD.parameters), jnp.ones(2)
    settings = SETTINGS | {"simulations": 200, "batch_size": 20, "rounds": 2, "local": True, "hold_out": False}
    posterior, used = sequential(train, model, observed, leave_out=True, **settings)
    # A tenth of 200, give or take four binomial errors.
    assert all(abs(count - 20) < 18 for count in used.left_out)
    assert np.isfinite(posterior.sample(jax.random.key(1), observed, 100)).all()
    with pytest.raises(DataError, match="NaN"):
        sequential(train, model, observed, **settings)


def test_truncated_prior_keeps_what_the_posterior_holds(whole, observation):
    posterior, _ = whole
    proposal = truncate(posterior, observation, key=jax.random.key(2), outside=0.01)
    draws = proposal.draw(jax.random.key(3), 3000)
    assert draws.shape == (3000, 2)
    assert bool(jnp.all(proposal.contains(draws)))
    # A hundredth of the posterior is cut away, give or take four binomial errors of both estimates.
    fresh = posterior.sample(jax.random.key(4), observation, 8192)
    assert abs(float(jnp.mean(proposal.contains(fresh))) - 0.99) < 4 * np.sqrt(2 * 0.01 * 0.99 / 8192)
    # Inside, draws follow the prior: weights of prior over density are equal, hence so are means of kept prior draws.
    prior = WORLD.parameters.sample(jax.random.key(6), (40000,))
    kept = np.asarray(prior)[np.asarray(proposal.contains(prior))]
    error = kept.std(0) * np.sqrt(1 / len(kept) + 1 / 3000)
    assert (np.abs(np.asarray(draws).mean(0) - kept.mean(0)) < 4 * error).all()
    assert len(kept) < 0.8 * len(prior), "the region must be smaller than the prior, or nothing was tested"


def test_a_region_that_the_prior_never_hits_is_filled_evenly(monkeypatch):
    """In the ellipsoid of a narrow Gaussian, draws under a flat prior have uniform (radius / edge)^p, to Kolmogorov's .1 %."""

    class Narrow(AbstractPosterior):
        parameters: ParameterSpace = ParameterSpace({name: Parameter(dist.Uniform(-1.0, 1.0)) for name in "abc"})
        data_shape: tuple[int, ...] = (1,)

        def sample(self, key, observation, n):
            return 0.2 + 1e-3 * jax.random.normal(key, (n, 3))

        def log_prob(self, theta, observation):
            return jnp.sum(dist.Normal(0.2, 1e-3).log_prob(theta))

    proposal = truncate(Narrow(), jnp.zeros(1), key=jax.random.key(0), outside=1e-3)
    batches, plain = [], proposals._prior_candidates
    monkeypatch.setattr(proposals, "_prior_candidates", lambda *given: batches.append(given) or plain(*given))
    draws = np.asarray(proposal.draw(jax.random.key(1), 2000))
    assert len(batches) == 1, "one batch of the prior's draws says that more will not do"
    assert bool(jnp.all(proposal.contains(jnp.asarray(draws))))
    radius = np.linalg.norm((draws - 0.2) / 1e-3, axis=1)
    edge = np.sqrt(-2 * (float(proposal.threshold) - float(Narrow().log_prob(jnp.full(3, 0.2), None))))
    assert stats.kstest((radius / edge) ** 3, "uniform").pvalue > 1e-3
    assert stats.kstest(radius**2, "chi2", args=(3,)).pvalue < 1e-6, "posterior draws as they are must not pass"


def test_a_region_narrow_in_some_parameters_alone_is_filled_by_the_prior_in_the_others(monkeypatch):
    """One parameter of five known, of priors flat and Gaussian: all draws from few candidates, each to Kolmogorov's .1 %."""
    priors = (
        dist.Uniform(-1.0, 1.0),
        dist.Uniform(0.0, 1.0),
        dist.Normal(1.0, 2.0),
        dist.LogNormal(0.0, 0.5),
        dist.Uniform(2.0, 3.0),
    )

    class Known(AbstractPosterior):
        parameters: ParameterSpace = ParameterSpace(
            {name: Parameter(prior) for name, prior in zip("abcde", priors, strict=True)}
        )
        data_shape: tuple[int, ...] = (1,)

        def sample(self, key, observation, n):
            theta = self.parameters.sample(key, (n,))
            return theta.at[:, 0].set(0.2 + 1e-3 * jax.random.normal(jax.random.fold_in(key, 99), (n,)))

        def log_prob(self, theta, observation):
            return self.parameters.log_prob(theta) + dist.Normal(0.2, 1e-3).log_prob(theta[0])

    proposal = truncate(Known(), jnp.zeros(1), key=jax.random.key(0), outside=1e-3)
    batches, plain = [], proposals._wide_candidates
    monkeypatch.setattr(proposals, "_wide_candidates", lambda *given: batches.append(given) or plain(*given))
    draws = np.asarray(proposal.draw(jax.random.key(1), 1000))
    assert len(batches) < 10, "a twentieth of the candidates at least"
    # What the region cuts from the others, a thousandth of the posterior, is seen by no such test.
    for column, prior in zip(draws.T[1:], priors[1:], strict=True):
        truth = np.asarray(prior.sample(jax.random.key(2), (100_000,)))
        assert stats.ks_2samp(column, truth).pvalue > 1e-3
    assert np.abs(draws[:, 0] - 0.2).max() < 5e-3


def test_an_interrupted_run_continues_identically(whole, observation, tmp_path):
    class Stop(Exception):
        pass

    def stop_at(wanted):
        def progress(stage, done, total, **numbers):
            if (stage, done) == wanted:
                raise Stop

        return progress

    for wanted in (("round 1", 2), ("round 3 of 3: simulating", 0), ("round 3", 1)):
        with pytest.raises(Stop):
            sequential(TRAIN, WORLD, observation, directory=tmp_path, progress=stop_at(wanted), **SETTINGS)
    posterior, used = sequential(TRAIN, WORLD, observation, directory=tmp_path, **SETTINGS)
    assert len(used.histories) == 1
    assert used.histories[0].held_out == whole[1].histories[-1].held_out
    same = [p.sample(jax.random.key(1), observation, 10) for p in (posterior, whole[0])]
    np.testing.assert_array_equal(*same)


@pytest.mark.slow
def test_rounds_with_scores_find_the_exact_posterior_from_fewer_simulations(observation):
    """The untrained regression on 120 simulations: scores of a linear model give the Gaussian, parameters alone do not."""
    mean, covariance = ALL_NOISE.posterior(observation)
    sigma = np.sqrt(np.diag(covariance))
    settings = {"key": jax.random.key(0), "rounds": 2, "simulations": 60, "batch_size": 60}

    def distance(train, **more):
        posterior, _ = sequential(
            functools.partial(train, density=smooth_flow, max_epochs=1, optimiser=optax.sgd(0.0)),
            ALL_NOISE,
            observation,
            **settings,
            **more,
        )
        draws = np.asarray(posterior.sample(jax.random.key(1), observation, 4000))
        return np.concatenate([(draws.mean(0) - mean) / sigma, draws.std(0) / sigma - 1])

    scored = distance(functools.partial(train_npe, score_weight=0.1), scores=True)
    assert np.abs(scored).max() < 0.08  # four errors of 4000 draws, and of the nearly Gaussian flow
    assert np.abs(distance(train_npe)).max() > 0.1


def test_the_check_of_scores_works_in_rounds(observation):
    train = functools.partial(train_with_scores, density=smooth_flow, max_epochs=2)
    posterior, used = sequential(train, WORLD, observation, scores=True, **(SETTINGS | {"rounds": 2}))
    assert posterior.sample(jax.random.key(1), observation, 10).shape == (10, 2)
    assert len(used.histories) == len(used.choices) == 2


def test_scores_and_trainings_that_do_not_fit_are_refused(observation):
    settings = SETTINGS | {"rounds": 1}
    for train, scores in ((TRAIN, True), (functools.partial(TRAIN, score_weight=0.1), False)):
        with pytest.raises(ConfigurationError, match="scores"):
            sequential(train, WORLD, observation, scores=scores, **settings)
    with pytest.raises(ConfigurationError, match="hold_out"):
        sequential(train_with_scores, WORLD, observation, scores=True, hold_out=False, **settings)


def test_scores_are_refused_where_there_are_none(observation):
    model = BlackBoxModel(lambda key, theta: theta, WORLD.parameters)
    with pytest.raises(ConfigurationError, match="BlackBoxModel"):
        sequential(functools.partial(train_npe, score_weight=0.1), model, np.zeros(2), scores=True, **SETTINGS)


def test_ratios_of_small_rounds_contrast_what_there_is(observation):
    """Of 60 simulations six are held out, fewer than the ten candidates that larger sets are told apart from."""
    settings = SETTINGS | {"rounds": 1, "simulations": 60}
    posterior, _ = sequential(functools.partial(train_nre, max_epochs=2), WORLD, observation, **settings)
    assert np.isfinite(posterior.sample(jax.random.key(1), observation, 100)).all()


def test_the_folder_of_another_run_is_refused(observation, tmp_path):
    settings = SETTINGS | {"rounds": 1}
    sequential(TRAIN, WORLD, observation, directory=tmp_path, **settings)
    with pytest.raises(ConfigurationError, match="round-1"):
        sequential(TRAIN, WORLD, observation + 1, directory=tmp_path, **settings)
    # Another method draws its parameters from another proposal.
    with pytest.raises(ConfigurationError, match="round-1"):
        sequential(train_nle, WORLD, observation, directory=tmp_path, **settings)


def test_each_method_gets_the_proposal_it_needs(whole, observation):
    simulations = WORLD.simulate(jax.random.key(7), 300)
    source = StoredSimulations(simulations.theta, simulations.data, batch_size=150)
    likelihood, _ = train_nle(WORLD.parameters, source, source, key=jax.random.key(0), density=DENSITY, max_epochs=1)
    assert isinstance(proposal_from(likelihood, observation, key=jax.random.key(1)), PosteriorProposal)
    assert isinstance(proposal_from(whole[0], observation, key=jax.random.key(1)), TruncatedPrior)


def test_failed_simulations_are_refused_or_counted(whole, observation):
    def simulator(key, theta):
        return jnp.where(theta[0] > 1.5, jnp.nan, WORLD.simulate_at(key, theta))

    model = BlackBoxModel(simulator, WORLD.parameters)
    settings = SETTINGS | {"rounds": 1, "simulations": 100}
    train = lambda *_, **__: (whole[0], History())  # noqa: E731
    with pytest.raises(DataError, match=r"in \d+ of 100 simulations.*leave_out"):
        sequential(train, model, observation, **settings)
    _, used = sequential(train, model, observation, leave_out=True, **settings)
    # P(θ > 1.5) = 0.067: about seven of a hundred.
    assert 1 <= used.left_out[0] <= 18


def test_impossible_rounds_are_refused(observation):
    for wrong in ({"rounds": 0}, {"simulations": 10}):
        with pytest.raises(ConfigurationError, match="at least one round of 20"):
            sequential(TRAIN, WORLD, observation, **(SETTINGS | wrong))


def test_maps_and_single_numbers_are_refused_without_a_summary():
    for shape, words in (((4, 4), "summarise: .*Give summarise="), ((), "vector of length one")):
        model = BlackBoxModel(lambda key, theta, shape=shape: jnp.full(shape, theta[0]), WORLD.parameters)
        with pytest.raises(ShapeError, match=words):
            sequential(TRAIN, model, np.zeros(shape), **SETTINGS)
        maps = StoredSimulations(np.zeros((9, 2)), np.zeros((9, *shape)), batch_size=9)
        with pytest.raises(ShapeError, match="simulations: expected a summary"):
            train_npe(WORLD.parameters, maps, maps, key=jax.random.key(0))
