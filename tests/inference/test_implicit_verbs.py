"""The verbs of sbi, and what they refuse."""

import functools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.datasets import StoredSimulations
from fullfield.inference import FlowPosterior, OutsideSimulationsWarning
from fullfield.inference.implicit import ConstantSummaryWarning, FewSimulationsWarning, FMPE, NLE, NPE, NRE, train_nle
from fullfield.networks import gaussian, regression
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.training import History


PRIOR = {"a": dist.Uniform(-1.0, 1.0), "b": dist.Uniform(-1.0, 1.0)}
SMALL = {"density": functools.partial(gaussian, width=8, depth=1)}


@pytest.fixture(scope="module")
def simulations():
    random = np.random.default_rng(0)
    theta = random.uniform(-1, 1, (600, 2)).astype(np.float32)
    return theta, theta + 0.1 * random.normal(size=(600, 2)).astype(np.float32)


@pytest.mark.parametrize("method", [NPE, NLE])
def test_verbs_work(method, simulations):
    theta, x = simulations
    inference = method(PRIOR, **SMALL)
    inference.append_simulations(theta[:300], x[:300]).append_simulations(theta[300:], x[300:])
    inference.train(max_num_epochs=3)
    posterior = inference.build_posterior().set_default_x(np.zeros((1, 2)))
    draws = posterior.sample((20, 50))
    assert draws.shape == (20, 50, 2)
    assert float(jnp.abs(draws).max()) < 1
    # The prior's deviation is 0.58, the posterior's 0.1.
    assert float(draws.std()) < 0.4
    assert not np.array_equal(draws, posterior.sample((20, 50))), "every call draws others"
    values = posterior.log_prob(jnp.array([[0.0, 0.0], [0.9, -0.9], [1.1, 0.0]]))
    assert values[0] > values[1] > values[2] == -np.inf
    assert inference.history.simulations == 600


def test_every_method_is_trained_by_its_function(monkeypatch, simulations):
    space = NPE(PRIOR).prior
    untrained = FlowPosterior(space, gaussian(2, 2, key=jax.random.key(0), width=8), eqx.nn.Identity(), (2,))
    for method in (NPE, NLE, NRE, FMPE):
        calls = []

        def train(*_, calls=calls, **settings):
            calls.append(settings)
            return untrained, History()

        monkeypatch.setattr(method, "_train", staticmethod(train))
        method(PRIOR, patience=3).append_simulations(*simulations).train(max_num_epochs=7)
        assert (calls[0]["max_epochs"], calls[0]["patience"]) == (7, 3)


def test_proposals_that_need_a_correction_are_refused(simulations):
    theta, x = simulations
    inference = NPE(PRIOR, **SMALL)
    inference.append_simulations(theta, x).train(max_num_epochs=1)
    posterior = inference.build_posterior()
    with pytest.raises(ConfigurationError, match="TruncatedPrior"):
        inference.append_simulations(theta, x, proposal=posterior)
    NLE(PRIOR).append_simulations(theta, x, proposal=posterior)
    proposal = posterior.truncated(np.zeros(2))
    inference.append_simulations(proposal.draw(jax.random.key(0), 600), x, proposal=proposal)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda theta, x: (theta, np.where(np.arange(600)[:, None] < 3, np.nan, x)),
            DataError,
            "3 of 600 simulations, first at 0",
        ),
        (lambda theta, x: (2 * theta, x), ParameterError, "a value inside the prior"),
        (lambda theta, x: (theta[:-1], x), ShapeError, "599 simulations"),
    ],
)
def test_bad_simulations_are_refused(spoil, error, words, simulations):
    with pytest.raises(error, match=words):
        NPE(PRIOR).append_simulations(*spoil(*simulations))


def test_failed_simulations_are_counted(simulations):
    theta, x = simulations
    inference = NPE(PRIOR).append_simulations(theta, np.where(theta[:, :1] > 0.9, np.inf, x), leave_out=True)
    assert inference.left_out == int((theta[:, 0] > 0.9).sum()) > 0


def test_too_few_and_constant_simulations_are_refused(simulations):
    theta, x = simulations
    for n in (5, 1):
        with pytest.raises(DataError, match=f"at least 6 to train on, for 2 parameters and 2 summaries, got {n - 1}"):
            NPE(PRIOR, **SMALL).append_simulations(theta[:n], x[:n]).train()
    with pytest.raises(DataError, match=r"same value in every simulation in columns \[1\]"):
        NLE(PRIOR, **SMALL).append_simulations(theta, x * [1, 0]).train()


