import errno
import functools
import os
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fullfield._core import ConfigurationError, DamagedDataError, DataError, digest, read_header
from fullfield.datasets import OnlineSimulations, StoredSimulations
from fullfield.simulators import LinearGaussian
from fullfield.training import cosine_adam, DivergenceError, fit, History
from fullfield.training.checkpoint import Checkpoint, configuration_of


def squared_error(module, theta, data, *, key):
    noise = 0.01 * jax.random.normal(key, data.shape)
    return jnp.mean((jax.vmap(module)(data + noise) - theta) ** 2)


def add_noise(key, theta, data):
    return data + 0.1 * jax.random.normal(key, data.shape)


@functools.cache
def sources():
    model = LinearGaussian(n_data=4, n_parameters=2)
    simulations = model.simulate(jax.random.key(5), 256)
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    return {
        "memory": StoredSimulations(theta, data, batch_size=32, augment=add_noise),
        "streamed": StoredSimulations(theta, data, batch_size=32, memory=2**11, augment=add_noise),
        "online": OnlineSimulations(model, batch_size=32, steps_per_epoch=4),
    }


def train(source="memory", **settings):
    key = jax.random.key(0)
    settings = {"max_epochs": 6, "optimiser": cosine_adam(0.01, 60), "average": 0.9, "key": key} | settings
    net = settings.pop("net", eqx.nn.MLP(4, 2, 8, 1, key=key))
    loss = settings.pop("loss", squared_error)
    simulations = sources()
    return fit(net, loss, simulations[source], validation=simulations["memory"], **settings)


class Stop(Exception):
    pass


def stop_after(epochs, exception=Stop):
    def progress(stage, done, total, **numbers):
        if done == epochs:
            raise exception

    return progress


def same(one, other):
    """Bit for bit: weights and history, but for the seconds."""
    return digest(one[0]) == digest(other[0]) and all(
        getattr(one[1], name) == getattr(other[1], name) for name in ("train_loss", "held_out", "simulations")
    )


@pytest.mark.parametrize("source", ["memory", "streamed", "online"])
def test_resumed_training_equals_the_uninterrupted_one_bit_for_bit(source, tmp_path):
    path = tmp_path / "checkpoint"
    uninterrupted = train(source)
    for epochs in (1, 4):
        with pytest.raises(Stop):
            train(source, checkpoint=path, progress=stop_after(epochs))
        assert len(read_header(path)["history"]["held_out"]) == epochs
    resumed = train(source, checkpoint=path)
    assert same(resumed, uninterrupted)
    # A finished training is read, not repeated.
    assert same(train(source, checkpoint=path, progress=stop_after(6)), uninterrupted)
    # And a checkpoint does not change a run.
    assert not same(train(source, key=jax.random.key(1)), uninterrupted)


def test_ctrl_c_leaves_a_valid_checkpoint_and_goes_on(tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=path, progress=stop_after(3, KeyboardInterrupt))
    assert same(train(checkpoint=path), train())


def test_ctrl_c_amid_an_epoch_keeps_the_epochs_before(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    batches = StoredSimulations.shards
    calls = []

    def interrupted(self, key):
        calls.append(key)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return batches(self, key)

    monkeypatch.setattr(StoredSimulations, "shards", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=path)
    monkeypatch.undo()
    assert len(read_header(path)["history"]["held_out"]) == 2
    assert same(train(checkpoint=path), train())


def test_longer_training_continues_a_shorter_one(tmp_path):
    path = tmp_path / "checkpoint"
    train(checkpoint=path, max_epochs=2)
    assert same(train(checkpoint=path), train())


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from fullfield.training import checkpoint
import test_checkpoint

checkpoint.SECONDS = 0.0
test_checkpoint.train(checkpoint=sys.argv[2], progress=lambda stage, done, *_, **__: time.sleep(60 if done == 3 else 0))
"""


def test_kill_9_loses_nothing(tmp_path):
    path = tmp_path / "checkpoint"
    command = [sys.executable, "-c", KILLED, os.path.dirname(__file__), str(path)]
    with subprocess.Popen(command, env=os.environ) as process:
        deadline = time.monotonic() + 120
        while not (path.exists() and len(read_header(path)["history"]["held_out"]) == 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert same(train(checkpoint=path), train())


def another_loss(module, theta, data, *, key):
    return squared_error(module, theta, data, key=key)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("module", {"net": eqx.nn.MLP(4, 2, 9, 1, key=jax.random.key(0))}),
        ("module", {"net": eqx.nn.MLP(4, 2, 8, 1, key=jax.random.key(1))}),
        ("loss", {"loss": another_loss}),
        ("optimiser", {"optimiser": cosine_adam(0.02, 60)}),
        ("optimiser", {"optimiser": optax.sgd(0.01)}),
        ("average", {"average": 0.5}),
        ("key", {"key": jax.random.key(1)}),
        ("simulations", {"source": "online"}),
    ],
)
def test_checkpoint_of_another_configuration_is_refused(name, settings, tmp_path):
    path = tmp_path / "checkpoint"
    train(checkpoint=path, max_epochs=1)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"checkpoint: {name}: expected"):
        train(checkpoint=path, **settings)
    assert path.read_bytes() == before


def test_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    train(checkpoint=path, max_epochs=1)
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(DamagedDataError, match="Delete the file"):
        train(checkpoint=path)


def test_full_disk_is_a_clear_error_and_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "checkpoint"
    with pytest.raises(Stop):
        train(checkpoint=path, progress=stop_after(2))

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match=r"No space left.*goes on from the checkpoint before"):
        train(checkpoint=path)
    monkeypatch.undo()
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint"]
    assert same(train(checkpoint=path), train())


def test_divergence_keeps_the_last_good_epoch(tmp_path):
    path = tmp_path / "checkpoint"
    rate = optax.piecewise_constant_schedule(1e-3, {16: 1e30})
    with pytest.raises(DivergenceError, match="in epoch 3"):
        train(checkpoint=path, optimiser=optax.sgd(rate), average=0.0)
    assert len(read_header(path)["history"]["held_out"]) == 2


def test_bfloat16_and_history_survive_the_file(tmp_path):
    weights = {"half": jnp.arange(3, dtype=jnp.bfloat16), "single": jnp.ones(2)}
    history = History((1.0, 0.1), (0.3, 1 / 3), (1.0, 2.0), 7)
    checkpoint = Checkpoint(tmp_path / "checkpoint", {"loss": "a"})
    checkpoint.write(weights, weights, history)
    state, best, again = checkpoint.read(*(jax.tree.map(jnp.zeros_like, weights) for _ in range(2)))
    assert digest(state) == digest(best) == digest(weights)
    assert again == history
    assert again.best_epoch == 0


def test_configuration_tells_functions_apart_by_what_they_close_over():
    def make(rate):
        return lambda x: x * rate

    def recursive(x):
        return recursive(x)

    functions = [make(1.0), make(2.0), functools.partial(make, 1.0), functools.partial(make, 2.0), recursive]
    digests = [configuration_of({"loss": function})["loss"] for function in functions]
    assert len(set(digests)) == len(digests)
    assert configuration_of({"loss": make(1.0)})["loss"] == digests[0]


def test_using_an_optimiser_does_not_change_its_digest():
    schedule = cosine_adam(0.005, 60)
    before = configuration_of({"optimiser": schedule})
    train(optimiser=schedule, max_epochs=1)
    assert configuration_of({"optimiser": schedule}) == before
