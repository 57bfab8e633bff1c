"""Fully connected network with residual blocks, for functions that a few plain layers fit badly."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from fullfield.networks.bijections import shrink_last_layer
from fullfield.networks.mlp import MLP


class ResidualMLP(eqx.Module):
    """A linear layer into `width` units, residual blocks of two layers there, and a linear layer out.

    Every block starts near the identity and the whole near zero.

    Args:
        size: length of the input.
        features: length of the output.
        key: key of the initial weights.
        width: units of every layer.
        blocks: number of residual blocks.
    """

    entry: MLP
    blocks: tuple[MLP, ...]
    exit: MLP

    def __init__(self, size: int, features: int, *, key: Key[Array, ""], width: int = 128, blocks: int = 3):
        first, last, *rest = jax.random.split(key, blocks + 2)
        self.entry = MLP(size, width, key=first, depth=0)
        self.blocks = tuple(shrink_last_layer(MLP(width, width, key=k, width=width, depth=1), 0.1) for k in rest)
        self.exit = shrink_last_layer(MLP(width, features, key=last, depth=0))

    def __call__(self, x: Float[Array, " size"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map a vector to a vector (features,); `key` is ignored."""
        hidden = self.entry(x)
        for block in self.blocks:
            hidden = hidden + block(jax.nn.silu(hidden))
        return self.exit(jax.nn.silu(hidden))
