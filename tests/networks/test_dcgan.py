"""The published networks of images: their numbers of parameters, and convolutions against plain definitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.networks.dcgan import ImageCritic, ImageGenerator, Strided


KEY = jax.random.key(0)


def count(network):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array)))


def test_networks_have_the_published_numbers_of_parameters():
    assert count(ImageGenerator(128, key=KEY)) == 5_180_673
    assert count(ImageCritic(128, key=KEY)) == 4_361_985
    assert count(ImageCritic(128, 100, key=KEY)) == 5_173_092


def test_a_strided_layer_is_the_strided_convolution():
    layer, x = Strided(3, 4, key=KEY), jax.random.normal(jax.random.key(1), (12, 8, 3))
    expected = jax.lax.conv_general_dilated(
        x[None], layer.weight, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )[0]
    np.testing.assert_allclose(layer(x), expected, atol=2e-5)


def test_an_upward_layer_is_its_transpose():
    down, up = Strided(3, 4, key=KEY), Strided(4, 3, up=True, key=KEY)
    up = eqx.tree_at(lambda one: one.weight, up, jnp.swapaxes(down.weight, 2, 3))
    x, y = jax.random.normal(jax.random.key(1), (12, 8, 3)), jax.random.normal(jax.random.key(2), (6, 4, 4))
    (expected,) = jax.vjp(down, x)[1](y)
    np.testing.assert_allclose(up(y), expected, atol=2e-5)


def test_signals_keep_their_size():
    """To within a factor of three; images begin a tenth as large, where the tanh has a slope."""
    z = jax.random.normal(KEY, (50, 100))
    images = jax.vmap(ImageGenerator(64, key=jax.random.key(3)))(z)
    assert images.shape == (50, 64, 64)
    assert 0.03 < jnp.std(jnp.arctanh(images)) < 0.3
    logits = jax.vmap(ImageCritic(64, key=jax.random.key(4)))(jax.random.normal(KEY, (50, 64, 64)))
    assert logits.shape == (50, 1)
    assert 0.3 < jnp.std(logits) < 3


@pytest.mark.parametrize("pixels", [4, 48, 100])
def test_other_numbers_of_pixels_are_refused(pixels):
    for network in (ImageGenerator, ImageCritic):
        with pytest.raises(ConfigurationError, match=f"pixels: expected 4 times a power of two.*got {pixels}"):
            network(pixels, key=KEY)
