"""Are drawn maps right scale by scale? Transfer function, cross-correlation and spread against the truth.

With P the power of a map, X its cross power with the truth and averages over simulations and the modes of a band,

    T² = ⟨P⟩ / ⟨P_truth⟩,    r = ⟨X⟩ / (⟨P⟩ ⟨P_truth⟩)^½,    z² = ⟨|truth - mean|²⟩ / [(1 + 1/S) ⟨s²⟩],

s² the unbiased variance of S draws. Exact draws have T = 1 and z² = 1, their mean T = r < 1, and a draw is as far from the
truth as the mean says, r_draw = r_mean². Uncertainties are those of the jackknife over simulations.
"""

from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Float

from fullfield.diagnostics.blocks import bin_names
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.table import JointTable
from fullfield.fields import pair_indices


TOLERANCE = 0.1  # of z²: spreads right to five percent


class Measured(eqx.Module):
    """A quantity per tomographic bin and band, with its standard deviation."""

    values: Float[np.ndarray, "bins bands"]
    errors: Float[np.ndarray, "bins bands"]


class FieldCurves(eqx.Module):
    """Curves over multipoles and the verdict on them.

    Args:
        ell: mean multipole of each band.
        transfer_draw: T of draws.
        transfer_mean: T of the posterior mean, corrected for the finite number of draws.
        correlation_draw: r of draws.
        correlation_mean: r of the posterior mean, likewise.
        z2: z².
        identity: r_draw - r_mean².
        report: per bin and band `z2`, held to 1 ± 0.1, and the distances of z² and T² of draws from 1 and of the identity
            from 0 in standard deviations (`z2_sigma`, `transfer_sigma`, `identity_sigma`).
    """

    ell: Float[np.ndarray, " bands"]
    transfer_draw: Measured
    transfer_mean: Measured
    correlation_draw: Measured
    correlation_mean: Measured
    z2: Measured
    identity: Measured
    report: Report


def field_curves(table: JointTable, *, budget: Budget | None = None) -> FieldCurves:
    """Compare maps of the draws with the truth in every bin and band.

    Args:
        table: the draws of many observations.
        budget: false-alarm probability of the report, `Budget()` if not given; the bar on z² has none: it is a demand on
            the sampler, which an exact one misses if simulations and modes are too few to tell.
    """
    first, second = pair_indices(table.bins)
    auto = first == second
    sums = {
        "truth": table.powers[:, auto],
        "draw": table.powers_draws[:, :, auto].mean(axis=1, dtype=np.float64),
        "mean": table.mean_power,
        "cross": table.cross_power,
        "error": table.error,
        "spread": table.spread * (1 + 1 / table.theta_draws.shape[1]),
    }
    sums = {name: values.astype(np.float64) for name, values in sums.items()}
    # Draws times truth, averaged over the draws, is their mean times the truth.
    identity = _jackknife(
        sums, lambda m: m["cross"] / np.sqrt(m["draw"] * m["truth"]) - m["cross"] ** 2 / (m["mean"] * m["truth"])
    )
    z2, power = _jackknife(sums, lambda m: m["error"] / m["spread"]), _jackknife(sums, lambda m: m["draw"] / m["truth"])
    tested = {"z2_sigma": (z2, 1.0), "transfer_sigma": (power, 1.0), "identity_sigma": (identity, 0.0)}
    share = (budget or Budget()).shared(len(tested) * z2.values.size)
    numbers = []
    for i, j in np.ndindex(z2.values.shape):
        where = f"{bin_names(table.bins)[i]}/ell_{table.ell[j]:.0f}"
        bar = f"in [{1 - TOLERANCE:g}, {1 + TOLERANCE:g}]"
        numbers.append(Number(f"field/z2/{where}", float(z2.values[i, j]), float(z2.errors[i, j]), bar))
        for name, (found, expected) in tested.items():
            distance = float((found.values[i, j] - expected) / found.errors[i, j])
            numbers.append(share.normal(f"field/{name}/{where}", distance, 0.0, 1.0))
    return FieldCurves(
        table.ell,
        transfer_draw=_jackknife(sums, lambda m: np.sqrt(m["draw"] / m["truth"])),
        transfer_mean=_jackknife(sums, lambda m: np.sqrt(m["mean"] / m["truth"])),
        correlation_draw=_jackknife(sums, lambda m: m["cross"] / np.sqrt(m["draw"] * m["truth"])),
        correlation_mean=_jackknife(sums, lambda m: m["cross"] / np.sqrt(m["mean"] * m["truth"])),
        z2=z2,
        identity=identity,
        report=Report(tuple(numbers)),
    )


def _jackknife(sums: dict[str, np.ndarray], function: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Measured:
    """A function of averages over simulations, and its deviation when each simulation in turn is left out."""
    count = len(sums["truth"])
    # The power of a mean that knows nothing scatters about zero; where it is negative, what it is the root of is not a number.
    with np.errstate(invalid="ignore"):
        without = function({name: (values.sum(axis=0) - values) / (count - 1) for name, values in sums.items()})
        errors = np.sqrt((count - 1) * np.var(without, axis=0))
        return Measured(function({name: values.mean(axis=0) for name, values in sums.items()}), errors)
