import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
import pytest

from fullfield._core import ConfigurationError, digest
from fullfield.datasets import OnlineSimulations, StoredSimulations
from fullfield.simulators import LinearGaussian
from fullfield.training import cosine_adam, DivergenceError, fit


def squared_error(module, theta, data, *, key):
    return jnp.mean((jax.vmap(module)(data) - theta) ** 2)


def linear_data(n=512):
    data = jax.random.normal(jax.random.key(1), (n, 4))
    slopes = jnp.arange(8.0).reshape(4, 2) / 5
    return data @ slopes + 0.3 + 0.1 * jax.random.normal(jax.random.key(2), (n, 2)), data


@pytest.fixture(scope="module")
def stored():
    return StoredSimulations(*linear_data(), batch_size=64)


@pytest.fixture
def linear(key):
    return eqx.nn.Linear(4, 2, key=key)


def least_squares(theta, data):
    design = np.concatenate([np.asarray(data), np.ones((len(data), 1))], axis=1)
    return np.linalg.lstsq(design, np.asarray(theta), rcond=None)[0]


def test_linear_regression_converges_to_least_squares(stored, linear, key):
    adam = cosine_adam(0.03, 100 * stored.steps_per_epoch)
    net, history = fit(linear, squared_error, stored, validation=stored, key=key, optimiser=adam, max_epochs=100, patience=100)
    truth = least_squares(*linear_data())
    # The schedule ends at rate zero, so the noise of the batches dies out with it.
    np.testing.assert_allclose(np.asarray(net.weight).T, truth[:4], atol=2e-3)
    np.testing.assert_allclose(np.asarray(net.bias), truth[4], atol=2e-3)
    assert history.held_out[history.best_epoch] == min(history.held_out) == history.best
    assert history.simulations == 1024


def test_streamed_and_online_training_see_the_same_interface(linear, key):
    """The optimal linear estimate of theta in the linear-Gaussian world is learned from all three sources."""
    model = LinearGaussian(n_data=4, n_parameters=2)
    simulations = model.simulate(jax.random.key(5), 4096)
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    validation = StoredSimulations(theta, data, batch_size=512)
    sources = {
        "memory": StoredSimulations(theta, data, batch_size=64),
        "streamed": StoredSimulations(theta, data, batch_size=64, memory=2**15),
        "online": OnlineSimulations(model, batch_size=64, steps_per_epoch=64),
    }
    # The posterior mean E[θ | x] = Cov(θ, x) Cov(x)⁻¹ x leaves the mean squared error 1 - tr(Aᵀ Cov(x)⁻¹ A) / p.
    response = np.asarray(model.response)
    noise = np.cov((data - theta @ response.T).T)
    optimum = 1 - np.trace(response.T @ np.linalg.inv(response @ response.T + noise) @ response) / 2
    costs = {}
    for name, source in sources.items():
        adam = cosine_adam(0.02, 10 * source.steps_per_epoch)
        _, history = fit(linear, squared_error, source, validation=validation, key=key, optimiser=adam, max_epochs=10)
        # 4096 examples measure a mean squared error of order one to 0.02 at one sigma.
        assert abs(history.best - optimum) < 0.06, name
        costs[name] = history.simulations
    assert costs == {"memory": 8192, "streamed": 8192, "online": 10 * 4096 + 4096}


def test_one_trace_per_program(stored, linear, key):
    traces = []

    def counted(module, theta, data, *, key):
        traces.append(theta.shape)
        return squared_error(module, theta, data, key=key)

    fit(linear, counted, stored, validation=stored, key=key, max_epochs=4)
    assert len(traces) == 2  # one that takes steps, one that measures
    theta, data = (np.asarray(column) for column in linear_data())
    traces.clear()
    streamed = StoredSimulations(theta, data, batch_size=64, memory=2**12)
    assert len(list(streamed.shards(key))) > 2
    fit(linear, counted, streamed, validation=streamed, key=key, max_epochs=4)
    assert len(traces) == 2


