"""Observations unlike the simulations are warned of wherever a posterior is asked."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import misspecification
from fullfield.inference import EnsemblePosterior, FlowPosterior, OutsideSimulationsWarning, RatioPosterior
from fullfield.inference.implicit import ConditionedPosterior, ConstantSummaryWarning, train_fmpe, train_npe, train_nre
from fullfield.inference.observation import check_observation, remember, warn_if_outside
from fullfield.networks import gaussian, RatioClassifier
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.training import History


SPACE = ParameterSpace({name: Parameter(dist.Normal(0.0, 1.0)) for name in "ab"})
SIMULATED = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
FAR = np.array([300.0, -300.0, 0.0], np.float32)


def silent(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


@pytest.fixture(scope="module")
def posterior():
    density = gaussian(2, 3, key=jax.random.key(0), width=8, depth=1)
    return FlowPosterior(SPACE, density, eqx.nn.Identity(), (3,), remember(SIMULATED))


def test_every_door_of_a_posterior_warns(posterior, key):
    ratio = RatioPosterior(SPACE, RatioClassifier(2, 3, key=key, width=8), eqx.nn.Identity(), (3,), posterior.seen)
    at = jnp.zeros(2)
    for call in (
        lambda x: posterior.sample(key, x, 3),
        lambda x: posterior.log_prob(at, x),
        lambda x: ratio.log_unnormalised(at, x),
        lambda x: ConditionedPosterior(posterior).sample((3,), x),
    ):
        silent(lambda call=call: call(SIMULATED[0]))
        with pytest.warns(OutsideSimulationsWarning, match="Mahalanobis distance of .* of 500 simulations"):
            call(FAR)


def test_a_mixture_warns_once(posterior, key):
    with pytest.warns(OutsideSimulationsWarning) as record:
        EnsemblePosterior((posterior, posterior)).sample(key, FAR, 3)
    assert len(record) == 1


def test_compiled_and_traced_posteriors_are_silent(posterior, key):
    silent(lambda: jax.vmap(lambda x: posterior.sample(key, x, 3))(FAR[None]))
    silent(lambda: eqx.filter_jit(lambda p: p.sample(key, FAR, 3))(posterior))


@pytest.mark.parametrize("train", [train_npe, train_fmpe, train_nre])
def test_training_remembers_and_names_constant_summaries(train, monkeypatch):
    monkeypatch.setattr("fullfield.inference.implicit.estimate.fit", lambda module, *_, **__: (module, History()))
    source = StoredSimulations(SIMULATED[:, :2], np.insert(SIMULATED, 1, 3.0, axis=1), batch_size=250)
    with pytest.warns(ConstantSummaryWarning, match=r"columns \[1\] are the same in every simulation, and say nothing"):
        trained, _ = train(SPACE, source, source, key=jax.random.key(0))
    assert trained.seen.expected.shape == (500,)
    with pytest.warns(OutsideSimulationsWarning, match=r"columns \[1\]"):
        check_observation(np.zeros(4), trained.data_shape, seen=trained.seen)


@pytest.mark.parametrize("n", [10, 40])
def test_members_are_seldom_called_strangers_and_strangers_never_members(n):
    random, found = np.random.default_rng(1), []
    for _ in range(50):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            sample = random.normal(size=(n + 1, 4)) @ np.diag([1, 2, 1e-3, 1e3])
            warn_if_outside(sample[0], sample[1:])
        found.append(len(record))
        with pytest.warns(OutsideSimulationsWarning):
            warn_if_outside(np.full(4, 1e5), sample[1:])
    assert sum(found) <= 3  # expected one in a hundred or fewer


def test_too_few_simulations_say_so():
    with pytest.warns(OutsideSimulationsWarning, match="fewer than 10, too few to tell"):
        warn_if_outside(SIMULATED[0], SIMULATED[1:9])


def test_gaps_are_seen_from_the_simulations():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    with pytest.warns(OutsideSimulationsWarning, match="fifth neighbour"):
        warn_if_outside(np.zeros(2), ring)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_any_difference_in_a_constant_column_is_outside(value):
    simulated = np.insert(SIMULATED, 1, value, axis=1).astype(np.float32)
    observed = simulated[0].astype(float)
    observed[1] = value  # in double precision
    silent(lambda: warn_if_outside(observed, simulated))
    other = observed + np.array([0, 0.5, 0, 0])
    with pytest.warns(OutsideSimulationsWarning, match=r"other numbers in columns \[1\]"):
        warn_if_outside(other, simulated)
    report = misspecification(other, simulated[100:], simulated[:100]).report
    assert {number.verdict for number in report.numbers} == {"fail"}
    assert misspecification(observed, simulated[100:], simulated[:100]).report.verdict == "pass"
