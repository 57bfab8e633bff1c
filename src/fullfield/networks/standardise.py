"""Measured moments that stand in front of a network."""

import equinox as eqx
import jax.numpy as jnp
import paramax
from jaxtyping import Array, Float


class Standardise(eqx.Module):
    """x ↦ (x - loc) / scale with moments that were measured, not trained.

    Args:
        loc: what is subtracted, of a shape that broadcasts with the data's.
        scale: what is divided by, positive.
    """

    loc: paramax.NonTrainable | Float[Array, "..."]
    scale: paramax.NonTrainable | Float[Array, "..."]

    def __init__(self, loc: Float[Array, "..."], scale: Float[Array, "..."]):
        self.loc, self.scale = paramax.NonTrainable(loc), paramax.NonTrainable(scale)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Subtract and divide."""
        loc, scale = paramax.unwrap((self.loc, self.scale))
        return (x - loc) / scale


def moments(data: Float[Array, "n ..."], *, axes: tuple[int, ...] = (0,)) -> Standardise:
    """Standardisation by the mean and deviation of data (n, ...) over `axes`, of which the first is the examples'.

    A constant element is only centred, since nothing says how large it may become.
    """
    loc, deviation = jnp.mean(data, axis=axes), jnp.std(data, axis=axes)
    negligible = deviation <= 1e-6 * jnp.maximum(jnp.abs(loc), 1e-30)
    return Standardise(loc, jnp.where(negligible, 1.0, deviation))
