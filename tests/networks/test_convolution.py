import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from fullfield._core import ConfigurationError
from fullfield.networks import ConvNet, ResNet18
from fullfield.networks.convolution import average_pool, Convolution, Patches


def filters_of(layer):
    """The standardised filters, from their definition."""
    weight = np.asarray(layer.weight, float)
    centred = weight - weight.mean(axis=(0, 1, 2))
    return centred / np.sqrt((centred**2).sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_equals_scipy(key, stride):
    layer = Convolution(2, 3, 3, stride=stride, key=key)
    x = np.asarray(jax.random.normal(jax.random.key(1), (8, 8, 2)))
    filters = filters_of(layer)
    full = [sum(correlate2d(x[..., i], filters[..., i, o], mode="same") for i in range(2)) for o in range(3)]
    expected = np.stack(full, axis=-1)[::stride, ::stride]
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=2e-5)


def test_white_noise_keeps_unit_variance(key):
    # 64² pixels times 16 channels of nearly independent numbers: the variance is known to about 2 %.
    layer = Convolution(8, 16, 3, key=key)
    y = layer(jax.random.normal(jax.random.key(1), (64, 64, 8)))
    assert abs(float(jnp.var(y)) - 1) < 0.06


def test_patches_equal_a_strided_convolution(key):
    layer = Patches(4, 3, 5, key=key)
    x = jax.random.normal(jax.random.key(1), (8, 12, 3))
    kernel = layer.weight.reshape(4, 4, 3, 5)
    expected = jax.lax.conv_general_dilated(x[None], kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))[0]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_average_pool_is_a_mean_of_blocks():
    x = jnp.arange(32.0).reshape(4, 4, 2)
    np.testing.assert_allclose(average_pool(x, 2)[0, 1], np.asarray(x)[:2, 2:].mean(axis=(0, 1)))


def test_amplitude_survives(key):
    # What activation normalisation would remove: maps that differ by a factor only must differ after the network.
    network = ConvNet((16, 16, 1), 8, key=key, widths=(8,), blocks=(1,))
    x = jax.random.normal(jax.random.key(1), (16, 16, 1))
    near, far = network(x), network(2 * x)
    assert float(jnp.linalg.norm(far - near) / jnp.linalg.norm(near)) > 0.1


@pytest.mark.parametrize("network", [ConvNet, ResNet18])
def test_odd_shapes_are_refused(network, key):
    with pytest.raises(ConfigurationError, match="multiples of"):
        network((60, 60, 5), 3, key=key)


@pytest.mark.parametrize("network", [ConvNet, ResNet18])
def test_the_global_mean_is_taken_of_an_activation(network, key):
    # Of a linear map the mean would not see the pattern, and negated pixels would give the negated answer.
    net = network((32, 32, 2), 3, key=key)
    bare = eqx.tree_at(lambda net: (net.stem, net.blocks), net, (eqx.nn.Identity(), ()))
    x = jax.random.normal(key, (4, 4, net.head.in_features))
    assert float(jnp.abs(bare(x) + bare(-x) - 2 * net.head.bias).min()) > 1e-2
