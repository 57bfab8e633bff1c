"""Multilayer perceptron."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class MLP(eqx.Module):
    """Fully connected network from an array of any fixed shape to a vector.

    Args:
        shape: shape of the input, flattened inside; an integer counts as a vector of that length.
        features: length of the output.
        key: key of the initial weights.
        width: units of every hidden layer.
        depth: number of hidden layers.
        activation: function between the layers.
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: Callable = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...] | int,
        features: int,
        *,
        key: Key[Array, ""],
        width: int = 128,
        depth: int = 2,
        activation: Callable = jax.nn.silu,
    ):
        sizes = [shape if isinstance(shape, int) else math.prod(shape), *[width] * depth, features]
        keys = jax.random.split(key, depth + 1)
        self.layers = tuple(eqx.nn.Linear(a, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.activation = activation

    def __call__(self, x: Float[Array, "..."], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map an input to a vector (features,); `key` is ignored."""
        x = jnp.ravel(x)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
