"""Have Markov chains converged? Split R-hat, effective sample sizes and energy, and the report that holds them to their bars.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Analysis 16, 667 (arXiv:1903.08008); E-BFMI: Betancourt
2016, arXiv:1604.00695.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import fft, stats

from fullfield._core import ShapeError
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, check_names, Numeric


CONVERGED = {"rhat": "<= 1.01", "ess_bulk": ">= 400", "ess_tail": ">= 400", "divergences": "<= 0", "ebfmi": ">= 0.3"}
"""What `convergence` holds chains to (Vehtari et al. 2021; E-BFMI: Betancourt 2016)."""


def rhat(draws: Float[Numeric, "c n"]) -> float:
    """Rank-normalised split R-hat: the larger of that of the location and that of the spread (Vehtari et al. 2021, eq. 13-14).

    Args:
        draws: draws of one quantity by chains (c, n).

    Raises:
        DataError: a draw is not finite.
        ShapeError: there are fewer than four draws a chain.
    """
    halves = _split(draws)
    folded = np.abs(halves - np.median(halves))
    return max(_rhat(_normal_scores(halves)), _rhat(_normal_scores(folded)))


def ess_bulk(draws: Float[Numeric, "c n"]) -> float:
    """Effective sample size of the rank-normalised split chains: trust in the centre (Vehtari et al. 2021, section 4.2)."""
    return _ess(_normal_scores(_split(draws)))


def ess_tail(draws: Float[Numeric, "c n"]) -> float:
    """Smaller effective sample size of the 5 % and 95 % quantiles (Vehtari et al. 2021, section 4.3)."""
    halves = _split(draws)
    return min(_ess((halves <= np.quantile(halves, level)).astype(float)) for level in (0.05, 0.95))


def ess_mean(draws: Float[Numeric, "c n"]) -> float:
    """Effective sample size of the mean of the draws as they are (Vehtari et al. 2021, eq. 10)."""
    return _ess(_split(draws))


def ebfmi(energy: Float[Numeric, "c n"]) -> Float[np.ndarray, " c"]:
    """Energy Bayesian fraction of missing information of each chain: below 0.3 the momentum explores too little.

    E-BFMI = Σ (E_t - E_{t-1})² / Σ (E_t - Ē)², Betancourt 2016, arXiv:1604.00695, eq. 5.
    """
    energy = as_finite("energy", energy)
    return np.sum(np.diff(energy, axis=1) ** 2, axis=1) / np.sum((energy - energy.mean(1, keepdims=True)) ** 2, axis=1)


def convergence(
    draws: Float[Numeric, "c n p"],
    *,
    names: Sequence[str],
    gradients: int | None = None,
    divergences: Float[Numeric, " c"] | None = None,
    energy: Float[Numeric, "c n"] | None = None,
    energy_variance: float | None = None,
    energy_target: float | None = None,
    acceptance: Float[Numeric, " c"] | None = None,
) -> Report:
    """Hold chains to the bars of Vehtari et al. 2021: R-hat at most 1.01, bulk and tail effective sample size at least 400.

    Args:
        draws: draws of the parameters by chains (c, n, p).
        names: parameter names.
        gradients: evaluations of the gradient they cost, warm-up included.
        divergences: number in each chain.
        energy: total energy at the draws (c, n), for E-BFMI.
        energy_variance: mean squared energy error per dimension, of an unadjusted sampler.
        energy_target: what it was to be at most.
        acceptance: mean rate of each chain, of an adjusted sampler: at a low one chains stand still, which the effective sample
            sizes judge.

    Returns:
        Per parameter `rhat`, `ess_bulk`, `ess_tail`, and `gradients_per_ess` of the worst; the least acceptance; energy and
        divergences as given.

    Raises:
        DataError: a draw is not finite.
        ShapeError: arrays that do not belong together.
    """
    draws = as_finite("draws", draws)
    if draws.ndim != 3 or draws.shape[0] < 2:
        raise ShapeError("draws", expected="(chains, draws, parameters) of at least two chains", got=draws.shape)
    numbers, least = [], np.inf
    for name, column in zip(check_names(names, draws.shape[2]), np.moveaxis(draws, 2, 0), strict=True):
        bulk, tail = ess_bulk(column), ess_tail(column)
        least = min(least, bulk, tail)
        numbers.append(Number(f"chains/{name}/rhat", rhat(column), bar=CONVERGED["rhat"]))
        numbers.append(Number(f"chains/{name}/ess_bulk", bulk, bar=CONVERGED["ess_bulk"]))
        numbers.append(Number(f"chains/{name}/ess_tail", tail, bar=CONVERGED["ess_tail"]))
    if gradients is not None:
        numbers.append(Number("chains/gradients", float(gradients)))
        numbers.append(Number("chains/gradients_per_ess", gradients / least if least > 0 else np.inf))
    if divergences is not None:
        numbers.append(Number("chains/divergences", float(np.sum(np.asarray(divergences))), bar=CONVERGED["divergences"]))
    if energy is not None:
        numbers.append(Number("chains/ebfmi", float(np.min(ebfmi(energy))), bar=CONVERGED["ebfmi"]))
    if energy_variance is not None:
        bar = None if energy_target is None else f"<= {energy_target:.3g}"
        numbers.append(Number("chains/energy_variance", energy_variance, bar=bar))
    if acceptance is not None:
        numbers.append(Number("chains/acceptance", float(np.min(np.asarray(acceptance)))))
    return Report(tuple(numbers))


def agreement(draws: Float[Numeric, "c n p"], others: Float[Numeric, "d m p"]) -> float:
    """Probability that chains of one posterior differ in some mean by as much as these do: small where a sampler is biased.

    Every difference of means is compared with its Monte Carlo error, and the smallest p-value multiplied by their number.

    Args:
        draws, others: draws of the same parameters by chains, of two samplers.
    """
    p_values = []
    for one, other in zip(
        np.moveaxis(as_finite("draws", draws), 2, 0), np.moveaxis(as_finite("others", others), 2, 0), strict=True
    ):
        error = np.sqrt(sum(np.var(column) / ess_mean(column) for column in (one, other)))
        p_values.append(2 * stats.norm.sf(abs(one.mean() - other.mean()) / error))
    return float(min(1.0, len(p_values) * min(p_values)))


def _split(draws) -> np.ndarray:
    """Each chain's halves as chains of their own, the middle draw of an odd number left out."""
    draws = as_finite("draws", draws)
    if draws.ndim != 2 or draws.shape[1] < 4:
        raise ShapeError("draws", expected="(chains, draws) of at least four draws", got=draws.shape)
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    ranks = stats.rankdata(draws).reshape(draws.shape)
    return stats.norm.ppf((ranks - 0.375) / (draws.size + 0.25))


