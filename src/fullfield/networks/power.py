"""A network that reads the power of learned filters: for maps whose information is in their two-point function, fast on a CPU.

    p_jl = ln ⟨(w_jl · x)²⟩,    t = MLP(R (p - m)),

where w_jl are filters on windows of s x s pixels of the map averaged over 2^l x 2^l pixels, and the mean runs over windows that
overlap by half. Windows are cut and multiplied as one matrix product, twenty times faster on a CPU than a convolution.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.networks.convolution import average_pool
from fullfield.networks.mlp import MLP


class PowerNet(eqx.Module):
    """Perceptron on logarithmic mean powers of learned filters at scales of octaves, for periodic maps.

    Args:
        shape: (y, x, bins) of the maps, square with sides that windows divide.
        features: length of the output.
        key: key of the initial weights.
        window: side s of the windows in pixels, even; at every next octave of as many pixels twice as wide.
        filters: at every scale.
        width: hidden units of the perceptron.

    Raises:
        ConfigurationError: windows do not divide the maps.
    """

    filters: tuple[Float[Array, "pixels filters"], ...]
    mean: Float[Array, " k"]
    root: Float[Array, "k k"]
    head: MLP
    window: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int,
        *,
        key: Key[Array, ""],
        window: int = 8,
        filters: int = 32,
        width: int = 64,
    ):
        if len(shape) != 3 or shape[0] != shape[1] or window % 2 or shape[0] % window:
            raise ConfigurationError(
                "shape", expected=f"(n, n, bins) with n a multiple of the even window={window}", got=tuple(shape),
                remedy="Choose another window or other pixels.",
            )  # fmt: skip
        side, built, pixels = shape[0], [], window * window * shape[2]
        while side % window == 0:
            built.append(jax.random.normal(stream(key, f"{len(built)}"), (pixels, filters)) / math.sqrt(pixels))
            side = side // 2 if side % 2 == 0 else 1
        self.filters, self.window = tuple(built), window
        k = filters * len(built)
        self.mean, self.root = jnp.zeros(k), jnp.eye(k)
        self.head = MLP(k, features, key=stream(key, "head"), width=width, depth=2)

    def powers(self, x: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Logarithmic mean powers (k,) of a map (n, n, bins)."""
        found = []
        for scale, filters in enumerate(self.filters):
            x = x if scale == 0 else average_pool(x, 2)
            found.append(jnp.log(jnp.mean((self._windows(x) @ filters) ** 2, axis=0) + 1e-6))
        return jnp.concatenate(found)

    def __call__(self, x: Float[Array, "n n bins"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (n, n, bins) to a vector (features,); `key` is ignored."""
        return self.head(self.root @ (self.powers(x) - self.mean))

    def fitted_to(self, maps: Float[Array | np.ndarray, "n y x bins"]) -> "PowerNet":
        """The same with m and R measured on examples, so that the perceptron sees uncorrelated numbers of unit variance.

        All filters see the amplitude of a map, and little else of their powers varies.
        """
        powers = _apply(PowerNet.powers, self, jnp.asarray(maps))
        variance, directions = jnp.linalg.eigh(jnp.cov(powers.T))
        scale = jnp.sqrt(jnp.maximum(variance, 1e-4 * variance[-1]))
        return eqx.tree_at(lambda net: (net.mean, net.root), self, (jnp.mean(powers, axis=0), (directions / scale).T))

    def _windows(self, x):
        """Windows (m, pixels), from four grids of them half a window apart."""
        side, n = self.window, x.shape[0] // self.window
        cut = lambda y: y.reshape(n, side, n, side, -1).transpose(0, 2, 1, 3, 4).reshape(n * n, -1)  # noqa: E731
        half = (0, side // 2)
        return jnp.concatenate([cut(jnp.roll(x, (a, b), (0, 1))) for a in half for b in half])


@eqx.filter_jit
def _apply(function, network, maps):
    return jax.vmap(function, (None, 0))(network, maps)
