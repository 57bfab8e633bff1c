"""The published encoder: as many parameters, and channels of unit variance before training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.networks import MapEncoder, ResNet18


def count(network, shape, features):
    shapes = eqx.filter_eval_shape(lambda key: network(shape, features, key=key), jax.random.key(0))
    return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "shape"))


def test_it_has_as_many_parameters_as_the_published_one():
    assert count(MapEncoder, (100, 100, 1), 16) == 164_072
    assert count(MapEncoder, (100, 100, 1), 5) == 162_653  # the published supervised one


def test_the_residual_network_too_but_for_the_gains_of_its_blocks():
    for features, published in ((128, 11_235_904), (5, 11_172_805)):
        assert count(ResNet18, (256, 256, 1), features) == published + 8


def test_channels_are_scaled_to_examples():
    maps = 0.2 * jax.random.normal(jax.random.key(1), (8, 100, 100, 1)) - 0.1
    network = MapEncoder((100, 100, 1), 16, key=jax.random.key(0)).fitted_to(maps)
    first = jax.vmap(network.stages[0][0])(maps)
    np.testing.assert_allclose(jnp.mean(first, axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(jnp.std(first, axis=(0, 1, 2)), 1, atol=1e-3)
    assert jnp.std(jax.vmap(network)(maps)) > 1e-2


def test_maps_of_another_size_are_refused():
    for pixels in (64, 200):
        with pytest.raises(ConfigurationError, match="100, 100, bins"):
            MapEncoder((pixels, pixels, 1), 16, key=jax.random.key(0))
