"""The field's side of a joint network: maps in, maps out, and in the middle an exchange with a vector.

A branch encodes maps (n, n, channels), tells what it has seen in a few pooled numbers, and decodes with a context vector that
came from elsewhere, such as what is known of the parameters and of the time. Skies are periodic, and so are these networks
unless they are told otherwise.
"""

import abc
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.networks.convolution import activate, check_map_shape, Patches, ResidualBlock
from fullfield.networks.unet import Decoder, Encoder


HEADS = 4  # of a transformer's attention
OPEN = 0.2  # of every residual branch at first: closed ones would keep the exchange from being learnt early


class AbstractBranch(eqx.Module):
    """Maps to maps in two halves with an exchange between them."""

    pooled_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def encode(self, maps: Float[Array, "n n c"], context: Float[Array, " k"]) -> Any:
        """What the first half makes of maps, given a first context, such as the time."""

    @abc.abstractmethod
    def pool(self, hidden: Any) -> Float[Array, " s"]:
        """Numbers (pooled_size,) that sum up what was encoded."""

    @abc.abstractmethod
    def decode(self, hidden: Any, context: Float[Array, " k"]) -> Float[Array, "n n d"]:
        """Maps of what was encoded, given a context of the length that `encode` had; zero before training."""


class ConditionedBlock(eqx.Module):
    """A `ResidualBlock` scaled and shifted between its convolutions as a context says.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        context: length of the context.
        stride: of the first convolution.
        periodic: as of `Convolution`.
        key: key of the initial weights.
    """

    block: ResidualBlock
    modulate: eqx.nn.Linear

    def __init__(self, inputs: int, outputs: int, *, context: int, stride: int = 1, periodic: bool = True, key: Key[Array, ""]):
        block = ResidualBlock(inputs, outputs, stride=stride, periodic=periodic, key=stream(key, "block"))
        self.block = eqx.tree_at(lambda block: block.gain, block, jnp.full((), OPEN))
        self.modulate = _zero(eqx.nn.Linear(context, 2 * outputs, key=stream(key, "modulate")))

    def __call__(self, x: Float[Array, "y x inputs"], context: Float[Array, " k"]) -> Float[Array, "v u outputs"]:
        """Apply the block."""
        scale, shift = jnp.split(self.modulate(context), 2)
        return self.block(x, lambda inner: inner * (1 + scale) + shift)


class UNetBranch(AbstractBranch):
    """A U-Net whose first layer sees patches; the exchange is with its coarsest maps.

    Args:
        shape: (n, n, channels) of the maps that come in, n a multiple of patch · 2^(levels - 1).
        outputs: channels that go out.
        context: length of the context.
        key: key of the initial weights.
        patch: side in pixels of what becomes one vector.
        widths: channels of each level, from fine to coarse.
        periodic: whether maps go on at their opposite edges.
    """

    stem: Patches
    encoder: Encoder
    middle: ConditionedBlock
    decoder: Decoder
    head: eqx.nn.Linear
    pooled_size: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        context: int,
        *,
        key: Key[Array, ""],
        patch: int = 2,
        widths: tuple[int, ...] = (32, 64),
        periodic: bool = True,
    ):
        check_map_shape(shape, patch * 2 ** (len(widths) - 1))
        block = functools.partial(ConditionedBlock, context=context, periodic=periodic)
        self.stem = Patches(patch, shape[-1], widths[0], key=stream(key, "stem"))
        self.encoder = Encoder(widths, 1, key=stream(key, "encoder"), block=block)
        self.middle = block(widths[-1], widths[-1], key=stream(key, "middle"))
        self.decoder = Decoder(widths, 1, key=stream(key, "decoder"), block=block)
        self.head = _zero(eqx.nn.Linear(widths[0], patch * patch * outputs, key=stream(key, "head")))
        self.pooled_size = widths[-1]

    def encode(self, maps: Float[Array, "n n c"], context: Float[Array, " k"]) -> Any:
        """Maps of every level, from fine to coarse."""
        return self.encoder(self.stem(maps), context)

    def pool(self, hidden: Any) -> Float[Array, " s"]:
        """Mean of the coarsest maps."""
        return jnp.mean(activate(hidden[-1]), axis=(0, 1))

    def decode(self, hidden: Any, context: Float[Array, " k"]) -> Float[Array, "n n d"]:
        """Back up the levels."""
        *skips, x = hidden
        x = self.decoder(self.middle(x, context), tuple(skips), context)
        return _unpatched(jax.vmap(jax.vmap(self.head))(activate(x)), self.stem.side)


