import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.datasets import StoredSimulations
from fullfield.training import cosine_adam, fit


def squared_error(module, theta, data, *, key):
    return jnp.mean((jax.vmap(module)(data) - theta) ** 2)


@pytest.fixture(scope="module")
def linear_data():
    key = jax.random.key(1)
    data = jax.random.normal(key, (512, 4))
    slopes = jnp.arange(8.0).reshape(4, 2) / 5
    return data @ slopes + 0.3 + 0.1 * jax.random.normal(jax.random.key(2), (512, 2)), data


def test_linear_regression_converges_to_least_squares(linear_data, key):
    theta, data = linear_data
    everything = StoredSimulations(theta, data, batch_size=64)
    net = eqx.nn.Linear(4, 2, key=key)
    adam = cosine_adam(0.03, 100 * everything.steps_per_epoch)
    net, history = fit(
        net, squared_error, everything, validation=everything, key=key, optimiser=adam, max_epochs=100, patience=100
    )
    design = np.concatenate([np.asarray(data), np.ones((512, 1))], axis=1)
    truth = np.linalg.lstsq(design, np.asarray(theta), rcond=None)[0]
    # The schedule ends at rate zero, so the noise of the batches dies out with it.
    np.testing.assert_allclose(np.asarray(net.weight).T, truth[:4], atol=2e-3)
    np.testing.assert_allclose(np.asarray(net.bias), truth[4], atol=2e-3)
    assert history.held_out[history.best_epoch] == min(history.held_out)
    assert history.simulations == 1024
