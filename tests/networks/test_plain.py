"""The published networks of combined probes: as many parameters, and layers that do what Keras' do."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.networks import LocalLayer, MLP, PlainNet, SeparableLayer, SpectraNet


DENSE = functools.partial(MLP, width=1024, activation=jax.nn.relu)
SEPARABLE, LOCAL = (functools.partial(SpectraNet, layer=layer) for layer in (SeparableLayer, LocalLayer))
LARGE = {"channels": 256, "blocks": 8}
SPECTRA = (20, 36)


@pytest.mark.parametrize(
    ("network", "shape", "features", "published"),
    [
        (PlainNet, (384, 384, 8), 35, 12_029_987),
        (PlainNet, (384, 384, 4), 14, 10_468_878),
        (PlainNet, (384, 384, 4), 20, 10_911_252),
        (PlainNet, (384, 384, 8), 54, 13_430_838),
        (PlainNet, (384, 384, 4), 35, 12_017_187),
        (functools.partial(DENSE, depth=2), SPECTRA, 35, 1_823_779),
        (functools.partial(DENSE, depth=3), SPECTRA, 35, 2_873_379),
        (SEPARABLE, SPECTRA, 35, 438_415),
        (functools.partial(SEPARABLE, **LARGE), SPECTRA, 35, 3_270_799),
        (LOCAL, SPECTRA, 35, 734_883),
        (functools.partial(LOCAL, **LARGE), SPECTRA, 35, 4_224_291),
    ],
)
def test_it_has_as_many_parameters_as_the_published_one(network, shape, features, published):
    build = lambda key: eqx.filter(network(shape, features, key=key), eqx.is_inexact_array)  # noqa: E731
    shapes = eqx.filter_eval_shape(build, jax.random.key(0))
    assert sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(shapes)) == published


@pytest.mark.parametrize(
    ("network", "shape"),
    [(functools.partial(PlainNet, channels=8, strided=2, blocks=2), (32, 16, 3)), *((n, SPECTRA) for n in (SEPARABLE, LOCAL))],
)
def test_signals_neither_die_nor_explode(network, shape, key):
    net = network(shape, 5, key=key)
    found = eqx.filter_jit(lambda maps: jax.vmap(net)(maps))(jax.random.normal(key, (64, *shape)))
    assert found.shape == (64, 5)
    assert np.all((np.std(found, axis=0) > 0.05) & (np.std(found, axis=0) < 20))


def test_a_local_layer_has_filters_of_its_own_at_every_place(key):
    layer, x = LocalLayer(9, 4, 5, key=key), np.asarray(jax.random.normal(key, (4, 9)))
    assert layer.length == 4
    layer = eqx.tree_at(lambda one: one.bias, layer, jax.random.normal(key, (5, 4)))
    by_hand = [np.sum(np.asarray(layer.weight[m]) * x[:, 2 * m : 2 * m + 3], axis=(1, 2)) for m in range(4)]
    np.testing.assert_allclose(layer(jnp.asarray(x)), np.stack(by_hand, 1) + np.asarray(layer.bias), rtol=1e-4, atol=1e-5)


def test_a_separable_layer_filters_each_channel_by_itself_before_it_mixes(key):
    layer, x = SeparableLayer(10, 3, 2, key=key), jax.random.normal(key, (3, 10))
    assert layer(x).shape == (2, layer.length) == (2, 5)
    moved = layer.each(x.at[1].add(1.0)) - layer.each(x)
    assert not np.any(np.asarray(moved)[[0, 2]])
    assert np.all(np.asarray(moved)[1] != 0)


def test_other_shapes_are_refused(key):
    with pytest.raises(ConfigurationError, match="multiples of 16"):
        PlainNet((40, 32, 2), 3, key=key)
    for shape in ((6, 4), (20,), (20, 36, 1)):
        with pytest.raises(ConfigurationError, match="bands, spectra"):
            SpectraNet(shape, 3, key=key)
