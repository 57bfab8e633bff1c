import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, stream
from fullfield.networks import Decoder, Encoder, UNet
from fullfield.networks.convolution import Convolution
from fullfield.networks.unet import doubled


def test_periodic_convolution_is_that_of_a_wrapped_map(key):
    x = jax.random.normal(jax.random.key(1), (6, 6, 2))
    for stride in (1, 2):
        layer = Convolution(2, 3, 3, stride=stride, periodic=True, key=key)
        centred = np.asarray(layer.weight, float) - np.asarray(layer.weight, float).mean((0, 1, 2))
        filters = centred / np.sqrt((centred**2).sum((0, 1, 2)))
        turned = [np.roll(x, (1 - dy, 1 - dx), (0, 1)) @ filters[dy, dx] for dy in range(3) for dx in range(3)]
        np.testing.assert_allclose(layer(x), sum(turned)[::stride, ::stride], atol=1e-5)


def perturbed(network):
    weights, static = eqx.partition(network, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(weights)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, leaves), static)


def test_it_starts_as_zero_and_moves_with_the_map(key):
    network = UNet((16, 16, 2), 3, key=key, widths=(4, 6, 8), blocks=1)
    x = jax.random.normal(jax.random.key(1), (16, 16, 2))
    assert not np.any(network(x))
    network = eqx.filter_jit(perturbed(network))
    y = network(x)
    assert y.shape == (16, 16, 3)
    # Steps of the coarsest map, to which it is equivariant; one pixel is none.
    np.testing.assert_allclose(network(jnp.roll(x, (4, 8), (0, 1))), jnp.roll(y, (4, 8), (0, 1)), atol=1e-4)
    assert float(jnp.abs(network(jnp.roll(x, 1, 0)) - jnp.roll(y, 1, 0)).max()) > 1e-2


def test_every_level_reaches_the_output(key):
    network = perturbed(UNet((16, 16, 1), 1, key=key, widths=(4, 4, 4), blocks=1))
    x = jax.random.normal(jax.random.key(1), (16, 16, 1))

    def answer(scales):
        *skips, coarse = network.encoder(network.stem(x))
        skips = tuple(scale * skip for scale, skip in zip(scales, skips, strict=False))
        return jnp.sum(network.head(network.decoder(scales[-1] * network.bottleneck[0](coarse), skips)) ** 2)

    assert np.all(np.abs(eqx.filter_jit(jax.grad(answer))(jnp.ones(3))) > 1e-3)


class Shifted(eqx.Module):
    """A block that adds a linear function of its condition to a map."""

    mix: Convolution
    shift: jax.Array

    def __init__(self, inputs, outputs, *, stride=1, key):
        self.mix = Convolution(inputs, outputs, 3, stride=stride, periodic=True, key=stream(key, "mix"))
        self.shift = jax.random.normal(stream(key, "shift"), (2, outputs))

    def __call__(self, x, condition):
        return self.mix(x) + condition @ self.shift


def test_stages_pass_conditions_to_their_blocks(key):
    widths = (4, 6)
    encoder, decoder = Encoder(widths, 1, key=key, block=Shifted), Decoder(widths, 1, key=key, block=Shifted)
    x = jax.random.normal(jax.random.key(1), (8, 8, 4))
    plain, moved = (encoder(x, jnp.array(c)) for c in ([0.0, 0.0], [0.3, -1.0]))
    assert [level.shape for level in plain] == [(8, 8, 4), (4, 4, 6)]
    np.testing.assert_allclose(moved[0] - plain[0], jnp.array([0.3, -1.0]) @ encoder.levels[0][0].shift + 0 * x, atol=1e-5)
    back = decoder(plain[1], plain[:1], jnp.array([0.3, -1.0])) - decoder(plain[1], plain[:1], jnp.zeros(2))
    np.testing.assert_allclose(back[3, 5], jnp.array([0.3, -1.0]) @ decoder.levels[0][0].shift, atol=1e-5)


def test_doubled_repeats_pixels():
    x = jnp.arange(4.0).reshape(2, 2, 1)
    np.testing.assert_array_equal(doubled(x)[..., 0], np.kron([[0, 1], [2, 3]], np.ones((2, 2))))


def test_odd_shapes_are_refused(key):
    with pytest.raises(ConfigurationError, match="multiples of 4"):
        UNet((10, 10, 1), 1, key=key)
