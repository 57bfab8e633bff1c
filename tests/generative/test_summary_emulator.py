"""An emulator in a bent linear-Gaussian world, where density, draws and posterior are known in closed form."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from fullfield._core import DataError, digest, load_module, ParameterError, save_module, ShapeError, stream
from fullfield.datasets import StoredSimulations
from fullfield.generative import SummaryEmulator, train_summary_emulator
from fullfield.inference.explicit import sample_density, Target
from fullfield.inference.implicit import sequential, train_npe
from fullfield.networks import gaussian, masked_autoregressive
from fullfield.parameters import Parameter, ParameterSpace


SPACE = ParameterSpace({name: Parameter(dist.Normal(0.0, 1.0)) for name in ("a", "b")})
RESPONSE = np.array([[1.0, 0.3], [-0.5, 1.0], [0.2, 0.8]])
ROOT = np.array([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.3, 0.3]])
SMALL = functools.partial(masked_autoregressive, layers=3, width=24, depth=2)
N = 16384
KEY = jax.random.key(7)


def bent(straight):
    """Summaries of S = A theta + n with a parabola along the first added to the second, of unit Jacobian."""
    return straight + np.array([0.0, 0.5, 0.0]) * straight[..., :1] ** 2


def straightened(summaries):
    return summaries - np.array([0.0, 0.5, 0.0]) * summaries[..., :1] ** 2


def pairs(name, n=N):
    key = stream(jax.random.key(0), name)
    theta = SPACE.sample(stream(key, "theta"), (n,))
    noise = np.asarray(jax.random.normal(stream(key, "noise"), (n, 3))) @ ROOT.T
    return np.asarray(theta), bent(np.asarray(theta) @ RESPONSE.T + noise).astype(np.float32)


def train(theta, summaries):
    held_out = StoredSimulations(*pairs("held out", 1024), batch_size=256)
    simulations = StoredSimulations(theta, summaries, batch_size=256)
    return train_summary_emulator(SPACE, simulations, held_out, key=jax.random.key(1), density=SMALL, max_epochs=60)


@pytest.fixture(scope="module")
def trained():
    return train(*pairs("training"))


@pytest.fixture(scope="module")
def shuffled():
    theta, summaries = pairs("training")
    return train(theta[np.random.default_rng(0).permutation(N)], summaries)


def divergence(emulator):
    """Mean of log p(S | theta) - log q(S | theta) over pairs of the world."""
    theta, summaries = pairs("fresh", 4096)
    truth = stats.multivariate_normal(np.zeros(3), ROOT @ ROOT.T).logpdf(straightened(summaries) - theta @ RESPONSE.T)
    found = jax.jit(jax.vmap(emulator.log_likelihood))(jnp.asarray(theta), jnp.asarray(summaries))
    return float(np.mean(truth - np.asarray(found)))


def errors_of_draws(emulator):
    """Mean and covariance of straightened draws at some parameters, in units of the scatter: what is left of 0 and of 1."""
    errors = []
    for number, theta in enumerate(jnp.array([[0.8, -0.6], [-1.2, 0.4]])):
        simulate = jax.jit(jax.vmap(emulator.simulate_at, in_axes=(0, None)))
        draws = straightened(np.asarray(simulate(jax.random.split(jax.random.key(number), N), theta)))
        white = np.linalg.solve(ROOT, (draws - RESPONSE @ np.asarray(theta)).T)
        errors += [np.abs(white.mean(axis=1)).max(), np.abs(np.cov(white) - np.eye(3)).max()]
    return errors


def test_density_and_draws_are_those_of_the_world(trained, shuffled):
    """Weights learnt from 16384 pairs cost some hundredths of a nat, as a mean does that is off by .2 of the scatter.

    Draws are as many as pairs: their own errors are a hundredth. With parameters that are dealt among the pairs at random all
    the information is gone, nearly three nats.
    """
    (emulator, _), (twin, _) = trained, shuffled
    assert -0.01 < divergence(emulator) < 0.06
    assert max(errors_of_draws(emulator)) < 0.15
    assert divergence(twin) > 0.06 * 10
    assert max(errors_of_draws(twin)) > 0.15 * 10


OBSERVED = bent(RESPONSE @ np.array([0.7, -0.5]) + ROOT @ np.array([0.5, -1.0, 0.8])).astype(np.float32)


def exact_posterior():
    precision = np.linalg.inv(ROOT @ ROOT.T)
    covariance = np.linalg.inv(np.eye(2) + RESPONSE.T @ precision @ RESPONSE)
    return covariance @ RESPONSE.T @ precision @ straightened(OBSERVED), covariance


def errors_of_posterior(draws):
    """Mean and covariance of draws in units of the exact posterior's scatter: what is left of 0 and of 1."""
    mean, covariance = exact_posterior()
    white = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(draws) - mean).T)
    return np.abs(white.mean(axis=1)).max(), np.abs(np.cov(white) - np.eye(2)).max()


