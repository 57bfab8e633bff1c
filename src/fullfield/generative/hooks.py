"""What a joint posterior makes of observations and draws unless it is told otherwise: nothing, but for a check."""

from typing import Any

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from fullfield._core import DataError
from fullfield.generative.denoiser import Condition


def as_seen(theta: Float[Array, " p"], condition: Condition) -> Condition:
    """No more is made of an observation once parameters are known."""
    del theta
    return condition


def the_field_itself(
    theta: Float[Array, " p"], field: Float[Array, "n n bins"], condition: Condition
) -> Float[Array, "n n bins"]:
    """What denoisers that were trained on maps draw."""
    del theta, condition
    return field


def left_as_drawn(
    key: Key[Array, ""],
    theta: Float[Array, " p"],
    field: Float[Array, "n n bins"],
    condition: Condition,
    scatter: Float[Array, "p p"] | None,
) -> tuple[Float[Array, " p"], Float[Array, "n n bins"]]:
    """Draws are those of the denoiser."""
    del key, condition, scatter
    return theta, field


def finite_numbers(observation: Any) -> Array | np.ndarray:
    """An observation as it is, if it is an array of finite numbers.

    Raises:
        DataError: it is not; looked at only outside `jit`.
    """
    if isinstance(observation, Tracer):
        return observation
    array = np.asarray(observation)
    if array.dtype.kind not in "fiu":
        got = type(observation).__name__
        remedy = "Give the posterior prepare=model.prepare, or take what that makes of ShearMaps."
        raise DataError("observation", expected="an array of numbers", got=got, remedy=remedy)
    if not np.isfinite(array).all():
        got = f"{(~np.isfinite(array)).sum()} that are not"
        remedy = "The forward model's `prepare` sets what was not observed to zero."
        raise DataError("observation", expected="finite numbers", got=got, remedy=remedy)
    return observation
