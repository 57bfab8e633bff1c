"""ResNet-18 for tomographic maps."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.networks.convolution import activate, average_pool, check_map_shape, Convolution, residual_stages, ResidualBlock


class ResNet18(eqx.Module):
    """Eighteen-layer residual network (He et al. 2016, arXiv:1512.03385, table 1) without batch normalisation.

    A 7 × 7 convolution of stride two, a 2 × 2 mean, then four stages of two residual blocks, an activation, a global mean
    and a dense layer.
    Weights are standardised in place of activations; `fullfield.networks.convolution` says why.

    Args:
        shape: (y, x, bins) of the maps; sides must be multiples of 32, e.g. (256, 256, 5).
        features: length of the output.
        key: key of the initial weights.
        widths: channels of the four stages.
        periodic: as of `Convolution`.

    Raises:
        ConfigurationError: the map's sides are not such multiples.
    """

    stem: Convolution
    blocks: tuple[ResidualBlock, ...]
    head: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int,
        *,
        key: Key[Array, ""],
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        periodic: bool = False,
    ):
        check_map_shape(shape, 32)
        self.stem = Convolution(shape[-1], widths[0], 7, stride=2, periodic=periodic, key=stream(key, "stem"))
        self.blocks = residual_stages(widths[0], widths, (2, 2, 2, 2), periodic=periodic, key=stream(key, "blocks"))
        self.head = eqx.nn.Linear(widths[-1], features, key=stream(key, "head"))

    def __call__(self, x: Float[Array, "y x bins"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (y, x, bins) to a vector (features,); `key` is ignored."""
        x = average_pool(self.stem(x), 2)
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(activate(x), axis=(0, 1)))
