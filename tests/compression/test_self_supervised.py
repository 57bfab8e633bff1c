"""Self-supervised summaries against their formulas, and against what is known of a linear world."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import FullfieldError
from fullfield.compression import compress, SimCLR, train_self_supervised, VICReg
from fullfield.datasets import Pairs, StoredSimulations
from fullfield.networks import MLP
from fullfield.simulators import LinearGaussian, simulate_views


def embeddings():
    random = np.random.default_rng(0)
    first = random.normal(size=(7, 5))
    return first, first + 0.3 * random.normal(size=(7, 5))


def test_vicreg_is_its_equations():
    first, second = embeddings()
    invariance = np.mean([np.sum((a - b) ** 2) for a, b in zip(first, second, strict=True)])
    variance = covariance = 0.0
    for z in (first, second):
        c = np.cov(z, rowvar=False)
        variance += np.mean([max(0.0, 1 - np.sqrt(c[j, j] + 1e-4)) for j in range(5)])
        covariance += sum(c[k, m] ** 2 for k in range(5) for m in range(5) if k != m) / 5
    pair = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    assert float(VICReg(5.0, 4.0, 2.0, summed=True)(*pair)) == pytest.approx(
        5 * invariance + 4 * variance + 2 * covariance, rel=1e-5
    )
    assert float(VICReg(5.0, 4.0, 2.0)(*pair)) == pytest.approx(invariance + 4 * variance + 2 * covariance, rel=1e-5)


def test_simclr_is_a_cross_entropy_over_all_other_views():
    first, second = embeddings()
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(14):
        others = [k for k in range(14) if k != i]
        terms = {k: np.exp(z[i] @ z[k] / 0.2) for k in others}
        losses.append(-np.log(terms[(i + 7) % 14] / sum(terms.values())))
    found = SimCLR(0.2)(jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


WORLD = LinearGaussian(n_data=8, n_parameters=2, latent_scale=0.2, noise_scale=0.2)
SHARED, VARIED = WORLD.parameters.names


@pytest.fixture(scope="module")
def parts():
    views = simulate_views(WORLD, jax.random.key(0), 2200, 4, nuisance=(VARIED,))
    theta, data = np.asarray(views.theta[:, 0, :1]), np.asarray(views.data)  # what views share
    return tuple(
        StoredSimulations(theta[rows], data[rows], batch_size=200, augment=Pairs(2)) for rows in (slice(200, None), slice(200))
    )


@pytest.mark.parametrize("agreement", [VICReg(), SimCLR(0.2)])
def test_summaries_keep_what_views_share_and_forget_what_they_vary(parts, agreement):
    """Linear regressions of both parameters on the summary, on simulations of its own: how much of their variance it explains,
    beside the best that data allow for the one, with the other marginalised."""
    network = MLP((8,), 1, key=jax.random.key(1), width=32, depth=1)
    expander = functools.partial(MLP, width=32, depth=1)
    compressor, _ = train_self_supervised(
        agreement, network, *parts, key=jax.random.key(2), expander=expander, embedding=8, max_epochs=60
    )
    tested = WORLD.simulate(jax.random.key(3), 4000)
    t = compress(compressor, np.asarray(tested.data))
    explained = {name: _explained(t, np.asarray(tested.theta[:, i])) for i, name in enumerate(WORLD.parameters.names)}
    best = _explained(np.asarray(tested.data), np.asarray(tested.theta[:, 0]))
    assert best > 0.6
    assert explained[SHARED] > 0.93 * best
    assert explained[VARIED] < 0.02


def _explained(t, theta):
    features = np.concatenate([t**power for power in (0, 1, 2, 3)], axis=1)
    found = features @ np.linalg.lstsq(features, theta, rcond=None)[0]
    return 1 - np.var(theta - found) / np.var(theta)


def test_cosmologies_in_both_parts_and_single_views_are_refused(parts):
    source, held_out = parts
    network = MLP((8,), 1, key=jax.random.key(1))
    with pytest.raises(FullfieldError, match="200 that are among 200, first in its row 0"):
        train_self_supervised(VICReg(), network, held_out, held_out, key=jax.random.key(2))
    single = [
        StoredSimulations(np.asarray(part.theta), np.asarray(part.data)[:, :1], batch_size=100) for part in (source, held_out)
    ]
    with pytest.raises(FullfieldError, match="even number of views"):
        train_self_supervised(VICReg(), network, *single, key=jax.random.key(2))
    with pytest.raises(FullfieldError, match="validation: expected groups"):
        train_self_supervised(VICReg(), network, source, single[1], key=jax.random.key(2))
    alone = [
        StoredSimulations(np.asarray(part.theta), np.asarray(part.data)[:, 0], batch_size=100) for part in (source, held_out)
    ]
    with pytest.raises(FullfieldError, match=r"groups \(v, ...\)"):
        train_self_supervised(VICReg(), network, *alone, key=jax.random.key(2))


def test_cosmologies_in_both_parts_are_seen_behind_a_nuisance_in_theta():
    """Before, rows of theta were compared as they are, and those of one cosmology differed in the nuisance of their views."""
    views = simulate_views(WORLD, jax.random.key(4), 600, 4, nuisance=(VARIED,))
    theta, data = np.asarray(views.theta), np.asarray(views.data)
    network, settings = MLP((8,), 1, key=jax.random.key(1)), {"key": jax.random.key(2), "max_epochs": 1}

    def train(*halves, columns=(0, 1)):
        parts = [
            StoredSimulations(theta[rows, first][:, columns], data[rows, first : first + 2], batch_size=100)
            for rows, first in halves
        ]
        return train_self_supervised(VICReg(), network, *parts, **settings)

    every, some, others = slice(None), slice(500, None), slice(500)
    with pytest.raises(FullfieldError, match=r"100 that are among 100, first in its row 0.*Leave columns \[1\] out of theta"):
        train((every, 0), (some, 2))
    train((others, 0), (some, 2))
    # A number that says which simulator it was is the same in both, and no cosmology's; nor is one of a few redshifts.
    theta = np.concatenate(
        [theta, np.zeros_like(theta[..., :1]), np.arange(600)[:, None, None] % 5 + 0 * theta[..., :1]], axis=-1
    )
    train((others, 0), (some, 2), columns=(0, 1, 2, 3))
    with pytest.raises(FullfieldError, match=r"100 that are among 100.*columns \[1, 2, 3\]"):
        train((every, 0), (some, 2), columns=(0, 1, 2, 3))
    parts = [StoredSimulations(theta[:, 0, :size], data[:, :2], batch_size=100) for size in (1, 2)]
    with pytest.raises(FullfieldError, match="validation: expected 1 parameters, as in training, got 2"):
        train_self_supervised(VICReg(), network, *parts, **settings)


@pytest.mark.parametrize(("rows", "size", "refused"), [((200, 1), 100, "validation"), ((200, 20), 1, "simulations")])
def test_one_cosmology_has_none_to_be_told_from(parts, rows, size, refused):
    source, held_out = (
        StoredSimulations(np.asarray(part.theta)[:n], np.asarray(part.data)[:n, :2], batch_size=size)
        for part, n in zip(parts, rows, strict=True)
    )
    with pytest.raises(FullfieldError, match=f"{refused}: expected batches of at least two cosmologies"):
        train_self_supervised(VICReg(), MLP((8,), 1, key=jax.random.key(1)), source, held_out, key=jax.random.key(2))


def test_parts_that_are_streamed_from_the_same_store_are_told_apart(parts):
    theta, data = (np.concatenate([getattr(part, name) for part in parts]) for name in ("theta", "data"))

    def streamed(rows):
        return StoredSimulations(theta, data, batch_size=100, rows=np.arange(2200)[rows], augment=Pairs(2), memory=2**14)

    network, settings = MLP((8,), 1, key=jax.random.key(1)), {"key": jax.random.key(2), "max_epochs": 1}
    held_out = streamed(slice(2000, None))
    train_self_supervised(VICReg(), network, streamed(slice(1000, 2000)), held_out, **settings)
    with pytest.raises(FullfieldError, match="100 that are among 200, first in its row 0"):
        train_self_supervised(VICReg(), network, streamed(slice(1000, 2100)), held_out, **settings)
