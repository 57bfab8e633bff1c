"""Multilayer perceptrons."""

import itertools
import math
from collections.abc import Callable, Sequence

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

    weights: tuple[Float[Array, "outputs inputs"], ...]
    biases: tuple[Float[Array, " outputs"], ...]
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
        shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        # One draw for all layers, since every shape of random numbers costs half a second of compilation.
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        numbers = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
        self.weights = tuple(part.reshape(s) / math.sqrt(s[1] or 1) for part, s in zip(numbers, shapes, strict=True))
        self.biases = tuple(jnp.zeros(size) for size in sizes[1:])
        self.activation = activation

    def __call__(self, x: Float[Array, "..."], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map an input to a vector (features,); `key` is ignored."""
        x = jnp.ravel(x)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = self.activation(weight @ x + bias)
        return self.weights[-1] @ x + self.biases[-1]


class NormalisedMLP(eqx.Module):
    """Fully connected network with normalised hidden layers: linear, layer norm with scale and shift, ReLU; the last is linear.

    It has as many parameters as one with batch norms, whose output would depend on the other examples of a batch. The last
    layer has no bias.

    Args:
        sizes: numbers in each layer, input and output included, e.g. (32, 128, 128, 9).
        key: key of the initial weights.
    """

    layers: tuple[eqx.nn.Linear, ...]
    norms: tuple[eqx.nn.LayerNorm, ...]

    def __init__(self, sizes: Sequence[int], *, key: Key[Array, ""]):
        keys, last = jax.random.split(key, len(sizes) - 1), len(sizes) - 2
        pairs = enumerate(itertools.pairwise(sizes))
        self.layers = tuple(eqx.nn.Linear(a, b, use_bias=i < last, key=keys[i]) for i, (a, b) in pairs)
        self.norms = tuple(eqx.nn.LayerNorm(size) for size in sizes[1:-1])

    def __call__(self, x: Float[Array, " inputs"], *, key: Key[Array, ""] | None = None) -> Float[Array, " outputs"]:
        """Map a vector to a vector; `key` is ignored."""
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = jax.nn.relu(norm(layer(x)))
        return self.layers[-1](x)
