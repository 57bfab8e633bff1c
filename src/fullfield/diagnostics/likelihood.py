"""Accuracy of a learnt likelihood: means and deviations of its summaries beside those of simulations at the same parameters."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, check_names, Numeric


LEAST = 10  # points at which, and summaries of each, below which scatter says nothing
MEAN, DEVIATION = 0.3, 0.2  # bars of the paper, in deviations and as a fraction


class LikelihoodAccuracy(eqx.Module):
    """Differences at each point, which a histogram shows, and what they say together.

    Args:
        mean: Δμ (T, s), mean of the learnt less mean of the simulated summaries, in deviations of the simulated.
        deviation: Δσ (T, s), deviation of the learnt over that of the simulated, less one.
        report: of each summary `likelihood/<name>/mean` and `likelihood/<name>/deviation`, averages of both over the points,
            and `likelihood/<name>/mean_scatter` and `likelihood/<name>/deviation_scatter`, their root mean squares.
    """

    mean: Float[np.ndarray, "T s"]
    deviation: Float[np.ndarray, "T s"]
    report: Report


def likelihood_accuracy(
    simulated: Float[Numeric, "T n s"], learnt: Float[Numeric, "T m s"], *, names: Sequence[str]
) -> LikelihoodAccuracy:
    """Compare summaries drawn from a learnt likelihood with simulated ones at the same parameters.

    What finite numbers of summaries alone would make of the mean squares is taken off, from the second and fourth moments: that
    of a perfect likelihood is zero on average, and its root the fourth root of two over T times what was taken off, or so.
    Averages of Δσ are true to order 1/n.

    Args:
        simulated: summaries of n simulations at each of T parameter vectors that training did not see.
        learnt: of m draws each, e.g. of `LikelihoodPosterior.simulate`.
        names: of the summaries.

    Returns:
        The differences, and their averages with standard errors over the points; root mean squares are held to the paper's
        0.3 and 0.2.

    Raises:
        DataError: values that are not finite, or simulated summaries that do not vary.
        ShapeError: shapes that do not belong together, fewer than ten points or summaries, or another number of names than s.

    Source: Kacprzak & Fluri 2022 (arXiv:2203.09616), appendix C, eqs. C1 and C2, and fig. 9.
    """
    if simulated.ndim != 3 or learnt.ndim != 3 or simulated.shape[::2] != learnt.shape[::2] or min(simulated.shape[:2]) < LEAST:
        raise ShapeError(
            "learnt", expected=f"(T, m, s) for simulated (T, n, s), T and n at least {LEAST}",
            got=f"{learnt.shape} for {simulated.shape}", remedy="Draw summaries at the parameters of the simulations.",
        )  # fmt: skip
    labels = check_names(names, simulated.shape[2])
    (mean, sigma, noise), (other_mean, other_sigma, other_noise) = (
        _moments(as_finite(name, values)) for name, values in (("simulated", simulated), ("learnt", learnt))
    )
    if not sigma.all():
        where = np.argwhere(sigma == 0)[0]
        raise DataError(
            "simulated", expected="summaries that vary at fixed parameters",
            got=f"{labels[where[1]]} constant at point {where[0]}", remedy="Leave it out, or look at the simulator.",
        )  # fmt: skip
    ratio = other_sigma / sigma
    shift, excess = (other_mean - mean) / sigma, ratio - 1
    shift_noise = 1 / simulated.shape[1] + ratio**2 / learnt.shape[1]
    numbers = []
    for i, label in enumerate(labels):
        path = f"likelihood/{label}"
        numbers += [
            *_averages(f"{path}/mean", shift[:, i], shift_noise[:, i], MEAN),
            *_averages(f"{path}/deviation", excess[:, i], (ratio**2 * (noise + other_noise))[:, i], DEVIATION),
        ]
    return LikelihoodAccuracy(shift, excess, Report(tuple(numbers)))


def _moments(values):
    """Mean and deviation at each point (T, s), and the relative variance of the deviation, (κ - 1) / 4n of a kurtosis κ."""
    n = values.shape[1]
    mean = values.mean(axis=1)
    squares = (values - mean[:, None]) ** 2
    variance = squares.mean(axis=1)
    kurtosis = (squares**2).mean(axis=1) / np.where(variance > 0, variance, 1) ** 2
    return mean, np.sqrt(variance * n / (n - 1)), (kurtosis - 1) / (4 * n)


def _averages(name, values, noise, bar):
    """Average over the points, and root mean square without noise; the error of a very small one is that of its square."""
    count = len(values)
    squares = values**2 - noise
    square, error = squares.mean(), squares.std(ddof=1) / np.sqrt(count)
    root = np.sqrt(max(square, 0.0))
    return (
        Number(name, values.mean(), values.std(ddof=1) / np.sqrt(count)),
        Number(f"{name}_scatter", root, error / (2 * max(root, np.sqrt(error))), f"<= {bar}"),
    )
