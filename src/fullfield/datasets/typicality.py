"""Is an observation a typical member of a set of simulations? Distances to it, each with an exact p-value."""

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.spatial import KDTree
from sklearn.covariance import ledoit_wolf


NEIGHBOURS = 5
CLIP = 5.0


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
        low, middle, high = np.quantile(np.log(self.expected), (0.25, 0.5, 0.75))
        scale = max((high - low) / (stats.norm.ppf(0.75) * 2), 1e-3)
        return float(min(1 / (m + 1), stats.norm.sf((np.log(self.observed) - middle) / scale)))


def mahalanobis(
    observed: Float[np.ndarray, " s"], reference: Float[np.ndarray, "n s"], held_out: Float[np.ndarray, "m s"]
) -> Typicality:
    """Distance from the centre of the reference in units of its shrunk covariance (Ledoit & Wolf 2004)."""
    centre, scale = _robust(reference)
    covariance = ledoit_wolf(np.clip((reference - centre) / scale, -CLIP, CLIP))[0]
    root = np.linalg.cholesky(np.linalg.inv(covariance))

    def distance(values):
        return np.linalg.norm((values - centre) / scale @ root, axis=-1)

    return Typicality(float(distance(observed)), distance(held_out))


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
    return middle, np.where(spread > 0, spread, 1.0)
