"""Errors that depend on numbers, inside `jax.jit` and outside."""

from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from fullfield._core import DataError, FullfieldError


T = TypeVar("T")


def unless(bad: Bool[Array, ""], error: FullfieldError, result: T) -> T:
    """`result`, unless `bad`: then the error, which inside `jax.jit` is equinox's runtime error with the same words."""
    if isinstance(bad, Tracer):
        return eqx.error_if(result, bad, str(error))
    if bad:
        raise error
    return result


def finite(displacement: Float[Array, "..."], result: T) -> T:
    """`result`, if displacements are finite.

    Raises:
        DataError: they are not; under `jit` it is equinox's runtime error.
    """
    # One sum, infinite or not a number if any displacement is.
    bad = ~jnp.isfinite(jnp.sum(displacement))
    remedy = "Are the white noise and the cosmology finite, and is the density of matter positive?"
    return unless(bad, DataError("particles", expected="finite displacements", got="NaN or infinity", remedy=remedy), result)
