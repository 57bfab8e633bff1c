"""Plain convolutional encoder of 100 x 100 maps, as published for summaries learnt without labels.

Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (MNRAS 527, 7459), appendix A, where it has a batch norm behind every convolution.
Those make an example's output depend on the others of its batch, and their moments are hidden state. Here every channel's scale
and shift are set once, such that it has zero mean and unit variance on examples (`fitted_to`), and then trained like all else.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.networks.convolution import average_pool


LAYERS = (
    ((1, 3, 1), (1, 3, 1)), ((2, 3, 1), (2, 3, 1)), ((4, 2, 0), (4, 3, 1)), ((8, 3, 0), (8, 3, 0)), ((16, 3, 0),),
)  # fmt: skip
"""Stages, a mean of 2 x 2 pixels behind each: channels in units of the first layer's, side of the filters, zeros around."""


SIDE = 100  # of the maps, of which one pixel is left behind all stages


class ScaledConvolution(eqx.Module):
    """Convolution with bias, and scale and shift of every channel behind it.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        size: side of the filter.
        pad: pixels of zeros around the map.
        key: key of the initial weights.
    """

    weight: Float[Array, "size size inputs outputs"]
    bias: Float[Array, " outputs"]
    scale: Float[Array, " outputs"]
    shift: Float[Array, " outputs"]
    pad: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, size: int, pad: int, *, key: Key[Array, ""]):
        self.weight = jax.random.normal(key, (size, size, inputs, outputs)) / np.sqrt(size * size * inputs)
        self.bias, self.shift = jnp.zeros(outputs), jnp.zeros(outputs)
        self.scale, self.pad = jnp.ones(outputs), pad

    def __call__(self, x: Float[Array, "y x inputs"]) -> Float[Array, "v u outputs"]:
        """Convolve a map (y, x, inputs)."""
        y = jax.lax.conv_general_dilated(
            x[None], self.weight, (1, 1), [(self.pad, self.pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return self.scale * (y[0] + self.bias) + self.shift


class MapEncoder(eqx.Module):
    """Nine convolutions with ReLU and means of 2 x 2 pixels between them, then three dense layers, of which two share weights.

    Args:
        shape: (y, x, bins) of the maps, 100 x 100.
        features: length of the output, the summary.
        key: key of the initial weights.
        channels: of the first layer.

    Raises:
        ConfigurationError: the maps have another size.
    """

    stages: tuple[tuple[ScaledConvolution, ...], ...]
    dense: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, shape: tuple[int, ...], features: int = 16, *, key: Key[Array, ""], channels: int = 8):
        if len(shape) != 3 or shape[:2] != (SIDE, SIDE):
            raise ConfigurationError(
                "shape", expected=f"({SIDE}, {SIDE}, bins)", got=tuple(shape), remedy="Choose another network or other pixels."
            )
        inputs, stages = shape[-1], []
        for number, layers in enumerate(LAYERS):
            built = []
            for place, (multiple, size, pad) in enumerate(layers):
                one = ScaledConvolution(inputs, multiple * channels, size, pad, key=stream(key, f"{number}.{place}"))
                built.append(one)
                inputs = multiple * channels
            stages.append(tuple(built))
        self.stages = tuple(stages)
        self.dense = eqx.nn.Linear(inputs, inputs, key=stream(key, "dense"))
        self.head = eqx.nn.Linear(inputs, features, key=stream(key, "head"))

    def __call__(self, x: Float[Array, "y x bins"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (y, x, bins) to a summary (features,); `key` is ignored."""
        for convolutions in self.stages:
            for convolution in convolutions:
                x = jax.nn.relu(convolution(x))
            x = _halved(x)
        return self.head(jax.nn.relu(self.dense(self.dense(x.ravel()))))

    def fitted_to(self, maps: Float[Array | np.ndarray, "n y x bins"]) -> "MapEncoder":
        """The same network with scale and shift of every channel set on examples, from the first layer to the last."""
        stages, x = [], jnp.asarray(maps)
        for convolutions in self.stages:
            fitted = []
            for convolution in convolutions:
                y = _apply(convolution, x)
                mean, deviation = jnp.mean(y, axis=(0, 1, 2)), jnp.std(y, axis=(0, 1, 2)) + 1e-6
                scales = 1 / deviation, -mean / deviation
                fitted.append(eqx.tree_at(lambda one: (one.scale, one.shift), convolution, scales))
                x = jax.nn.relu((y - mean) / deviation)
            x = _apply(_halved, x)
            stages.append(tuple(fitted))
        return eqx.tree_at(lambda network: network.stages, self, tuple(stages))


@eqx.filter_jit
def _apply(function: Callable, x: Array) -> Array:
    return jax.vmap(function)(x)


def _halved(x):
    """Mean of 2 x 2 pixels; an odd row or column at the end is left out."""
    return average_pool(x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2], 2)
