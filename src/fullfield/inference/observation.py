"""What an observation must be before anything is inferred from it."""

from typing import Any

import numpy as np
from jax.core import Tracer

from fullfield._core import DataError, ShapeError


def check_observation(observation: Any, shape: tuple[int, ...], *, many: bool = False) -> None:
    """Refuse observations of another shape than the simulations, and those with NaN or infinity.

    Values are looked at only outside `jit`.

    Args:
        observation: one observation, or with `many` a leading axis of them.
        shape: shape of one simulation.
        many: whether there is a leading axis.

    Raises:
        ShapeError: the shape differs.
        DataError: an element is not finite; says how many and where the first one is.
    """
    got = tuple(np.shape(observation))
    if (got[1:] if many else got) != tuple(shape) or (many and not got):
        expected = f"shape {('n', *shape) if many else tuple(shape)}, as simulated"
        turned = sorted(got) == sorted(shape)
        remedy = f"Move the axes into the order {tuple(shape)}." if turned else "Bring it to the simulations' pixels and bins."
        raise ShapeError("observation", expected=expected, got=got, remedy=remedy)
    if isinstance(observation, Tracer):
        return
    bad = ~np.isfinite(np.asarray(observation))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            "observation",
            expected="finite numbers",
            got=f"{bad.sum()} of {bad.size} elements that are NaN or infinite, first at {first}",
            remedy="Set masked pixels to zero and give the model the mask.",
        )