class TransformerBranch(AbstractBranch):
    """Attention over tokens of field patches, of condition patches, and, in its second half, of the context.

    Args:
        shape: (n, n, channels) of the maps that come in, n a multiple of the patch.
        outputs: channels that go out.
        context: length of the context.
        key: key of the initial weights.
        field: how many of the channels are the field's; the others are the condition's, with tokens of their own.
        patch: side of a patch in pixels.
        width: length of a token.
        depth: layers in each half.
        heads: of the attention.
        tokens: that the context becomes.

    Source: Li & He 2025 (arXiv:2511.13720) for patches of pixels; Remy et al. 2026 (arXiv:2606.31988) for tokens of parameters.
    """

    field_stem: Patches
    condition_stem: Patches
    first: tuple["Layer", ...]
    second: tuple["Layer", ...]
    inflate: eqx.nn.Linear
    head: eqx.nn.Linear
    pooled_size: int = eqx.field(static=True)
    field: int = eqx.field(static=True)
    side: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        context: int,
        *,
        key: Key[Array, ""],
        field: int,
        patch: int = 4,
        width: int = 96,
        depth: int = 2,
        heads: int = HEADS,
        tokens: int = 4,
    ):
        check_map_shape(shape, patch)
        if width % heads or width % 4:
            raise ConfigurationError("width", expected=f"a multiple of 4 and of {heads} heads", got=width)
        keys = iter(jax.random.split(key, 2 * depth + 4))
        self.field_stem = Patches(patch, field, width, key=next(keys))
        self.condition_stem = Patches(patch, shape[-1] - field, width, key=next(keys))
        self.first = tuple(Layer(width, heads, context, key=next(keys)) for _ in range(depth))
        self.second = tuple(Layer(width, heads, context, key=next(keys)) for _ in range(depth))
        self.inflate = eqx.nn.Linear(context, tokens * width, key=next(keys))
        self.head = _zero(eqx.nn.Linear(width, patch * patch * outputs, key=next(keys)))
        self.pooled_size, self.field, self.side = width, field, shape[0] // patch

    def encode(self, maps: Float[Array, "n n c"], context: Float[Array, " k"]) -> Any:
        """Tokens of the condition and of the field (2 m, width)."""
        width = self.pooled_size
        condition = self.condition_stem(maps[..., self.field :]).reshape(-1, width)
        field = self.field_stem(maps[..., : self.field]).reshape(-1, width)
        x = jnp.concatenate([condition, field]) + np.tile(_places(self.side, width), (2, 1))
        for layer in self.first:
            x = layer(x, context)
        return x

    def pool(self, hidden: Any) -> Float[Array, " s"]:
        """Mean of the field's tokens."""
        return jnp.mean(hidden[self.side**2 :], axis=0)

    def decode(self, hidden: Any, context: Float[Array, " k"]) -> Float[Array, "n n d"]:
        """The field's tokens after attention with the context's, as maps."""
        x = jnp.concatenate([self.inflate(context).reshape(-1, self.pooled_size), hidden])
        for layer in self.second:
            x = layer(x, context)
        field = jax.vmap(self.head)(x[-(self.side**2) :])
        return _unpatched(field.reshape(self.side, self.side, -1), self.field_stem.side)


class Layer(eqx.Module):
    """Attention and a perceptron, each normalised before, scaled, shifted and opened by a context.

    Args:
        width: length of a token.
        heads: of the attention.
        context: length of the context.
        key: key of the initial weights.

    Source: Peebles & Xie 2023 (arXiv:2212.09748), section 3.2.
    """

    attention: eqx.nn.MultiheadAttention
    widen: eqx.nn.Linear
    narrow: eqx.nn.Linear
    modulate: eqx.nn.Linear

    def __init__(self, width: int, heads: int, context: int, *, key: Key[Array, ""]):
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=stream(key, "attention"))
        self.widen = eqx.nn.Linear(width, 3 * width, key=stream(key, "widen"))
        self.narrow = eqx.nn.Linear(3 * width, width, key=stream(key, "narrow"))
        self.modulate = _zero(eqx.nn.Linear(context, 6 * width, key=stream(key, "modulate")))

    def __call__(self, x: Float[Array, "m w"], context: Float[Array, " k"]) -> Float[Array, "m w"]:
        """Tokens (m, width) after the layer."""
        scale, shift, gate, wide_scale, wide_shift, wide_gate = jnp.split(self.modulate(context), 6)
        y = _normalised(x) * (1 + scale) + shift
        x = x + (OPEN + gate) * self.attention(y, y, y)
        y = _normalised(x) * (1 + wide_scale) + wide_shift
        return x + (OPEN + wide_gate) * jax.vmap(lambda token: self.narrow(jax.nn.silu(self.widen(token))))(y)


def _normalised(x):
    return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def _places(side: int, width: int) -> np.ndarray:
    """Sines and cosines of both coordinates of every patch, periodic like the sky."""
    waves = np.arange(1, width // 4 + 1)
    angles = 2 * np.pi * np.arange(side)[:, None] * waves / side
    one = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    rows, columns = np.broadcast_to(one[:, None], (side, side, width // 2)), np.broadcast_to(one, (side, side, width // 2))
    return np.concatenate([rows, columns], axis=-1).reshape(side * side, width).astype(np.float32)


def _unpatched(x, side):
    ny, nx, _ = x.shape
    return x.reshape(ny, nx, side, side, -1).transpose(0, 2, 1, 3, 4).reshape(ny * side, nx * side, -1)


def _zero(linear: eqx.nn.Linear) -> eqx.nn.Linear:
    return jax.tree.map(jnp.zeros_like, linear)