def _rhat(draws: np.ndarray) -> float:
    n = draws.shape[1]
    within = np.mean(np.var(draws, axis=1, ddof=1))
    if within == 0:  # chains that stand still: at one place nothing is wrong with their means, at several all is
        return 1.0 if np.ptp(draws) == 0 else np.inf
    return float(np.sqrt((n - 1) / n + np.var(draws.mean(1), ddof=1) / within))


def _ess(draws: np.ndarray) -> float:
    """Effective sample size by Geyer's initial monotone sequence over all chains; zero where nothing ever moved."""
    chains, n = draws.shape
    if np.ptp(draws) == 0:
        return 0.0
    centred = draws - draws.mean(1, keepdims=True)
    length = fft.next_fast_len(2 * n)
    power = np.abs(np.fft.rfft(centred, length, axis=1)) ** 2
    covariance = np.fft.irfft(power, length, axis=1)[:, :n].mean(0) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (np.var(draws.mean(1), ddof=1) if chains > 1 else 0.0)
    correlation = 1 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(1)
    positive = np.concatenate([pairs[:1], pairs[1:] * (np.cumprod(pairs[1:] > 0))])
    time = 2 * np.sum(np.minimum.accumulate(positive)) - 1
    # Antithetic chains may count for more than their number; the bound keeps noise from making them infinite.
    return float(draws.size / max(time, 1 / np.log10(draws.size)))