def test_a_constant_summary_can_be_left_out(simulations):
    theta, x = simulations
    with_constant = np.concatenate([x[:, :1], np.full((len(x), 1), 3.0), x[:, 1:]], axis=1).astype(np.float32)
    settings = {"key": jax.random.key(0), "max_epochs": 2, "density": functools.partial(gaussian, width=8, depth=1)}
    pair = lambda data: [StoredSimulations(theta, data, batch_size=len(x))] * 2  # noqa: E731
    space = ParameterSpace({name: Parameter(law) for name, law in PRIOR.items()})
    plain, _ = train_nle(space, *pair(np.asarray(x, np.float32)), **settings)
    with pytest.warns(ConstantSummaryWarning, match=r"\[1\]"):
        found, _ = train_nle(space, *pair(with_constant), leave_out_constant=True, **settings)
    observation = np.array([0.2, 3.0, -0.1], np.float32)
    with pytest.warns(OutsideSimulationsWarning, match=r"other numbers in columns \[1\]"):
        found.sample(jax.random.key(0), observation + np.array([0, 0.5, 0], np.float32), 1)
    at = jnp.zeros(2)
    expected = plain.log_unnormalised(at, observation[[0, 2]])
    np.testing.assert_allclose(found.log_unnormalised(at, observation), expected, rtol=1e-5)


def test_an_observation_outside_the_simulations_is_warned_of_once(simulations):
    inference = NPE(PRIOR, **SMALL).append_simulations(*simulations)
    inference.train(max_num_epochs=1)
    posterior = inference.build_posterior()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.set_default_x(np.zeros(2)).sample((3,))
    with pytest.warns(OutsideSimulationsWarning, match="Mahalanobis distance of .* of 600 simulations"):
        posterior.set_default_x(np.array([4.0, 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.sample((3,))


@pytest.fixture
def untrained(monkeypatch):
    """Networks are begun with, and left as they are."""
    monkeypatch.setattr("fullfield.inference.implicit.estimate.fit", lambda module, *_, **__: (module, History()))


@pytest.mark.usefixtures("untrained")
def test_few_simulations_are_warned_of_where_a_network_is_trained(simulations):
    theta, x = simulations
    with pytest.warns(FewSimulationsWarning, match=r"at least 24 to train a network on.* got 9\. .*regression"):
        NPE(PRIOR, **SMALL).append_simulations(theta[:10], x[:10]).train()
    NPE(PRIOR, density=functools.partial(regression, degree=1)).append_simulations(theta[:10], x[:10]).train()


@pytest.mark.usefixtures("untrained")
def test_a_grid_up_to_the_edge_of_the_prior_is_trained_on():
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2), axis=-1).reshape(-1, 2)
    begun = NPE(PRIOR, **SMALL).append_simulations(grid, grid + 0.1 * np.sin(9 * grid)).train()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(begun.density, eqx.is_array)))
    assert np.isfinite(begun.log_prob(begun.parameters.off_edge(jnp.ones(2)), jnp.ones(2)))


def test_simulations_outside_the_prior_are_counted(simulations):
    theta, x = simulations
    source = StoredSimulations(theta * np.where(np.arange(600) < 300, 0.9, 3)[:, None].astype("f"), x, batch_size=600)
    outside = int((np.abs(3 * theta[300:]) > 1).any(axis=1).sum())
    with pytest.raises(DataError, match=f"inside the prior, got {outside} of 600"):
        train_nle(NPE(PRIOR).prior, source, source, key=jax.random.key(0), **SMALL)


def test_summaries_with_scores_are_looked_at_without_them(simulations):
    theta, x = simulations
    rows = np.concatenate([x, (x - theta) / 0.01], axis=1)
    inference = NPE(PRIOR, score_weight=0.1, **SMALL).append_simulations(theta, rows)
    inference.train(max_num_epochs=1)
    assert inference.build_posterior().sample((5,), x=x[0]).shape == (5, 2)
    for method in (FMPE, NRE):
        with pytest.raises(ConfigurationError, match=f"train_npe, train_nle or train_amortised, got {method._train.__name__}"):
            method(PRIOR, score_weight=0.1).append_simulations(theta, rows).train()


