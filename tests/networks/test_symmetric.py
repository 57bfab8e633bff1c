"""What is the same for all turns and flips of a map, and what is not."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.networks import ConvNet, Symmetric
from fullfield.recipes import RECIPES
from fullfield.recipes.summaries_features import network
from fullfield.simulators import lsst_y10_model


def turned(x):
    """All eight, from numpy's own operations."""
    for flip, swap, back in itertools.product((False, True), repeat=3):
        y = x[::-1] if flip else x
        y = y[:, ::-1] if back else y
        yield np.swapaxes(y, 0, 1) if swap else y


class Pixels(eqx.Module):
    """Sums of pixels under integer weights, which rounding does not touch."""

    weights: jax.Array

    def __call__(self, x):
        return jnp.einsum("yxbf,yxb->f", self.weights, x)


def test_sums_of_integers_are_the_same_to_the_bit_for_all_turns_and_flips():
    random = np.random.default_rng(0)
    plain = Pixels(jnp.asarray(random.integers(-9, 9, (6, 6, 2, 3)), jnp.float32))
    x = random.integers(-9, 9, (6, 6, 2)).astype(np.float32)
    views = jnp.asarray(np.stack(list(turned(x))))
    assert len(np.unique(np.asarray(views), axis=0)) == 8
    found, seen = jax.vmap(Symmetric(plain))(views), np.asarray(jax.vmap(plain)(views))
    np.testing.assert_array_equal(found, np.broadcast_to(seen.mean(axis=0), (8, 3)))
    assert np.ptp(seen, axis=0).min() > 1


def test_a_convolutional_network_becomes_blind_to_turns_and_keeps_to_be_trained(key):
    plain = ConvNet((8, 8, 2), 3, key=key, patch=2, widths=(4, 4), blocks=(1, 1))
    views = jnp.asarray(np.stack(list(turned(np.random.default_rng(1).normal(size=(8, 8, 2)).astype(np.float32)))))
    many = eqx.filter_jit(lambda net: jax.vmap(net)(views))
    found, seen = many(Symmetric(plain)), many(plain)
    np.testing.assert_allclose(found, jnp.broadcast_to(seen.mean(axis=0), (8, 3)), rtol=1e-4, atol=1e-6)
    assert jnp.ptp(seen, axis=0).min() > 1e-3, "the plain one sees turns"
    gradient = eqx.filter_jit(eqx.filter_grad(lambda net: jnp.sum(net(views[0]))))(Symmetric(plain))
    assert jnp.abs(gradient.network.stem.weight).max() > 0


@pytest.mark.parametrize(("name", "kind"), [("symmetric", Symmetric), ("convolution", ConvNet)])
def test_the_recipe_knows_it(name, kind, key):
    assert RECIPES["neural-summaries"].configure({"network": name}).network == name
    assert isinstance(network(lsst_y10_model(16), name, (16, 16, 5), 6, 32, key=key), kind)