def test_early_stopping_keeps_the_best_weights(linear, key):
    """Few noisy examples are overfitted; the weights returned are those of the best epoch, not of the last."""
    noise = jax.random.normal(jax.random.key(3), (8, 2))
    train = StoredSimulations(noise, linear_data(8)[1], batch_size=8)
    held_out = StoredSimulations(*linear_data(64), batch_size=64)
    epochs = []

    def watch(stage, done, total, **numbers):
        epochs.append((stage, done, total))

    net, history = fit(
        linear, squared_error, train, validation=held_out, key=key, optimiser=optax.adam(0.05), max_epochs=500, patience=7,
        progress=watch, stage="overfitting",
    )  # fmt: skip
    assert history.epochs < 500
    assert history.epochs - 1 - history.best_epoch == 7
    assert history.held_out[-1] > history.best
    theta, data = linear_data(64)
    assert float(squared_error(net, theta, data, key=key)) == pytest.approx(history.best, rel=1e-5)
    assert epochs == [("overfitting", i + 1, 500) for i in range(history.epochs)]


def test_held_out_examples_may_be_measured_by_another_loss(stored, linear, key, tmp_path):
    """A measure that prefers small weights keeps the first epoch, the loss the last."""
    settings = {"validation": stored, "key": key, "optimiser": optax.adam(0.01), "max_epochs": 5}
    small = lambda module, theta, data, *, key: jnp.sum(module.weight**2) + 0 * jnp.sum(data)  # noqa: E731
    start = eqx.tree_at(lambda net: net.weight, linear, jnp.zeros((2, 4)))
    file = tmp_path / "small"
    assert fit(start, squared_error, stored, **settings)[1].best_epoch == 4
    assert fit(start, squared_error, stored, measure=small, checkpoint=file, **settings)[1].best_epoch == 0
    with pytest.raises(ConfigurationError, match="measure"):
        fit(start, squared_error, stored, measure=squared_error, checkpoint=file, **settings)


def test_equal_trainings_share_their_programs(stored, linear, key):
    traces = []

    def counted(module, theta, data, *, key):
        traces.append(theta.shape)
        return squared_error(module, theta, data, key=key)

    for seed in (0, 1):
        fit(linear, counted, stored, validation=stored, key=jax.random.key(seed), max_epochs=1)
    assert len(traces) == 2


def test_result_depends_on_the_key_alone(stored, linear, key):
    first, again, other = (
        fit(linear, squared_error, stored, validation=stored, key=k, max_epochs=2)[0] for k in (key, key, jax.random.key(9))
    )
    assert digest(first) == digest(again) != digest(other)


@pytest.mark.parametrize("bad", ["loss", "held-out loss"])
def test_loss_that_is_not_finite_is_a_clear_error(linear, key, bad):
    theta, data = linear_data(64)
    good = StoredSimulations(theta, data, batch_size=32)
    extreme = StoredSimulations(theta * 1e30, data, batch_size=32)
    train, held_out = (extreme, good) if bad == "loss" else (good, extreme)
    with pytest.raises(DivergenceError, match=f"{bad}: expected a finite number, got inf in epoch 1.*learning rate"):
        fit(linear, squared_error, train, validation=held_out, key=key, max_epochs=3)


@pytest.mark.parametrize("setting", [{"max_epochs": 0}, {"patience": 0}, {"average": 1.0}, {"average": -0.1}])
def test_impossible_settings_are_refused(stored, linear, key, setting):
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        fit(linear, squared_error, stored, validation=stored, key=key, **setting)


def test_frozen_arrays_stay_and_wrappers_are_resolved(stored, key):
    class Net(eqx.Module):
        scale: paramax.AbstractUnwrappable
        shift: paramax.AbstractUnwrappable
        linear: eqx.nn.Linear
        count: jax.Array

        def __call__(self, x):
            return self.linear(x) * self.scale + self.shift

    net = Net(
        paramax.NonTrainable(jnp.asarray(3.0)),
        paramax.Parameterize(jnp.exp, jnp.zeros(2)),
        eqx.nn.Linear(4, 2, key=key),
        jnp.asarray(7),
    )
    trained, _ = fit(net, squared_error, stored, validation=stored, key=key, max_epochs=2)
    assert float(trained.scale.tree) == 3.0
    assert int(trained.count) == 7
    assert (np.asarray(paramax.unwrap(trained.shift)) != 1.0).all()
    assert isinstance(trained.shift, paramax.Parameterize)