LOW, HIGH = jnp.array([-1.0, 0.0]), jnp.array([1.0, 5.0])


@pytest.mark.parametrize(
    ("prior", "bounds"),
    [
        (dist.Uniform(LOW, HIGH).to_event(1), ((-1, 1), (0, 5))),
        (dist.Uniform(LOW, HIGH), ((-1, 1), (0, 5))),
        (dist.Uniform(0.0, 2.0).expand([2]).to_event(1), ((0, 2), (0, 2))),
    ],
)
def test_one_distribution_of_independent_components_is_a_prior(prior, bounds):
    inference = NPE(prior)
    assert inference.prior.names == ("theta_1", "theta_2")
    assert inference.prior.bounds == bounds
    inference.append_simulations(np.full((3, 2), 0.5), np.zeros((3, 2)), proposal=prior)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "prior", [dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), dist.TruncatedNormal(LOW, 1.0, low=LOW), [1.0], {"a": 3.0}]
)
def test_priors_without_independent_named_components_are_refused(prior):
    with pytest.raises(ConfigurationError, match=r"vector of independent components.* Write it as"):
        NPE(prior)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((6,), (6, 2)), r"theta: .* got \(6,\).*theta\[:, None\]"),
        (((6, 2), (6,)), "x: .*vector of length one"),
        (((6, 2), (6, 4, 4)), "x: .*Summarise each"),
        (((6, 2), (6, 3)), "2 columns, as the earlier"),
    ],
)
def test_shapes_that_are_no_summaries_are_refused(shapes, words, simulations):
    inference = NPE(PRIOR).append_simulations(*simulations)
    with pytest.raises(ShapeError, match=words):
        inference.append_simulations(*map(np.zeros, shapes))


def test_verbs_out_of_order_are_refused(simulations):
    with pytest.raises(ConfigurationError, match="append_simulations"):
        NPE(PRIOR).train()
    with pytest.raises(ConfigurationError, match="Call train"):
        NPE(PRIOR).build_posterior()
    inference = NPE(PRIOR, **SMALL).append_simulations(*simulations)
    inference.train(max_num_epochs=1)
    with pytest.raises(ConfigurationError, match="set_default_x"):
        inference.build_posterior().sample((3,))


def test_names_of_settings_that_users_of_sbi_know_are_understood(simulations):
    theta, x = simulations
    inference = NPE(PRIOR, density_estimator="mdn").append_simulations(theta, x)
    found = inference.train(max_num_epochs=2, stop_after_epochs=1, learning_rate=1e-3)
    assert isinstance(found, FlowPosterior)
    assert type(found.density.flow).__name__ == "ConditionalMixture"
    assert inference.build_posterior(found).sample(3, x=x[0]).shape == (3, 2)
    again = NPE(PRIOR).build_posterior(found)
    assert again.sample((3,), x=x[0]).shape == (3, 2)
    with pytest.raises(ShapeError, match=r"theta: expected \(n, 2\) or \(2,\), got .*\(600, 1\)"):
        again.log_prob(theta[:, :1], x=x[0])


def test_settings_that_do_not_exist_or_cannot_be_are_refused(simulations):
    with pytest.raises(ConfigurationError, match=r"density_estimator: expected nsf or maf or mdn, got .*resnet"):
        NPE(PRIOR, density_estimator="resnet")
    with pytest.raises(ConfigurationError, match=r"arguments of train_nre: .*contrast.*got .*num_atoms"):
        NRE(PRIOR, num_atoms=10)
    inference = NPE(PRIOR, **SMALL).append_simulations(*simulations)
    with pytest.raises(ConfigurationError, match=r"validation_fraction: expected a number between 0 and 1, got 1\.5"):
        inference.train(validation_fraction=1.5)
    with pytest.raises(ConfigurationError, match=r"expected arguments of train_npe.*got .*clip_max_norm"):
        inference.train(clip_max_norm=5.0)
    with pytest.raises(ConfigurationError, match=r"score_weight: expected no negative number, got -1"):
        NPE(PRIOR, score_weight=-1.0, **SMALL).append_simulations(simulations[0], np.tile(simulations[1], 2)).train()
