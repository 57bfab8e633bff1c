"""Every objective against closed forms of the linear-Gaussian world, whose posterior has one known mean and covariance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.compression import (
    compress,
    estimates,
    GaussianLikelihood,
    InfoNCE,
    MeanAbsoluteError,
    MeanSquaredError,
    MomentNetwork,
    predicted_precision,
    PredictedPrecision,
    train_compressor,
)
from fullfield.datasets import StoredSimulations
from fullfield.networks import MLP
from fullfield.simulators import LinearGaussian
from fullfield.training import cosine_adam


WORLD = LinearGaussian(n_data=8, n_parameters=2, latent_scale=0.3, noise_scale=0.3)
SPACE = WORLD.parameters
N, STEPS = 6000, 400


@pytest.fixture(scope="module")
def simulations():
    made = WORLD.simulate(jax.random.key(0), N + 2000)
    source = StoredSimulations(made.theta[:N], made.data[:N], batch_size=200)
    held_out = StoredSimulations(made.theta[N:], made.data[N:], batch_size=2000)
    exact = jax.vmap(lambda x: WORLD.posterior(x)[0])(made.data[N:])
    return source, held_out, made.data[N:], np.asarray(SPACE.to_unconstrained(exact))


def train(objective, simulations, outputs=2):
    source, held_out, *_ = simulations
    network = MLP((8,), outputs, key=jax.random.key(1), width=16, depth=1)
    epochs = STEPS // source.steps_per_epoch
    return train_compressor(
        objective, network, SPACE, source, held_out,
        key=jax.random.key(2), optimiser=cosine_adam(1e-2, STEPS), max_epochs=epochs,
    )  # fmt: skip


# What training leaves of the exact mean, as a share of the posterior's own variance. It must be far below one to say that the
# posterior mean was found, and not the best guess from the prior, whose share is near 10.
NEAR = 0.05


@pytest.mark.parametrize(
    "objective", [MeanSquaredError(), MeanAbsoluteError(), GaussianLikelihood(width=16), MomentNetwork(), PredictedPrecision()]
)
def test_regressions_find_the_posterior_mean(objective, simulations):
    *_, data, exact = simulations
    compressor, history = train(objective, simulations, objective.least_summaries(2))
    summary = compress(compressor, data)
    covariance = np.asarray(WORLD.posterior(data[0])[1]) / np.outer(SPACE.scale, SPACE.scale)
    variances = np.diag(covariance)
    assert np.all(np.mean((summary[:, :2] - exact) ** 2, axis=0) < NEAR * variances)
    assert np.all(exact.var(axis=0) > 2 * variances), "the prior mean would do"
    if isinstance(objective, MomentNetwork):
        # The variance of 6000 squares is known to √(2/6000) = 2 %; the regression is no better.
        np.testing.assert_allclose(np.exp(summary[:, 2:]).mean(0), variances, rtol=0.15)
    if isinstance(objective, GaussianLikelihood):
        # The loss is the posterior's entropy, to the error of a mean over 2000 χ² with two degrees of freedom, .022 nats.
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        assert -0.07 < history.best - entropy < 0.1
    if isinstance(objective, PredictedPrecision):
        # Variances and covariance of 6000 residuals are known to 2 %, the regression is no better; and the loss is p less a
        # log determinant, of which half is an entropy as above.
        precision = np.asarray(jax.vmap(lambda t: predicted_precision(t, 2))(summary)).mean(0)
        root = np.linalg.cholesky(covariance)
        np.testing.assert_allclose(root.T @ precision @ root, np.eye(2), atol=0.15)
        assert -0.14 < history.best - 2 - np.linalg.slogdet(covariance)[1] < 0.2
        np.testing.assert_allclose(compress(estimates(compressor, 2), data), summary[:, :2], rtol=1e-6)


def test_the_loss_of_predicted_precision_is_that_of_a_gaussian():
    """Seven parameters and their precision are the 35 outputs of the published networks."""
    objective, p, (u_key, key) = PredictedPrecision(), 7, jax.random.split(jax.random.key(3))
    assert [objective.least_summaries(size) for size in (4, 5, 7)] == [14, 20, 35]
    u, summary = jax.random.normal(u_key, (5, p)), jax.random.normal(key, (5, 35))
    logs = [
        stats.multivariate_normal(row[:p], np.linalg.inv(np.asarray(predicted_precision(row, p), float))).logpdf(x)
        for row, x in zip(summary, u, strict=True)
    ]
    np.testing.assert_allclose(objective(None, u, summary), -2 * np.mean(logs) - p * np.log(2 * np.pi), rtol=1e-4)


def test_the_contrastive_bound_stays_below_the_exact_information(simulations):
    _, history = train(InfoNCE(size=32, width=32), simulations)
    exact = float(WORLD.mutual_information())
    # The batch of 2000 bounds the information by 7.6 nats, far above; the mean over it has an error of .03 nats.
    bound = np.log(2000) - history.best
    assert 0.85 * exact < bound < exact + 0.1


def test_a_summary_too_short_for_the_objective_is_refused(simulations):
    with pytest.raises(ConfigurationError, match="at least 4 outputs for MomentNetwork of 2 parameters"):
        train(MomentNetwork(), simulations)
    assert InfoNCE().least_summaries(2) == 1


def constant(maps, bins):
    return maps.at[..., jnp.asarray(bins)].set(2.0)


def test_constant_and_infinite_data_are_refused():
    space, key = SPACE, jax.random.key(5)
    theta, maps = SPACE.sample(key, (40,)), jax.random.normal(key, (40, 4, 4, 3))
    network = MLP((4, 4, 3), 2, key=key, width=4, depth=1)

    def train_on(data):
        source = StoredSimulations(theta, data, batch_size=20)
        return train_compressor(MeanSquaredError(), network, space, source, source, key=key, max_epochs=1)

    with pytest.raises(DataError, match=r"constant ones in bins \[0, 2\]"):
        train_on(constant(maps, [0, 2]))
    with pytest.raises(DataError, match=r"data.*finite"):
        train_on(maps.at[3, 0, 0, 0].set(jnp.nan))
    # Constants of their own in some simulations: of forty in one batch, seven.
    flat = StoredSimulations(theta, maps.at[:7].set(jnp.arange(7.0)[:, None, None, None]), batch_size=40)
    with pytest.raises(DataError, match="constant ones in 7 of 40 simulations"):
        train_compressor(MeanSquaredError(), network, space, flat, flat, key=key, max_epochs=1)
    # Maps without bins, each of a constant of its own, and maps that are all the same.
    for wrong, said in (
        (jnp.broadcast_to(jnp.arange(40.0)[:, None, None], (40, 4, 4)), "constant ones in 20 of 20 simulations"),
        (jnp.broadcast_to(maps[:1], maps.shape), "simulations that differ, got equal ones"),
    ):
        source = StoredSimulations(theta, wrong, batch_size=20)
        net = MLP(wrong.shape[1:], 2, key=key, width=4, depth=1)
        with pytest.raises(DataError, match=said):
            train_compressor(MeanSquaredError(), net, space, source, source, key=key, max_epochs=1)
    vectors = StoredSimulations(theta, jnp.ones((40, 5)), batch_size=20)
    with pytest.raises(DataError, match="equal ones"):
        train_compressor(MeanSquaredError(), MLP(5, 2, key=key), space, vectors, vectors, key=key, max_epochs=1)


def test_parameters_of_another_number_are_refused():
    key = jax.random.key(7)
    theta, data = jax.random.normal(key, (40, 3)), jax.random.normal(key, (40, 5))
    source = StoredSimulations(theta, data, batch_size=20)
    with pytest.raises(ShapeError, match="vectors of 2 parameters: theta_1, theta_2, got 3"):
        train_compressor(MeanSquaredError(), MLP(5, 2, key=key), SPACE, source, source, key=key, max_epochs=1)


def test_other_pixels_or_bins_than_those_of_training_are_refused():
    key = jax.random.key(6)
    maps = jax.random.normal(key, (40, 4, 4, 3))
    source = StoredSimulations(SPACE.sample(key, (40,)), maps, batch_size=20)
    network = MLP((4, 4, 3), 2, key=key, width=4, depth=1)
    compressor, _ = train_compressor(MeanSquaredError(), network, SPACE, source, source, key=key, max_epochs=1)
    for wrong in (maps[0, ..., :2], maps[0, :2]):
        with pytest.raises(ShapeError, match=r"\(4, 4, 3\)"):
            compressor(wrong)
