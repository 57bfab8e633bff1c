"""Clipping by history against percentiles of NumPy, and within a training."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fullfield._core import ConfigurationError, digest
from fullfield.compression import MeanSquaredError, train_compressor
from fullfield.datasets import StoredSimulations
from fullfield.networks import MLP
from fullfield.simulators import LinearGaussian
from fullfield.training import autoclip, fit


STEPS, HISTORY = 25, 10


@pytest.fixture
def gradients(key):
    """Gradients of two arrays, whose norms scatter by a factor of three."""
    sizes = jnp.exp(jax.random.normal(key, (STEPS, 1)))
    whole = sizes * jax.random.normal(jax.random.fold_in(key, 1), (STEPS, 10))
    return {"a": whole[:, :6].reshape(STEPS, 2, 3), "b": whole[:, 6:]}


def norms(tree):
    return np.sqrt(sum(np.sum(np.square(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(tree)))


@functools.partial(jax.jit, static_argnums=0)
def clip_all(clip, gradients):
    """One after another, in a compiled loop."""

    def step(state, gradient):
        clipped, state = clip.update(gradient, state)
        return state, clipped

    return jax.lax.scan(step, clip.init(None), gradients)


@pytest.mark.parametrize("percentile", [10.0, 50.0, 100.0])
def test_the_threshold_is_the_percentile_of_the_last_norms(percentile, gradients):
    raw = norms(gradients)
    thresholds = [np.percentile(raw[max(0, i + 1 - HISTORY) : i + 1], percentile) for i in range(STEPS)]
    _, clipped = clip_all(autoclip(percentile, history=HISTORY), gradients)
    np.testing.assert_allclose(norms(clipped), np.minimum(raw, thresholds), rtol=1e-5)
    # The whole is scaled: its direction stays.
    scale = norms(clipped) / raw
    np.testing.assert_allclose(clipped["b"], scale[:, None] * gradients["b"], rtol=1e-5)
    assert (scale < 0.99).any() == (percentile < 100)
    _, alone = clip_all(autoclip(percentile, history=HISTORY, each_array=True), gradients)
    for name in gradients:
        own = norms({name: gradients[name]})
        np.testing.assert_allclose(norms({name: alone[name]}), np.minimum(own, thresholds), rtol=1e-5)


def test_a_spike_is_clipped(key):
    gradient = jax.random.normal(key, (20, 4))
    gradient = gradient / jnp.linalg.norm(gradient, axis=1, keepdims=True)
    _, clipped = clip_all(autoclip(50.0), gradient.at[15].multiply(1e4))
    np.testing.assert_allclose(np.linalg.norm(clipped, axis=1), 1, rtol=1e-5)


def test_a_long_history_does_not_overflow():
    clip = autoclip(50.0, history=3)
    state, _ = clip_all(clip, jnp.arange(1.0, 101.0)[:, None])
    assert 3 <= int(state.count) < 6
    np.testing.assert_array_equal(jnp.sort(state.seen), [98, 99, 100])


def test_gradients_keep_their_precision_and_zero_ones_are_harmless():
    clip, zero = autoclip(), {"a": jnp.zeros(3, jnp.bfloat16)}
    clipped, _ = clip.update(zero, clip.init(zero))
    assert clipped["a"].dtype == jnp.bfloat16
    assert not np.any(np.asarray(clipped["a"], np.float32))


def squared_error(module, theta, data, *, key):
    return jnp.mean(jnp.sum((jax.vmap(module)(data) - theta) ** 2, axis=1) ** 2)


def test_outliers_that_spoil_a_training_do_not_with_it(key):
    """A batch in sixteen holds a simulation that is a hundred off, and its gradient a million times the others'."""
    data = jax.random.normal(key, (512, 3))
    theta = data @ jnp.array([[1.0, 0.0], [0.5, -1.0], [0.2, 0.3]])
    spoiled = StoredSimulations(theta.at[7].add(100.0), data, batch_size=32)
    held_out = StoredSimulations(theta, data, batch_size=512)

    def train(*before):
        optimiser = optax.chain(*before, optax.sgd(0.02))
        start = eqx.nn.Linear(3, 2, key=key)
        return fit(
            start, squared_error, spoiled, validation=held_out, key=key, optimiser=optimiser, max_epochs=20, patience=20
        )[1].best

    assert train(autoclip(50.0)) < 0.05
    assert train(optax.clip_by_global_norm(1e4)) > 1


def test_compressors_are_trained_with_it(key):
    world = LinearGaussian(n_data=4, n_parameters=2)
    made = world.simulate(key, 1024)
    source = StoredSimulations(made.theta, made.data, batch_size=128)
    optimiser = optax.named_chain(("clip", autoclip(10.0)), ("adam", optax.adam(0.01)))
    compressor, history = train_compressor(
        MeanSquaredError(), MLP(4, 2, key=key, width=8, depth=1), world.parameters, source, source,
        key=key, optimiser=optimiser, max_epochs=5,
    )  # fmt: skip
    assert compressor.summary_size == 2
    assert history.best < history.held_out[0]


def test_checkpoints_tell_settings_apart_and_equal_ones_share_a_program():
    others = autoclip(50.0), autoclip(), autoclip(50.0, history=5), autoclip(50.0, each_array=True)
    assert len({digest(clip) for clip in others}) == len(others)
    assert autoclip(50.0) is others[0]


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigurationError, match="from 0 to 100"):
        autoclip(101.0)
    with pytest.raises(ConfigurationError, match="history"):
        autoclip(history=0)
