"""Plain residual networks of maps and of spectra, as published for combined probes: no normalisation, and ReLU throughout.

Kacprzak & Fluri 2022 (arXiv:2203.09616), section III and appendix D, whose numbers of parameters they have. The fully
connected networks of spectra there are `MLP(shape, features, width=1024, depth=2, activation=jax.nn.relu)` and, extra large, of
depth three.
"""

import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.networks.convolution import check_map_shape


L = TypeVar("L", eqx.nn.Conv, eqx.nn.Linear)
FIRST, WIDTH, STRIDE = 2, 3, 2  # layers that shorten a spectrum, numbers each of their filters sees, and its step


class PlainNet(eqx.Module):
    """Convolutions of stride two, residual blocks at an eighth of the width or so, and one dense layer on all that is left.

    The dense layer knows places: the network is one of maps of one size, and of mosaics whose fields change theirs at random.

    Args:
        shape: (y, x, bins) of the maps; sides must be multiples of 2^strided.
        features: length of the output.
        key: key of the initial weights.
        channels: of all layers.
        strided: number of convolutions that halve the map.
        blocks: number of residual blocks.
        size: side of the filters in pixels.

    Raises:
        ConfigurationError: the map's sides are not such multiples.
    """

    strided: tuple[eqx.nn.Conv, ...]
    blocks: tuple["PlainBlock", ...]
    head: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int,
        *,
        key: Key[Array, ""],
        channels: int = 128,
        strided: int = 4,
        blocks: int = 10,
        size: int = 5,
    ):
        check_map_shape(shape, 2**strided)
        keys, sizes = jax.random.split(stream(key, "strided"), strided), [shape[-1], *[channels] * strided]
        self.strided = tuple(
            initial(eqx.nn.Conv(2, a, b, size, stride=2, padding="SAME", key=k), k)
            for k, (a, b) in zip(keys, itertools.pairwise(sizes), strict=True)
        )
        self.blocks = _blocks(2, channels, size, blocks, key=stream(key, "blocks"))
        left = math.prod(side >> strided for side in shape[:2])
        self.head = _dense(left * channels, features, key=stream(key, "head"))

    def __call__(self, x: Float[Array, "y x bins"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (y, x, bins) to a vector (features,); `key` is ignored."""
        x = jnp.moveaxis(x, -1, 0)
        for layer in self.strided:
            x = jax.nn.relu(layer(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.ravel())


class PlainBlock(eqx.Module):
    """relu(x + conv(relu(conv(x)))), channels first.

    Args:
        dimensions: of space, one or two.
        channels: that come in and go out.
        size: side of the filters.
        key: key of the initial weights.
    """

    first: eqx.nn.Conv
    second: eqx.nn.Conv

    def __init__(self, dimensions: int, channels: int, size: int, *, key: Key[Array, ""]):
        self.first, self.second = (
            initial(eqx.nn.Conv(dimensions, channels, channels, size, padding="SAME", key=k), k) for k in jax.random.split(key)
        )

    def __call__(self, x: Float[Array, "channels ..."]) -> Float[Array, "channels ..."]:
        """Apply the block."""
        return jax.nn.relu(x + self.second(jax.nn.relu(self.first(x))))


class SeparableLayer(eqx.Module):
    """Convolution of stride two of each channel by a filter of its own, then a mixing of channels.

    Args:
        length: of the spectra that come in.
        inputs, outputs: channels that come in and go out.
        key: key of the initial weights.
    """

    each: eqx.nn.Conv
    mixing: eqx.nn.Conv
    length: int = eqx.field(static=True)

    def __init__(self, length: int, inputs: int, outputs: int, *, key: Key[Array, ""]):
        one, two = jax.random.split(key)
        each = eqx.nn.Conv(1, inputs, inputs, WIDTH, stride=STRIDE, padding="SAME", groups=inputs, use_bias=False, key=one)
        self.each, self.mixing = initial(each, one), initial(eqx.nn.Conv(1, inputs, outputs, 1, key=two), two)
        self.length = -(-length // STRIDE)

    def __call__(self, x: Float[Array, "inputs n"]) -> Float[Array, "outputs m"]:
        """Shorten spectra."""
        return self.mixing(self.each(x))


class LocalLayer(eqx.Module):
    """Convolution of stride two whose filters differ from place to place.

    Args:
        length: of the spectra that come in.
        inputs, outputs: channels that come in and go out.
        key: key of the initial weights.
    """

    weight: Float[Array, "m outputs inputs width"]
    bias: Float[Array, "outputs m"]
    length: int = eqx.field(static=True)

    def __init__(self, length: int, inputs: int, outputs: int, *, key: Key[Array, ""]):
        self.length = (length - WIDTH) // STRIDE + 1
        draw = jax.nn.initializers.lecun_normal(in_axis=2, out_axis=1, batch_axis=0)
        self.weight = draw(key, (self.length, outputs, inputs, WIDTH))
        self.bias = jnp.zeros((outputs, self.length))

    def __call__(self, x: Float[Array, "inputs n"]) -> Float[Array, "outputs m"]:
        """Shorten spectra."""
        windows = jnp.stack([x[:, i : i + STRIDE * self.length : STRIDE] for i in range(WIDTH)], axis=-1)
        return jnp.einsum("moiw,imw->om", self.weight, windows) + self.bias


class SpectraNet(eqx.Module):
    """Layers that shorten spectra, residual blocks, and one dense layer: a network of band powers that knows their order.

    Args:
        shape: (bands, spectra), bands in order; at least seven.
        features: length of the output.
        key: key of the initial weights.
        layer: of the first two, `SeparableLayer` or `LocalLayer`.
        channels: of all layers.
        blocks: number of residual blocks.

    Raises:
        ConfigurationError: the shape is another.
    """

    first: tuple[Callable, ...]
    blocks: tuple[PlainBlock, ...]
    head: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int,
        *,
        key: Key[Array, ""],
        layer: Callable[..., SeparableLayer | LocalLayer] = SeparableLayer,
        channels: int = 128,
        blocks: int = 4,
    ):
        if len(shape) != 2 or shape[0] < 7:
            raise ConfigurationError(
                "shape", expected="(bands, spectra) of at least seven bands", got=tuple(shape),
                remedy="Give band powers with the bands first, or take another network.",
            )  # fmt: skip
        length, inputs, first = *shape, []
        for k in jax.random.split(stream(key, "first"), FIRST):
            first.append(layer(length, inputs, channels, key=k))
            length, inputs = first[-1].length, channels
        self.first = tuple(first)
        self.blocks = _blocks(1, channels, WIDTH, blocks, key=stream(key, "blocks"))
        self.head = _dense(length * channels, features, key=stream(key, "head"))

    def __call__(self, x: Float[Array, "bands spectra"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Band powers (bands, spectra) to a vector (features,); `key` is ignored."""
        x = x.T
        for layer in self.first:
            x = jax.nn.relu(layer(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.ravel())


def initial(layer: L, key: Key[Array, ""]) -> L:
    """The layer with zero bias and weights (outputs, inputs, ...) of variance one over the numbers that an output sees.

    Keras' own weights, as of the published networks, would let signals die in the separable layers.
    """
    draw = jax.nn.initializers.lecun_normal(in_axis=1, out_axis=0)
    layer = eqx.tree_at(lambda one: one.weight, layer, draw(key, layer.weight.shape))
    return layer if layer.bias is None else eqx.tree_at(lambda one: one.bias, layer, jnp.zeros_like(layer.bias))


def _blocks(dimensions, channels, size, number, *, key):
    return tuple(PlainBlock(dimensions, channels, size, key=k) for k in jax.random.split(key, number))


def _dense(inputs, outputs, *, key):
    return initial(eqx.nn.Linear(inputs, outputs, key=key), key)
