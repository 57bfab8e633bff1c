"""Masked autoregressive layers: each number of a vector is transformed as those before it and the condition say.

    z_i = x_i exp(s_i(x_1 ... x_{i-1}, c)) + b_i(x_1 ... x_{i-1}, c)

One pass of a masked network gives all shifts and scales of a vector, so that densities are cheap; its inverse finds the numbers
one after another. Source: Papamakarios, Pavlakou & Murray 2017 (arXiv:1705.07057), section 3.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.bijections import AbstractBijection, Chain, MaskedAutoregressive, Permute, Scan
from jaxtyping import Array, Float, Key

from fullfield.networks.bijections import AbstractElement, AffineElement


# Eight layers of the widest bound of `AffineElement` could leave float32.
ELEMENT = AffineElement(bound=3.0)


class Shaped(AbstractBijection):
    """An elementwise function of one number with the numbers (r,) that shape it, as a bijection."""

    element: AbstractElement
    raw: Float[Array, " r"]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, element: AbstractElement, raw: Float[Array, " r"]):
        self.element, self.raw = element, raw
        self.shape, self.cond_shape = (), None

    def transform_and_log_det(self, x, condition=None):
        """Value and log derivative at `x`."""
        return self.element.forward(jnp.asarray(x), self.raw)

    def inverse_and_log_det(self, y, condition=None):
        """The x with value `y`, and the log derivative of the inverse there."""
        return self.element.inverse(jnp.asarray(y), self.raw)


def affine(raw: Float[Array, "2"]) -> Shaped:
    """The function of one number that a layer's network shapes."""
    return Shaped(ELEMENT, raw)


def masked_layers(
    size: int, condition_size: int, *, key: Key[Array, ""], layers: int, width: int, depth: int
) -> AbstractBijection:
    """Masked affine autoregressive layers of tanh networks, each followed by a random permutation, in a scan.

    Each starts near the identity.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights and of the permutations.
        layers: number of layers.
        width: hidden units of each network.
        depth: hidden layers of each network.
    """

    def build(key):
        key, key_order = jax.random.split(key)
        layer = MaskedAutoregressive(
            key, transformer=affine(jnp.zeros(ELEMENT.n_raw)), dim=size, cond_dim=condition_size,
            nn_width=width, nn_depth=depth, nn_activation=jnp.tanh,
        )  # fmt: skip
        # The layer's own way from raw numbers to the function is a closure, which would have every layer compiled anew.
        layer = eqx.tree_at(lambda layer: layer.transformer_constructor, layer, affine)
        layer = eqx.tree_at(lambda layer: layer.masked_autoregressive_mlp.layers[-1], layer, replace_fn=_shrunk)
        return Chain([layer, Permute(jax.random.permutation(key_order, size))])

    return Scan(eqx.filter_vmap(build)(jax.random.split(key, layers)))


def _shrunk(layer):
    return jax.tree.map(lambda leaf: 0.01 * leaf if eqx.is_inexact_array(leaf) else leaf, layer)
