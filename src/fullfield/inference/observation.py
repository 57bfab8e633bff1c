"""What an observation must be before anything is inferred from it."""

import warnings
from typing import Any

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from fullfield._core import DataError, ShapeError
from fullfield.datasets.typicality import mahalanobis, neighbours


RARE = 1e-3  # p-value below which an observation is called unlike the simulations


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


class OutsideSimulationsWarning(UserWarning):
    """An observation is unlike the simulations that a posterior was trained on."""


def warn_if_outside(observed: Float[Array | np.ndarray, " s"], simulated: Float[Array | np.ndarray, "n s"]) -> None:
    """Warn if an observation's summary lies outside the simulated ones: a network answers there too, and means nothing by it.

    A tenth of the simulations says how far members lie from the others; fewer than fifty simulations say nothing.
    `fullfield.diagnostics.misspecification` is the full test.

    Args:
        observed: summary of the observation.
        simulated: summaries of simulations.
    """
    held = len(simulated) // 10
    if held < 5:
        return
    observed, simulated = np.asarray(observed, float), np.asarray(simulated, float)
    for name, distance in (("Mahalanobis distance", mahalanobis), ("distance to the fifth neighbour", neighbours)):
        found = distance(observed, simulated[held:], simulated[:held])
        if found.p_value < RARE:
            warnings.warn(
                f"observation: expected one like the simulations, got a {name} of {found.observed:.3g} where the largest of "
                f"{held} simulations is {found.expected.max():.3g} (p = {found.p_value:.1g}). The posterior is an "
                "extrapolation: mend the model, or widen the prior.",
                OutsideSimulationsWarning,
                stacklevel=3,
            )
            return
