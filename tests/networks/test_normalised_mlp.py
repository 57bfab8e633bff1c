"""Networks of self-supervised summaries have as many parameters as the published ones, whose norms are over batches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.networks import NormalisedMLP


@pytest.mark.parametrize(
    ("sizes", "published"),
    [
        ((140, 16, 32, 32, 32, 32, 32, 32), 8_400),  # encoder of spectra
        ((32, 128, 128, 128), 37_632),  # its expander
        ((32, 128, 128, 9), 22_400),  # its inference
        ((16, 64, 64), 5_312),  # expander of lognormal maps
        ((16, 64, 64, 5), 5_824),  # inference from SimCLR's summaries of them
        ((16, 256, 256, 5), 72_448),  # and from VICReg's
        ((128, 512, 512), 329_216),  # expander of CAMELS maps
        ((128, 512, 512, 5), 333_312),  # their inference
    ],
)
def test_parameter_counts_are_the_published_ones(sizes, published):
    network = NormalisedMLP(sizes, key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(network) if eqx.is_array(leaf)) == published


def test_hidden_layers_are_normalised():
    network = NormalisedMLP((4, 8, 8, 2), key=jax.random.key(0))
    x = jnp.arange(4.0)
    hidden = network.norms[0](network.layers[0](x))
    np.testing.assert_allclose([hidden.mean(), hidden.std()], [0.0, 1.0], atol=1e-3)
    assert network(x).shape == (2,)