def test_rounds_on_the_emulator_find_the_posterior_of_the_world(trained):
    """The emulator and 1350 simulations miss a mean by .1 of the scatter each; the prior is several times as wide."""
    npe = functools.partial(train_npe, density=functools.partial(gaussian, width=16), max_epochs=30)
    posterior, used = sequential(npe, trained[0], OBSERVED, key=jax.random.key(2), rounds=3, simulations=500, batch_size=150)
    assert used.simulations == (500, 500, 500)
    draws = posterior.sample(jax.random.key(3), OBSERVED, 4000)
    assert max(errors_of_posterior(draws)) < 0.3
    assert max(errors_of_posterior(SPACE.sample(jax.random.key(4), (4000,)))) > 1


def test_chains_on_the_emulator_find_it_too(trained):
    """2000 draws of correlated chains are right to a few hundredths, the emulator to another .1."""
    target = Target(trained[0], OBSERVED)
    start = target.dispersed(jax.random.key(5), 4)
    draws = sample_density(target, start, key=jax.random.key(6), n=500, warmup=200)
    assert max(errors_of_posterior(jax.vmap(target.theta)(draws.positions.reshape(-1, 2)))) < 0.25


def test_equal_keys_train_and_simulate_equally(trained):
    again = train(*pairs("training"))[0]
    assert digest(again) == digest(trained[0])
    one, same, other = again.simulate(KEY, 16), trained[0].simulate(KEY, 16), again.simulate(jax.random.key(8), 16)
    np.testing.assert_array_equal(one.data, same.data)
    assert np.abs(one.data - other.data).min() > 0


def test_the_disk_gives_back_the_emulator(trained, tmp_path):
    save_module(tmp_path / "emulator", trained[0])
    like = SummaryEmulator(SPACE, SMALL(3, 2, key=KEY))
    loaded = load_module(tmp_path / "emulator", like)
    assert digest(loaded) == digest(trained[0]) != digest(like)
    np.testing.assert_array_equal(loaded.simulate(KEY, 16).data, trained[0].simulate(KEY, 16).data)
    with pytest.raises(DataError, match="arrays of the given structure"):
        load_module(tmp_path / "emulator", SummaryEmulator(SPACE, SMALL(4, 2, key=KEY)))


def test_outside_the_prior_nothing_is_known():
    space = ParameterSpace({name: Parameter(dist.Uniform(0.1, 0.5)) for name in ("a", "b")})
    emulator, outside = SummaryEmulator(space, SMALL(3, 2, key=jax.random.key(0))), jnp.array([0.3, 0.6])
    refused = pytest.raises(ParameterError, match=r"b: expected a value inside the prior \(0.1 to 0.5\), got 0.6")
    with refused:
        emulator.simulate_at(jax.random.key(1), outside)
    with refused:
        emulator.log_likelihood(outside, jnp.zeros(3))
    simulate = eqx.filter_jit(emulator.simulate_at)
    assert np.isfinite(simulate(jax.random.key(1), jnp.array([0.3, 0.4]))).all()
    with pytest.raises(Exception, match="inside the prior that the emulator was trained on"):
        jax.block_until_ready(simulate(jax.random.key(1), outside))


def test_what_cannot_be_emulated_is_refused_by_name():
    theta, summaries = pairs("training", 512)

    def refuse(kind, match, theta=theta, summaries=summaries):
        simulations = StoredSimulations(theta, summaries, batch_size=256)
        with pytest.raises(kind, match=match):
            train_summary_emulator(SPACE, simulations, simulations, key=jax.random.key(0), density=SMALL)

    refuse(DataError, r"collapsed ones: \[1\]", summaries=summaries * np.array([1, 0, 1], np.float32))
    refuse(DataError, r"repeat the others: \[(0|3)\]", summaries=np.concatenate([summaries, 2 * summaries[:, :1]], axis=1))
    refuse(DataError, "at least 7 to train on", theta[:5], summaries[:5])
    narrow = ParameterSpace({name: Parameter(dist.Uniform(-1.0, 1.0)) for name in SPACE.names})
    simulations = StoredSimulations(theta, summaries, batch_size=256)
    with pytest.raises(ParameterError, match="a: expected a value inside the prior"):
        train_summary_emulator(narrow, simulations, simulations, key=jax.random.key(0), density=SMALL)


@pytest.mark.usefixtures("unchecked")
def test_maps_are_no_summaries():
    theta, summaries = pairs("training", 512)
    maps = StoredSimulations(theta, summaries[..., None], batch_size=256)
    with pytest.raises(ShapeError, match=r"got shape \(3, 1\)"):
        train_summary_emulator(SPACE, maps, maps, key=jax.random.key(0), density=SMALL)
