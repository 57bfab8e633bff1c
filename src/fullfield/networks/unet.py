"""U-Net: maps to maps of the same pixels, by way of coarser ones (Ronneberger, Fischer & Brox 2015, arXiv:1505.04597).

    x → stem → encoder ─┬─ skips, one per level ──┐
                        └─ coarsest → bottleneck → decoder → head

The parts are modules of their own, made of blocks `(map, *condition) -> map`: what a block makes of a condition is its own
business, and all get the same. Maps are periodic.
"""

import functools
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.networks.convolution import activate, check_map_shape, Convolution, ResidualBlock


PERIODIC = functools.partial(ResidualBlock, periodic=True)

Block = Callable[..., Float[Array, "y x c"]]
"""`(map, *condition) -> map`; made by `(inputs, outputs, *, stride=1, key)`."""


class Encoder(eqx.Module):
    """Blocks on finer, then coarser maps; each level after the first halves the pixels per side.

    Args:
        widths: channels of each level, the finest first; the input has those of the first.
        blocks: blocks of each level.
        key: key of the initial weights.
        block: what makes a block.
    """

    levels: tuple[tuple[Block, ...], ...]

    def __init__(self, widths: tuple[int, ...], blocks: int, *, key: Key[Array, ""], block: Callable[..., Block] = PERIODIC):
        def level(i):
            first = block(widths[max(i - 1, 0)], widths[i], stride=1 if i == 0 else 2, key=stream(key, f"{i}.0"))
            return (first, *(block(widths[i], widths[i], key=stream(key, f"{i}.{j}")) for j in range(1, blocks)))

        self.levels = tuple(level(i) for i in range(len(widths)))

    def __call__(self, x: Float[Array, "y x c"], *condition: Float[Array, "..."]) -> tuple[Float[Array, "..."], ...]:
        """The map after each level, the finest first."""
        found = []
        for level in self.levels:
            for block in level:
                x = block(x, *condition)
            found.append(x)
        return tuple(found)


class Decoder(eqx.Module):
    """The way back: maps of twice the pixels per side beside the encoder's of the same level, then blocks.

    Args:
        widths, blocks, key, block: as of the `Encoder`.
    """

    levels: tuple[tuple[Block, ...], ...]

    def __init__(self, widths: tuple[int, ...], blocks: int, *, key: Key[Array, ""], block: Callable[..., Block] = PERIODIC):
        def level(i):
            first = block(widths[i + 1] + widths[i], widths[i], key=stream(key, f"{i}.0"))
            return (first, *(block(widths[i], widths[i], key=stream(key, f"{i}.{j}")) for j in range(1, blocks)))

        self.levels = tuple(level(i) for i in reversed(range(len(widths) - 1)))

    def __call__(
        self, x: Float[Array, "v u c"], skips: tuple[Float[Array, "..."], ...], *condition: Float[Array, "..."]
    ) -> Float[Array, "y x d"]:
        """From the coarsest map to the finest, given those of the encoder's other levels, the finest first."""
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            x = jnp.concatenate([doubled(x), skip], axis=-1)
            for block in level:
                x = block(x, *condition)
        return x


class UNet(eqx.Module):
    """Maps (y, x, channels) to maps (y, x, outputs); it starts as zero.

    Args:
        shape: (y, x, channels) of the input; sides must be multiples of 2^(levels - 1).
        outputs: channels that go out.
        key: key of the initial weights.
        widths: channels of each level, the finest first.
        blocks: blocks of each level on either way, and of the bottleneck.

    Raises:
        ConfigurationError: the map's sides are not such multiples.
    """

    stem: Convolution
    encoder: Encoder
    bottleneck: tuple[Block, ...]
    decoder: Decoder
    head: Convolution

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        *,
        key: Key[Array, ""],
        widths: tuple[int, ...] = (32, 64, 64),
        blocks: int = 2,
    ):
        check_map_shape(shape, 2 ** (len(widths) - 1))
        self.stem = Convolution(shape[-1], widths[0], 3, periodic=True, key=stream(key, "stem"))
        self.encoder = Encoder(widths, blocks, key=stream(key, "encoder"))
        keys = [stream(key, f"bottleneck.{j}") for j in range(blocks)]
        self.bottleneck = tuple(PERIODIC(widths[-1], widths[-1], key=k) for k in keys)
        self.decoder = Decoder(widths, blocks, key=stream(key, "decoder"))
        head = Convolution(widths[0], outputs, 3, periodic=True, key=stream(key, "head"))
        self.head = eqx.tree_at(lambda layer: layer.gain, head, jnp.zeros(outputs))

    def __call__(self, x: Float[Array, "y x channels"], *, key: Key[Array, ""] | None = None) -> Float[Array, "y x outputs"]:
        """Apply to a map; `key` is ignored."""
        *skips, x = self.encoder(self.stem(x))
        for block in self.bottleneck:
            x = block(x)
        return self.head(activate(self.decoder(x, tuple(skips))))


def doubled(x: Float[Array, "v u c"]) -> Float[Array, "y x c"]:
    """Each pixel as 2 × 2 pixels of the same value."""
    return jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)
