"""Networks of Ullmo, Decelle & Aghanim 2021 (A&A 651, A46, figure A.1) for square images: generator, critic and encoder.

Filters are of 5 x 5 pixels and convolutions of stride two, "same" at the edges. Of 128 x 128 pixels, with base 32 and 100
latents, they have the 5,180,673, 4,361,985 and 5,173,092 parameters of the paper; smaller images leave out the layers nearest
the latents. Batches are not normalised, as those numbers tell, so that initial weights keep the variance of what comes in.

Strided convolutions and their transposes are computed as plain ones of 3 x 3 blocks of 2 x 2 pixels: the same numbers, several
times faster on a CPU, whose kernels for gradients of strides multiply zeros.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream


COARSEST = 4  # pixels on a side of the map next to the latents
QUIET = 0.1  # of the generator's last weights at first, so that images begin where the tanh has a slope
LEAK = 0.2  # slope of rectifiers below zero, as in cosmoGAN (Mustafa et al. 2019)


class Strided(eqx.Module):
    """Convolution by 5 x 5 filters of stride two, channels last, with half the pixels on a side; or its transpose, with twice.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        up: whether it is the transpose.
        key: key of the initial weights.
    """

    weight: Float[Array, "5 5 inputs outputs"]
    bias: Float[Array, " outputs"]
    up: bool = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, *, up: bool = False, key: Key[Array, ""]):
        seen = inputs * 25 / (4 if up else 1)  # numbers that each output is a sum of
        self.weight, self.bias = jax.random.normal(key, (5, 5, inputs, outputs)) * math.sqrt(2 / seen), jnp.zeros(outputs)
        self.up = up

    def __call__(self, x: Float[Array, "y x inputs"]) -> Float[Array, "v u outputs"]:
        """Convolve a map (y, x, inputs), whose sides are even unless it is the transpose."""
        # The four pixels of a block are channels of the coarse side: of what comes in, or of what goes out.
        phases, (_, _, inputs, outputs) = _by_phase(self.weight), self.weight.shape
        if self.up:
            kernel = jnp.moveaxis(phases[::-1, ::-1], -2, 2).reshape(3, 3, inputs, 4 * outputs)
            return _apart(_convolved(x, kernel)) + self.bias
        return _convolved(_together(x), phases.reshape(3, 3, 4 * inputs, outputs)) + self.bias


def _by_phase(weight):
    """Filters (5, 5, i, o) by the block of 2 x 2 pixels and the place in it that they look at: (3, 3, 2, 2, i, o)."""
    padded = jnp.pad(weight, ((1, 0), (1, 0), (0, 0), (0, 0)))
    return padded.reshape(3, 2, 3, 2, *weight.shape[2:]).transpose(0, 2, 1, 3, 4, 5)


def _convolved(x, kernel):
    return jax.lax.conv_general_dilated(x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))[0]


def _together(x):
    """Blocks of 2 x 2 pixels as one of four times the channels."""
    y, u, channels = x.shape
    return x.reshape(y // 2, 2, u // 2, 2, channels).transpose(0, 2, 1, 3, 4).reshape(y // 2, u // 2, 4 * channels)


def _apart(x):
    y, u, channels = x.shape
    return x.reshape(y, u, 2, 2, channels // 4).transpose(0, 2, 1, 3, 4).reshape(2 * y, 2 * u, channels // 4)


def _dense(inputs, outputs, key):
    layer = eqx.nn.Linear(inputs, outputs, key=key)
    drawn = jax.random.normal(key, (outputs, inputs)) / math.sqrt(inputs)
    return eqx.tree_at(lambda one: (one.weight, one.bias), layer, (drawn, jnp.zeros(outputs)))


def _layers(pixels):
    layers = round(math.log2(pixels / COARSEST)) if pixels > COARSEST else 0
    if layers < 1 or COARSEST * 2**layers != pixels:
        raise ConfigurationError("pixels", expected=f"{COARSEST} times a power of two, such as 64 or 128", got=pixels)
    return layers


class ImageGenerator(eqx.Module):
    """Latent vector (z,) to an image (p, p) between -1 and 1.

    Args:
        pixels: on a side, four times a power of two.
        latents: z.
        base: channels of the finest map; each coarser one has twice as many.
        key: key of the initial weights.

    Raises:
        ConfigurationError: another number of pixels.
    """

    first: eqx.nn.Linear
    layers: tuple[Strided, ...]

    def __init__(self, pixels: int, latents: int = 100, base: int = 32, *, key: Key[Array, ""]):
        widths = [base * 2**i for i in reversed(range(_layers(pixels)))]
        self.first = _dense(latents, COARSEST**2 * widths[0], stream(key, "first"))
        *inner, last = (
            Strided(one, other, up=True, key=stream(key, f"{number}"))
            for number, (one, other) in enumerate(itertools.pairwise([*widths, 1]))
        )
        self.layers = (*inner, eqx.tree_at(lambda layer: layer.weight, last, QUIET * last.weight))

    @property
    def latents(self) -> int:
        """Length of the latent vector."""
        return self.first.weight.shape[1]

    @property
    def pixels(self) -> int:
        """On a side of an image."""
        return COARSEST * 2 ** len(self.layers)

    def __call__(self, z: Float[Array, " z"]) -> Float[Array, "p p"]:
        """Image of a latent vector."""
        x = self.first(z).reshape(COARSEST, COARSEST, -1)
        for layer in self.layers:
            x = layer(jax.nn.relu(x))
        return jnp.tanh(x[..., 0])


class ImageCritic(eqx.Module):
    """Image (p, p) to what is made of it: a logit of its being real, or, with several outputs, a code of it.

    Args:
        pixels: as of the generator.
        outputs: 1 for the paper's discriminator, the number of latents for its encoder.
        base: channels of the finest map.
        key: key of the initial weights.

    Raises:
        ConfigurationError: another number of pixels.
    """

    layers: tuple[Strided, ...]
    last: eqx.nn.Linear

    def __init__(self, pixels: int, outputs: int = 1, base: int = 32, *, key: Key[Array, ""]):
        widths = [1, *(base * 2**i for i in range(_layers(pixels)))]
        self.layers = tuple(
            Strided(one, other, key=stream(key, f"{number}")) for number, (one, other) in enumerate(itertools.pairwise(widths))
        )
        self.last = _dense(COARSEST**2 * widths[-1], outputs, stream(key, "last"))

    def features(self, image: Float[Array, "p p"]) -> Float[Array, " f"]:
        """What the last layer sees, in which images that look alike are near each other."""
        x = image[..., None]
        for layer in self.layers:
            x = jax.nn.leaky_relu(layer(x), LEAK)
        return x.ravel()

    def __call__(self, image: Float[Array, "p p"]) -> Float[Array, " outputs"]:
        """Outputs for an image."""
        return self.last(self.features(image))
