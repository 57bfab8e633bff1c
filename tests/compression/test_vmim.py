"""VMIM against the exact mutual information and sufficient statistic of the linear-Gaussian world."""

import functools

import jax
import numpy as np
import pytest

from fullfield.compression import compress, train_compressor, VMIM
from fullfield.datasets import OnlineSimulations
from fullfield.networks import gaussian, MLP
from fullfield.simulators import LinearGaussian


WORLD = LinearGaussian(n_data=8, n_parameters=2, latent_scale=0.3, noise_scale=0.3)
COMPANION = functools.partial(gaussian, width=16, depth=1)


def bound(history):
    """The bound on the mutual information in nats: entropy of the unconstrained parameters minus the loss."""
    entropy = 0.5 * np.log(2 * np.pi * np.e) * WORLD.parameters.size - np.sum(np.log(WORLD.parameters.scale))
    return entropy - history.best


def train(summaries):
    network = MLP((8,), summaries, key=jax.random.key(1), width=32, depth=1)
    source = OnlineSimulations(WORLD, batch_size=256, steps_per_epoch=200)
    held_out = OnlineSimulations(WORLD, batch_size=8192, steps_per_epoch=1)
    key = jax.random.key(2)
    return train_compressor(VMIM(COMPANION), network, WORLD.parameters, source, held_out, key=key, max_epochs=8)


@pytest.fixture(scope="module")
def trained():
    return train(2)


def test_bound_reaches_the_exact_information(trained):
    exact = float(WORLD.mutual_information())
    # The held-out mean over 8192 examples has an error of about sqrt(p / 2 / 8192) = 0.011 nats.
    assert exact - 0.08 < bound(trained[1]) < exact + 0.045


def test_one_summary_is_too_few_for_two_parameters():
    # The best single number keeps the better of the two directions: at most ½ log(1 + largest eigenvalue of F).
    eigenvalues = np.linalg.eigvalsh(WORLD.fisher(WORLD.parameters.fiducial))
    lost = 0.5 * np.log1p(eigenvalues[0])
    assert lost > 0.3, "the world must need two summaries"
    assert bound(train(1)[1]) < float(WORLD.mutual_information()) - lost + 0.045


def test_summaries_determine_the_sufficient_statistic(trained):
    compressor, _ = trained
    data = WORLD.simulate(jax.random.key(5), 4000, batch_size=1000).data
    learned = compress(compressor, data, batch_size=1000)
    exact = np.asarray(jax.vmap(WORLD.optimal_summary)(data))
    # The map between the two may bend, hence cubic features of the learned summaries; a random projection reaches far less.
    explained = [fraction_explained(summary, exact) for summary in (learned, np.asarray(data)[:, :2])]
    assert explained[0] > 0.97
    assert explained[1] < 0.9


def fraction_explained(summary, target):
    x = (summary - summary.mean(0)) / summary.std(0)
    features = np.stack([x[:, 0] ** i * x[:, 1] ** j for i in range(4) for j in range(4 - i)], axis=1)
    residual = target - features @ np.linalg.lstsq(features, target, rcond=None)[0]
    return 1 - residual.var(0).max() / target.var(0).max()
