"""A network that is blind to how a square map is turned or mirrored."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Symmetric(eqx.Module):
    """Mean of a network's outputs over the eight turns and flips of a square map: the same for all of them, to rounding.

    It costs eight times the network. Networks that end in a global mean over periodic convolutions are blind to shifts already,
    by multiples of their stride.

    Args:
        network: map (n, n, ...) to a vector (c,).
    """

    network: Callable

    def __call__(self, x: Float[Array, "n n ..."], *, key: Key[Array, ""] | None = None) -> Float[Array, " c"]:
        """Map (n, n, ...) to a vector (c,); `key` is ignored."""
        turned = jnp.stack([jnp.rot90(side, quarter) for side in (x, jnp.swapaxes(x, 0, 1)) for quarter in range(4)])
        return jnp.mean(jax.vmap(self.network)(turned), axis=0)
