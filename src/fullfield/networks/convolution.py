"""Residual convolutional networks for maps (y, x, bins), channels last.

Normalisation. Batch normalisation makes an example's output depend on the others of its batch, and its running moments are
hidden state; group normalisation divides out each map's own amplitude, which is what σ8 is read from. These networks
therefore normalise weights instead of activations: every filter is standardised to zero mean and unit gain (weight
standardisation, Qiao et al. 2019, arXiv:1903.10520, with the gain of Brock et al. 2021, arXiv:2101.08692, eq. 1), and every
residual branch starts at zero (De & Smith 2020, arXiv:2002.10444), so that the network starts as a sum of smoothed maps.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream


class Convolution(eqx.Module):
    """Square two-dimensional convolution with standardised filters, channels last.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        size: side of the filter in pixels.
        stride: step in pixels; the output has 1/stride of the pixels per side.
        periodic: whether a map goes on at its opposite edge, as periodic fields do, or has zeros around it.
        key: key of the initial weights.
    """

    weight: Float[Array, "size size inputs outputs"]
    gain: Float[Array, " outputs"]
    bias: Float[Array, " outputs"]
    stride: int = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, periodic: bool = False, key: Key[Array, ""]):
        self.weight = jax.random.normal(key, (size, size, inputs, outputs))
        self.gain, self.bias = jnp.ones(outputs), jnp.zeros(outputs)
        self.stride, self.periodic = stride, periodic

    def __call__(self, x: Float[Array, "y x inputs"]) -> Float[Array, "v u outputs"]:
        """Convolve a map (y, x, inputs)."""
        centred = self.weight - jnp.mean(self.weight, axis=(0, 1, 2))
        variance = jnp.mean(centred**2, axis=(0, 1, 2))
        # Unit-variance white input gives unit-variance output.
        scale = self.gain / jnp.sqrt(variance * math.prod(self.weight.shape[:3]) + 1e-8)
        before = (self.weight.shape[0] - self.stride + 1) // 2
        pad = [(before, self.weight.shape[0] - self.stride - before)] * 2
        y = jax.lax.conv_general_dilated(
            (jnp.pad(x, [*pad, (0, 0)], mode="wrap") if self.periodic else x).astype(self.weight.dtype)[None],
            centred * scale,
            (self.stride, self.stride),
            [(0, 0)] * 2 if self.periodic else pad,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y[0] + self.bias


class Patches(eqx.Module):
    """Dense layer over non-overlapping square patches: a strided convolution as one matrix product, fast on a CPU.

    Args:
        side: side of a patch in pixels.
        inputs: channels that come in.
        outputs: channels that go out.
        key: key of the initial weights.
    """

    weight: Float[Array, "pixels outputs"]
    bias: Float[Array, " outputs"]
    side: int = eqx.field(static=True)

    def __init__(self, side: int, inputs: int, outputs: int, *, key: Key[Array, ""]):
        pixels = side * side * inputs
        self.weight = jax.random.normal(key, (pixels, outputs)) / math.sqrt(pixels)
        self.bias = jnp.zeros(outputs)
        self.side = side

    def __call__(self, x: Float[Array, "y x inputs"]) -> Float[Array, "v u outputs"]:
        """Map (y, x, inputs) to one vector per patch (y / side, x / side, outputs)."""
        ny, nx = x.shape[0] // self.side, x.shape[1] // self.side
        patches = x.reshape(ny, self.side, nx, self.side, -1).transpose(0, 2, 1, 3, 4).reshape(ny, nx, -1)
        return patches.astype(self.weight.dtype) @ self.weight + self.bias


class ResidualBlock(eqx.Module):
    """x + gain · conv(silu(conv(silu(x)))), where a stride or a change of channels also acts on x.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: step of the first convolution; the shortcut averages over stride × stride pixels.
        periodic: as of `Convolution`.
        key: key of the initial weights.
    """

    first: Convolution
    second: Convolution
    shortcut: Convolution | None
    gain: Float[Array, ""]

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, periodic: bool = False, key: Key[Array, ""]):
        self.first = Convolution(inputs, outputs, 3, stride=stride, periodic=periodic, key=stream(key, "first"))
        self.second = Convolution(outputs, outputs, 3, periodic=periodic, key=stream(key, "second"))
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else Convolution(inputs, outputs, 1, key=stream(key, "shortcut"))
        self.gain = jnp.zeros(())

    def __call__(
        self, x: Float[Array, "y x inputs"], between: Callable[[Float[Array, "v u c"]], Float[Array, "v u c"]] | None = None
    ) -> Float[Array, "v u outputs"]:
        """Apply the block to a map (y, x, inputs), with something between its convolutions if given."""
        inner = self.first(activate(x))
        branch = self.second(activate(inner if between is None else between(inner)))
        if self.shortcut is not None:
            x = self.shortcut(average_pool(x, self.first.stride))
        return x + self.gain * branch


class ConvNet(eqx.Module):
    """A small residual network that trains in minutes on two CPU cores: patches, then residual stages, then a global mean.

    Args:
        shape: (y, x, bins) of the maps; sides must be multiples of patch · 2^(stages - 1).
        features: length of the output.
        key: key of the initial weights.
        patch: side of the patches that the first layer sees, in pixels.
        widths: channels of each stage; each later stage has half the pixels per side.
        blocks: residual blocks of each stage.
        periodic: as of `Convolution`.

    Raises:
        ConfigurationError: the map's sides are not such multiples.
    """

    stem: Patches
    blocks: tuple[ResidualBlock, ...]
    head: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int,
        *,
        key: Key[Array, ""],
        patch: int = 4,
        widths: tuple[int, ...] = (32, 64),
        blocks: tuple[int, ...] = (2, 2),
        periodic: bool = False,
    ):
        check_map_shape(shape, patch * 2 ** (len(widths) - 1))
        self.stem = Patches(patch, shape[-1], widths[0], key=stream(key, "stem"))
        self.blocks = residual_stages(widths[0], widths, blocks, periodic=periodic, key=stream(key, "blocks"))
        self.head = eqx.nn.Linear(widths[-1], features, key=stream(key, "head"))

    def __call__(self, x: Float[Array, "y x bins"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (y, x, bins) to a vector (features,); `key` is ignored."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(activate(x), axis=(0, 1)))


def residual_stages(
    inputs: int, widths: tuple[int, ...], blocks: tuple[int, ...], *, periodic: bool = False, key: Key[Array, ""]
) -> tuple[ResidualBlock, ...]:
    """Residual blocks of consecutive stages, each stage after the first beginning with stride two."""
    built = []
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            of_block = stream(key, f"{stage}.{number}")
            built.append(ResidualBlock(inputs, width, stride=stride, periodic=periodic, key=of_block))
            inputs = width
    return tuple(built)


def average_pool(x: Float[Array, "y x c"], side: int) -> Float[Array, "v u c"]:
    """Mean over non-overlapping side × side pixels."""
    if side == 1:
        return x
    ny, nx, channels = x.shape
    return jnp.mean(x.reshape(ny // side, side, nx // side, side, channels), axis=(1, 3))


def check_map_shape(shape: tuple[int, ...], multiple: int) -> None:
    """Refuse shapes that are not (y, x, bins) with sides that divide evenly.

    Raises:
        ConfigurationError: says which multiple the sides must have.
    """
    if len(shape) != 3 or shape[0] % multiple or shape[1] % multiple:
        raise ConfigurationError(
            "shape",
            expected=f"(y, x, bins) with sides that are multiples of {multiple}",
            got=tuple(shape),
            remedy="Choose another network or other pixels.",
        )


def activate(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Silu times a factor that keeps unit variance for a unit normal input (arXiv:2101.08692, section 3)."""
    return 1.7881 * jax.nn.silu(x)
