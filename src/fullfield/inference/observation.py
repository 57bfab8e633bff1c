"""What an observation must be before anything is inferred from it."""

import math
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from fullfield._core import DataError, ShapeError
from fullfield.datasets.typicality import constant, Ellipsoid, ellipsoid, NEIGHBOURS, neighbours, Typicality


RARE = 1e-3  # p-value below which an observation is called unlike the simulations
FEWEST, MOST = 10, 8192  # simulations that say how far members lie from each other, and that are looked at


class OutsideSimulationsWarning(UserWarning):
    """An observation is unlike the simulations that a posterior was trained on."""


class Seen(eqx.Module):
    """Where the summaries lay that a posterior was trained on.

    Args:
        ellipsoid: about them.
        expected: distances (n,) of each half of them from the ellipsoid about the other; none where there are too few.
        constant: which summaries (s,) never varied.
    """

    ellipsoid: Ellipsoid
    expected: Float[Array, " m"]
    constant: Bool[Array, " s"]


def remember(simulated: Float[Array | np.ndarray, "n s"]) -> Seen:
    """What tells an observation from simulated summaries that is unlike them."""
    simulated = _some(simulated)
    expected = np.zeros(0)
    if len(simulated) >= FEWEST:
        halves = simulated[::2], simulated[1::2]
        pairs = zip(halves, halves[::-1], strict=True)
        expected = np.concatenate([ellipsoid(simulated, half).distance(other) for half, other in pairs])
    about = jax.tree.map(lambda array: jnp.asarray(array, float), ellipsoid(simulated))
    return Seen(about, jnp.asarray(expected, float), jnp.asarray(constant(simulated)))


def check_observation(observation: Any, shape: tuple[int, ...], *, many: bool = False, seen: Seen | None = None) -> None:
    """Refuse observations of another shape than the simulations, and those with NaN or infinity.

    Values are looked at only outside `jit`.

    Args:
        observation: one observation, or with `many` a leading axis of them.
        shape: shape of one simulation.
        many: whether there is a leading axis.
        seen: the simulations that one observation should look like; anything does if not given.

    Raises:
        ShapeError: the shape differs.
        DataError: an element is not finite; says how many and where the first one is.

    Warns:
        OutsideSimulationsWarning: the observation is unlike the simulations.
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
    if seen is not None and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(seen)):
        _warn(_unlike(seen, np.asarray(observation, float)))


def warn_if_outside(observed: Float[Array | np.ndarray, " s"], simulated: Float[Array | np.ndarray, "n s"]) -> None:
    """Warn if an observation's summary lies outside the simulated ones: a network answers there too, and means nothing by it.

    One half of the simulations says how far members lie from the other half; fewer than ten simulations say nothing.
    `fullfield.diagnostics.misspecification` is the full test.

    Args:
        observed: summary of the observation.
        simulated: summaries of simulations.
    """
    observed, simulated = np.asarray(observed, float), _some(simulated)
    _warn(_unlike(remember(simulated), observed) or _in_a_gap(simulated, observed))


def _some(simulated):
    return np.asarray(simulated[:: math.ceil(len(simulated) / MOST)], float)


def _warn(what: str | None) -> None:
    if what is not None:
        # The caller is whoever called a posterior, which called the function that called this.
        warnings.warn(f"observation: expected one like the simulations, got {what}", OutsideSimulationsWarning, stacklevel=4)


def _unlike(seen: Seen, observed: np.ndarray) -> str | None:
    """What is unlike the simulations in an observation's summary."""
    if not seen.expected.size:
        return f"fewer than {FEWEST}, too few to tell. Make more of them, or compare them yourself."
    about = seen.ellipsoid
    others = np.asarray(seen.constant) & (np.abs(observed - np.asarray(about.centre)) > np.asarray(about.scale))
    if others.any():
        return (
            f"other numbers in columns {np.flatnonzero(others).tolist()}, which are the same in every simulation. Of these the "
            "posterior knows nothing: mend the model, or leave them out of the summaries."
        )
    found = Typicality(float(about.distance(observed)), np.asarray(seen.expected, float))
    return _far("Mahalanobis distance", found)


def _in_a_gap(simulated, observed):
    halves = simulated[::2], simulated[1::2]
    if len(halves[1]) <= NEIGHBOURS:
        return None
    expected = np.concatenate([neighbours(observed, *pair).expected for pair in (halves, halves[::-1])])
    # As many neighbours for the observation as for any member.
    found = [neighbours(observed, half, half[:0]).observed for half in halves]
    return _far("distance to the fifth neighbour", Typicality(min(found), expected))


def _far(name: str, found: Typicality) -> str | None:
    if found.p_value >= RARE:
        return None
    return (
        f"a {name} of {found.observed:.3g} where the largest of {len(found.expected)} simulations is "
        f"{found.expected.max():.3g} (p = {found.p_value:.1g}). The posterior is an extrapolation: mend the model, or widen "
        "the prior."
    )
