"""Are these fractions uniform? The question that ranks, coverage and TARP all come down to."""

import functools

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy import stats

from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Number


LEVELS = 101
CONFIDENCE = 0.95


class Curves(eqx.Module):
    """Empirical cumulative distributions of fractions that are uniform for an exact posterior.

    Args:
        labels: name of each curve.
        alpha: levels from 0 to 1.
        values: the curves; an exact posterior gives `alpha`.
        low: lower edge of the band that holds the whole curve of an exact posterior with probability 0.95.
        high: upper edge of that band.
    """

    labels: tuple[str, ...] = eqx.field(static=True)
    alpha: Float[np.ndarray, " A"]
    values: Float[np.ndarray, "C A"]
    low: Float[np.ndarray, " A"]
    high: Float[np.ndarray, " A"]


def curves(labels: tuple[str, ...], fractions: Float[np.ndarray, "C T"]) -> Curves:
    """Cumulative distribution of each row of fractions, with the simultaneous band of T uniform numbers."""
    alpha = np.linspace(0, 1, LEVELS)
    low, high = simultaneous_band(fractions.shape[1], CONFIDENCE)
    return Curves(labels, alpha, cumulative(fractions, alpha), low.copy(), high.copy())


def cumulative(fractions: Float[np.ndarray, "*C T"], alpha: Float[np.ndarray, " A"]) -> Float[np.ndarray, "*C A"]:
    """Part of the fractions that is at most alpha."""
    return np.mean(fractions[..., None] <= alpha, axis=-2)


def deviation(name: str, fractions: Float[np.ndarray, " T"], budget: Budget) -> Number:
    """Largest distance of the cumulative distribution from the diagonal, with its exact Kolmogorov-Smirnov bar."""
    n = fractions.size
    ordered, steps = np.sort(fractions), np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))
    verdict = budget.verdict(float(stats.kstwo.sf(distance, n)))
    return Number(name, distance, bar=f"<= {_critical_distance(n, budget.fail):.4g}", verdict=verdict)


def area(name: str, fractions: Float[np.ndarray, " T"], budget: Budget) -> Number:
    """Signed area between the cumulative distribution and the diagonal, 1/2 - mean; its null has variance 1/(12 T)."""
    return budget.normal(name, 0.5 - fractions.mean(), 0.0, (12 * fractions.size) ** -0.5)


@functools.lru_cache(maxsize=32)
def _critical_distance(n, probability):
    return float(stats.kstwo.isf(probability, n))


@functools.lru_cache(maxsize=32)
def simultaneous_band(n: int, confidence: float) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
    """Band that holds the whole cumulative distribution of n uniform numbers with the given probability.

    Every level gets the binomial interval of one common local probability, which is chosen so that the whole band has the
    wanted one (Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32, 32, section 2.2).

    Args:
        n: how many numbers.
        confidence: probability that the curve lies inside at all of the levels.

    Returns:
        Lower and upper edge at `LEVELS` even levels from 0 to 1; read only, since kept for the next call.
    """
    alpha = np.linspace(0, 1, LEVELS)
    outside = [np.log10((1 - confidence) / LEVELS), np.log10(1 - confidence)]
    for _ in range(20):
        middle = sum(outside) / 2
        enough = _probability_inside(n, *_binomial_edges(n, alpha, 10**middle)) >= confidence
        outside[0 if enough else 1] = middle
    low, high = (edge / n for edge in _binomial_edges(n, alpha, 10 ** outside[0]))
    low.flags.writeable = high.flags.writeable = False
    return low, high


def _binomial_edges(n, alpha, outside):
    low = np.maximum(stats.binom.ppf(outside / 2, n, alpha), 0)
    high = np.minimum(stats.binom.isf(outside / 2, n, alpha), n)
    low[0], high[0], low[-1], high[-1] = 0, 0, n, n
    return low.astype(int), high.astype(int)


def _probability_inside(n, low, high):
    # Counts of n uniform numbers are those of a Poisson process given its total: independent steps, so a chain of
    # convolutions cut at the edges gives the exact probability.
    step = n / (len(low) - 1)
    weights = np.ones(1)
    for i in range(1, len(low)):
        reach = high[i] - low[i - 1]
        moved = np.convolve(weights, stats.poisson.pmf(np.arange(reach + 1), step))
        start = low[i] - low[i - 1]
        weights = moved[start : start + high[i] - low[i] + 1]
    return weights[0] / stats.poisson.pmf(n, n)
