import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.networks import TransformerBranch, UNetBranch


N, C, K = 8, 3, 5


def make(kind, key=0):
    if kind == "unet":
        return UNetBranch((N, N, C), 2, K, key=jax.random.key(key), widths=(8, 16))
    return TransformerBranch((N, N, C), 2, K, key=jax.random.key(key), field=1, patch=2, width=16, depth=1, heads=2)


def awake(branch):
    """The same with all weights that begin as zero drawn at random."""
    arrays, rest = eqx.partition(branch, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    drawn = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(tree, drawn), rest)


@pytest.mark.parametrize("kind", ["unet", "transformer"])
def test_maps_and_contexts_go_in_maps_come_out(kind):
    branch, maps = make(kind), jax.random.normal(jax.random.key(1), (N, N, C))
    context = jnp.arange(K, dtype=float)
    hidden = branch.encode(maps, context)
    assert branch.pool(hidden).shape == (branch.pooled_size,)
    np.testing.assert_array_equal(branch.decode(hidden, context), jnp.zeros((N, N, 2)))
    branch = awake(branch)
    hidden = branch.encode(maps, context)
    first, second = branch.decode(hidden, context), branch.decode(hidden, 2 * context)
    assert first.shape == (N, N, 2)
    assert float(jnp.std(first - second)) > 0.01


@pytest.mark.parametrize("kind", ["unet", "transformer"])
def test_every_pixel_sees_every_other(kind):
    branch, context = awake(make(kind)), jnp.ones(K)
    maps = jax.random.normal(jax.random.key(2), (N, N, C))
    value = lambda maps: branch.decode(branch.encode(maps, context), context)[0, 0, 0]  # noqa: E731
    assert np.all(np.abs(np.asarray(jax.grad(value)(maps))).sum(-1) > 0)


def test_the_periodic_network_follows_a_shift():
    # By a multiple of what its coarsest pixels cover.
    branch, context = awake(make("unet")), jnp.ones(K)
    maps = jax.random.normal(jax.random.key(3), (N, N, C))
    apply = lambda maps: branch.decode(branch.encode(maps, context), context)  # noqa: E731
    np.testing.assert_allclose(apply(jnp.roll(maps, 4, axis=1)), jnp.roll(apply(maps), 4, axis=1), atol=1e-4)


def test_maps_that_do_not_divide_into_patches_are_refused():
    with pytest.raises(ConfigurationError, match="multiples"):
        UNetBranch((6, 6, C), 2, K, key=jax.random.key(0), widths=(8, 16))
    with pytest.raises(ConfigurationError, match="width"):
        TransformerBranch((N, N, C), 2, K, key=jax.random.key(0), field=1, width=18)
