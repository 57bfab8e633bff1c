"""Is an observation a typical member of a set of simulations? Distances to it, each with an exact p-value."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import stats
from scipy.spatial import KDTree
from sklearn.covariance import ledoit_wolf


NEIGHBOURS = 5
CLIP = 5.0
ROUNDING, TINY = 1e-6, 1e-30
WIDE = 1000  # components, whose covariance takes seconds and megabytes


class Typicality(eqx.Module):
    """How far the observation lies from a sample, and how far further members of the sample lie.

    Args:
        observed: the observation's distance.
        expected: distances of held-out members.
    """

    observed: float
    expected: Float[np.ndarray, " m"]

    @property
    def p_value(self) -> float:
        """Probability that a member is at least as far.

        Rank among the held-out members, (1 + #{further}) / (m + 1): exact whatever the distribution. Beyond all of them the
        tail goes on as that of a normal law for the logarithm of the distance (centre and scale from median and quartiles),
        never above 1 / (m + 1); so a false "fail" is rarer than 1 / (m + 1) or the rank's own threshold.
        """
        m = len(self.expected)
        further = int(np.sum(self.expected >= self.observed))
        if further or m < NEIGHBOURS:
            return (1 + further) / (m + 1)
        low, middle, high = np.quantile(np.log(np.maximum(self.expected, TINY)), (0.25, 0.5, 0.75))
        scale = max((high - low) / (stats.norm.ppf(0.75) * 2), 1e-3)
        return float(min(1 / (m + 1), stats.norm.sf((np.log(self.observed) - middle) / scale)))


class Ellipsoid(eqx.Module):
    """Distance from the centre of a sample in units of its shrunk covariance (Ledoit & Wolf 2004).

    Args:
        centre: median (s,).
        scale: spread (s,) about it.
        root: of the inverse covariance (s, s) of what is centred and scaled; that of an uncorrelated one (s,).
    """

    centre: Float[np.ndarray | Array, " s"]
    scale: Float[np.ndarray | Array, " s"]
    root: Float[np.ndarray | Array, "s s"] | Float[np.ndarray | Array, " s"]

    def distance(self, values: Float[np.ndarray, "*batch s"]) -> Float[np.ndarray, "*batch"] | float:
        """Distances of vectors (..., s)."""
        centre, scale, root = (np.asarray(array, float) for array in (self.centre, self.scale, self.root))
        scaled = (values - centre) / scale
        return np.linalg.norm(scaled @ root if root.ndim == 2 else scaled * root, axis=-1)


def ellipsoid(reference: Float[np.ndarray, "n s"], part: Float[np.ndarray, "m s"] | None = None) -> Ellipsoid:
    """The ellipsoid about a sample, in which a component that never varies allows no difference.

    Args:
        reference: the sample. Of more components than `WIDE` each is seen by itself.
        part: of it, that alone shapes the ellipsoid; centre and scale are those of the whole.
    """
    part = reference if part is None else part
    centre, scale = _robust(reference)
    if len(centre) > WIDE:
        return Ellipsoid(centre, scale, np.ones(len(centre)))
    varies, covariance = ~constant(part), np.eye(len(centre))
    if varies.any():
        scaled = np.clip((part - centre) / scale, -CLIP, CLIP)
        covariance[np.ix_(varies, varies)] = ledoit_wolf(scaled[:, varies])[0]
    return Ellipsoid(centre, scale, np.linalg.cholesky(np.linalg.inv(covariance)))


def constant(reference: Float[np.ndarray, "n s"]) -> Bool[np.ndarray, " s"]:
    """Which components never vary."""
    return np.ptp(reference, axis=0) == 0


def mahalanobis(
    observed: Float[np.ndarray, " s"], reference: Float[np.ndarray, "n s"], held_out: Float[np.ndarray, "m s"]
) -> Typicality:
    """Distance from the ellipsoid about the reference."""
    distance = ellipsoid(reference).distance
    return Typicality(float(distance(observed)), np.asarray(distance(held_out)))


def neighbours(
    observed: Float[np.ndarray, " s"], reference: Float[np.ndarray, "n s"], held_out: Float[np.ndarray, "m s"]
) -> Typicality:
    """Distance to the fifth nearest member of the reference: sees gaps that an ellipsoid covers."""
    centre, scale = _robust(reference)
    tree = KDTree((reference - centre) / scale)

    def distance(values):
        return tree.query((values - centre) / scale, k=NEIGHBOURS)[0][..., -1]

    return Typicality(float(distance(observed)), distance(held_out))


def largest(
    observed: Float[np.ndarray, " s"], reference: Float[np.ndarray, "n s"], held_out: Float[np.ndarray, "m s"]
) -> Typicality:
    """Largest distance of a single component from its median in units of its spread."""
    centre, scale = _robust(reference)

    def distance(values):
        return np.max(np.abs(values - centre) / scale, axis=-1)

    return Typicality(float(distance(observed)), distance(held_out))


def _robust(reference):
    low, middle, high = np.quantile(reference, (0.25, 0.5, 0.75), axis=0)
    spread = (high - low) / (stats.norm.ppf(0.75) * 2)
    spread = np.where(spread > 0, spread, reference.std(0))
    # Any other value than that of all members is far from them, but for what rounding makes of it.
    return middle, np.where(constant(reference), np.maximum(ROUNDING * np.abs(middle), TINY), spread)