def test_average_of_the_weights_is_the_recursion(linear, key):
    """One batch per epoch, so that the averages can be followed by hand."""
    one = StoredSimulations(*linear_data(32), batch_size=32)
    sgd = optax.sgd(0.1)
    runs = [
        fit(linear, squared_error, one, validation=one, key=key, optimiser=sgd, max_epochs=epochs, average=average)[0].bias
        for epochs, average in [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.9)]
    ]
    mean = runs[0]  # the first step weighs the start with nothing
    for step, weights in ((1, runs[1]), (2, runs[2])):
        decay = min(0.9, step / (step + 10))
        mean = decay * mean + (1 - decay) * weights
    np.testing.assert_allclose(runs[3], mean, rtol=1e-5)


def test_bfloat16_weights_train(stored, linear, key):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), linear)

    def loss(module, theta, data, *, key):
        return squared_error(module, theta, data.astype(jnp.bfloat16), key=key)

    adam = cosine_adam(0.03, 20 * stored.steps_per_epoch)
    net, history = fit(half, loss, stored, validation=stored, key=key, optimiser=adam, max_epochs=20, average=0.9, patience=20)
    assert net.weight.dtype == jnp.bfloat16
    # Weights of order one are resolved to 2^-8, which leaves far less than the 0.01 of the noise.
    assert history.best < 0.02


def test_dropout_is_off_when_measuring(stored, key):
    net = eqx.nn.Sequential([eqx.nn.Dropout(0.9), eqx.nn.Linear(4, 2, key=key)])

    def loss(module, theta, data, *, key):
        keys = jax.random.split(key, len(data))
        return jnp.mean((jax.vmap(lambda x, k: module(x, key=k))(data, keys) - theta) ** 2)

    still = optax.sgd(0.0)
    _, history = fit(net, loss, stored, validation=stored, key=key, optimiser=still, max_epochs=2)
    theta, data = linear_data()
    assert history.held_out[0] == pytest.approx(float(squared_error(net[1], theta, data, key=key)), rel=1e-5)
    assert history.train_loss[0] > 1.5 * history.held_out[0]


def test_convolutions_train_outside_the_loop_on_cpu(key, monkeypatch):
    """Both ways of running an epoch take the same steps."""

    class Net(eqx.Module):
        convolution: eqx.nn.Conv1d

        def __call__(self, x):
            return jnp.mean(self.convolution(x[None]), axis=-1)

    net = Net(eqx.nn.Conv1d(1, 2, 3, key=key))
    data = StoredSimulations(*linear_data(64), batch_size=16)
    results = {}
    for looped in (False, True):
        if looped:
            monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        results[looped] = fit(net, squared_error, data, validation=data, key=key, max_epochs=2, optimiser=optax.sgd(0.1))
    np.testing.assert_allclose(*(r[0].convolution.weight for r in results.values()), rtol=1e-5)
    np.testing.assert_allclose(*(r[1].held_out for r in results.values()), rtol=1e-5)


def test_long_trainings_are_compiled_well_and_take_the_same_steps(key, monkeypatch, linear):
    data = StoredSimulations(*linear_data(64), batch_size=16)
    settings = {"validation": data, "key": key, "max_epochs": 3, "optimiser": optax.sgd(0.1)}
    brief = fit(linear, squared_error, data, **settings)
    monkeypatch.setattr("fullfield.training.epoch.BRIEF", 10)  # of twelve steps
    monkeypatch.setattr("fullfield.training.epoch.brief_loop", None)
    well = fit(linear, squared_error, data, **settings)
    np.testing.assert_allclose(brief[1].held_out, well[1].held_out, rtol=1e-5)


TWO_DEVICES = """
import sys
sys.path.insert(0, sys.argv[1])
import equinox as eqx, jax
from test_fit import linear_data, squared_error
from fullfield.datasets import StoredSimulations
from fullfield.training import fit

assert jax.device_count() == 2
stored = StoredSimulations(*linear_data(), batch_size=64)
key = jax.random.key(0)
net, history = fit(
    eqx.nn.Linear(4, 2, key=key), squared_error, stored, validation=stored, key=key, max_epochs=3, checkpoint=sys.argv[2]
)
assert len(net.weight.sharding.device_set) == 2
print(*history.held_out)
"""


def test_two_devices_give_the_result_of_one(stored, linear, key, tmp_path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", TWO_DEVICES, os.path.dirname(__file__), str(tmp_path / "checkpoint")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, history = fit(linear, squared_error, stored, validation=stored, key=key, max_epochs=3)
    np.testing.assert_allclose([float(x) for x in done.stdout.split()], history.held_out, rtol=1e-5)
