"""Every objective against the exact information of a Gaussian field."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.compression import (
    canonical,
    compress,
    fisher_of_summaries,
    GaussianLikelihood,
    InfoNCE,
    information_kept,
    MeanAbsoluteError,
    MeanSquaredError,
    MomentNetwork,
    moped,
    Tangents,
    train_compressor,
    train_imnn,
    VMIM,
)
from fullfield.datasets import StoredSimulations
from fullfield.networks import apply_many, MLP
from fullfield.simulators import GaussianField
from fullfield.training import cosine_adam


WORLD = GaussianField()
FIDUCIAL = WORLD.parameters.fiducial
N, HELD_OUT, DERIVED, TESTED = 100_000, 4000, 50_000, 20_000


class Powers(eqx.Module):
    """Mean power of all modes of one |k|, which is sufficient, over what is expected at the fiducial parameters."""

    squares: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, data):
        wavenumber = np.fft.fftfreq(16, 1 / 16)
        square = np.rint(wavenumber[:, None] ** 2 + wavenumber**2)
        rings = jnp.asarray([(square == s) / (square == s).sum() for s in self.squares], jnp.float32)
        return jnp.einsum("ryx,yx->r", rings, WORLD.modes(data) / WORLD.power(FIDUCIAL))


def powers(least=1):
    wavenumber = np.fft.fftfreq(16, 1 / 16)
    squares = np.unique(np.rint(wavenumber[:, None] ** 2 + wavenumber**2))
    return Powers(tuple(int(s) for s in squares if s >= least))


class Carried(eqx.Module):
    """A statistic and its derivatives at the fiducial parameters."""

    statistic: Callable

    def __call__(self, key):
        rows = Tangents(WORLD, FIDUCIAL[None]).simulate_at(key, FIDUCIAL)[0]
        value, push = jax.linearize(self.statistic, rows[0])
        return jnp.concatenate([value[None], jax.vmap(push)(rows[1:])])[None]


class Simulated(eqx.Module):
    """A statistic of a simulation."""

    statistic: Powers

    def __call__(self, key, theta):
        return self.statistic(WORLD.simulate_at(key, theta))


def prepared(statistic):
    theta = WORLD.parameters.sample(jax.random.key(0), (N,))
    rows = apply_many(Simulated(statistic), jax.random.split(jax.random.key(1), N), theta, batch_size=1000)
    tangents = apply_many(Carried(statistic), jax.random.split(jax.random.key(2), DERIVED + TESTED), batch_size=1000)
    return np.asarray(theta), rows, tangents


@pytest.fixture(scope="module")
def data():
    return prepared(powers())


def train(objective, data):
    theta, rows, tangents = data
    network = MLP(rows.shape[1], 4 if isinstance(objective, MomentNetwork) else 2, key=jax.random.key(3), width=32, depth=1)
    if objective == "imnn":
        at = np.broadcast_to(np.asarray(FIDUCIAL), (DERIVED, 2))
        source = StoredSimulations(at[HELD_OUT:], tangents[HELD_OUT:DERIVED], batch_size=500)
        held_out = StoredSimulations(at[:HELD_OUT], tangents[:HELD_OUT], batch_size=HELD_OUT)
        optimiser = cosine_adam(5e-3, 20 * source.steps_per_epoch)
        return train_imnn(network, source, held_out, key=jax.random.key(4), optimiser=optimiser, max_epochs=20)[0]
    source = StoredSimulations(theta[HELD_OUT:], rows[HELD_OUT:], batch_size=200)
    held_out = StoredSimulations(theta[:HELD_OUT], rows[:HELD_OUT], batch_size=200)
    return train_compressor(
        objective, network, WORLD.parameters, source, held_out,
        key=jax.random.key(4), optimiser=cosine_adam(5e-3, 20 * source.steps_per_epoch), max_epochs=20, average=0.999,
    )[0]  # fmt: skip


def share(compressor, tested):
    """Covariances of 20 000 simulations are known to 1 %, their volume to √2 of it, and the root of that to .7 %."""
    (found,) = fisher_of_summaries(compressor, tested)
    return information_kept(found, np.asarray(WORLD.fisher(FIDUCIAL)))


def kept(compressor, data):
    return share(compressor, data[2][DERIVED:])


@pytest.mark.slow
@pytest.mark.parametrize("objective", [VMIM(), InfoNCE(), "imnn"], ids=str)
def test_objectives_of_information_keep_it(objective, data):
    assert 0.98 < kept(train(objective, data), data) < 1.02


@pytest.mark.slow
@pytest.mark.parametrize("objective", [MeanSquaredError(), MeanAbsoluteError(), GaussianLikelihood(), MomentNetwork()], ids=str)
def test_regression_keeps_no_more(objective, data):
    """The posterior of two parameters of a power law is nearly normal, so that its mean loses little."""
    assert 0.93 < kept(train(objective, data), data) < 1.02


@pytest.mark.slow
@pytest.mark.parametrize(("least", "low", "high"), [(1, 0.98, 1.02), (50, 0.0, 0.3)], ids=["all powers", "small scales"])
def test_scores_of_powers_keep_what_is_in_them(least, low, high):
    """Linear powers are sufficient, and scores of them lose only what a covariance from n simulations does: d / n, .2 %."""
    score = moped(WORLD, powers(least), key=jax.random.key(5), simulations=20_000)
    tested = apply_many(Carried(score), jax.random.split(jax.random.key(6), TESTED), batch_size=1000)
    assert low < share(eqx.nn.Identity(), tested) < high


@pytest.mark.slow
@pytest.mark.parametrize(("size", "low", "high"), [(2, 0.92, 0.98), (4, 0.98, 1.02)])
def test_canonical_combinations_need_to_be_as_many_as_directions_in_which_powers_move(size, low, high, data):
    """Over this prior mean powers are no linear functions of the parameters: two combinations see less than four."""
    theta, rows, _ = data
    assert low < kept(canonical(WORLD.parameters, theta, rows, size=size), data) < high


@pytest.mark.slow
def test_a_blind_network_keeps_far_less():
    """Small scales hold noise alone."""
    blind = prepared(powers(least=50))
    compressor = train(VMIM(), blind)
    assert kept(compressor, blind) < 0.3
    assert compress(compressor, blind[1][:10]).shape == (10, 2)
