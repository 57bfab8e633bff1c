"""Errors that depend on numbers, inside `jax.jit` and outside."""

from typing import TypeVar

import equinox as eqx
from jax.core import Tracer
from jaxtyping import Array, Bool

from fullfield._core import FullfieldError


T = TypeVar("T")


def unless(bad: Bool[Array, ""], error: FullfieldError, result: T) -> T:
    """`result`, unless `bad`: then the error, which inside `jax.jit` is equinox's runtime error with the same words."""
    if isinstance(bad, Tracer):
        return eqx.error_if(result, bad, str(error))
    if bad:
        raise error
    return result
