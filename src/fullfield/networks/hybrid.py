"""A network that is handed known statistics beside the data."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.networks.mlp import MLP


class Hybrid(eqx.Module):
    """Joins a fixed statistic and the features of a network, and reads the summary off both.

    The statistic brings at once what would take the network many simulations to find; the network adds what the statistic
    misses. Neither information nor calibration depends on it, only how fast training gets there.

    Args:
        statistic: data to vector (k,) of order one, not trained.
        network: data to vector (c,).
        channels: length c of the network's output.
        count: length k of the statistic.
        features: length of the output.
        key: key of the initial weights.
        width: hidden units of the network that joins them.
    """

    statistic: Callable
    network: Callable
    head: MLP

    def __init__(
        self,
        statistic: Callable,
        network: Callable,
        channels: int,
        count: int,
        features: int,
        *,
        key: Key[Array, ""],
        width: int = 128,
    ):
        self.statistic, self.network = statistic, network
        self.head = MLP(channels + count, features, key=stream(key, "head"), width=width)

    def __call__(self, x: Float[Array, "..."], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map data to a vector (features,); `key` is ignored."""
        known = jax.lax.stop_gradient(self.statistic(x))
        return self.head(jnp.concatenate([known, self.network(x)]))
