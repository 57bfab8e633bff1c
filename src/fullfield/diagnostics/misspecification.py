"""Misspecification: does the observation look like the simulations that the posterior was trained on?"""

import equinox as eqx
from jaxtyping import Float

from fullfield._core import ShapeError
from fullfield.datasets.typicality import mahalanobis, neighbours, Typicality
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.record import Report
from fullfield.diagnostics.samples import as_finite, Numeric


class Misspecification(eqx.Module):
    """Distances of the observation and of held-out simulations, and the verdict.

    Args:
        mahalanobis: distance from the centre of the simulated summaries.
        neighbours: distance to the fifth nearest simulated summary.
        report: p-value of each.
    """

    mahalanobis: Typicality
    neighbours: Typicality
    report: Report


def misspecification(
    observed: Float[Numeric, " s"],
    reference: Float[Numeric, "n s"],
    held_out: Float[Numeric, "m s"],
    *,
    budget: Budget | None = None,
) -> Misspecification:
    """Test whether the observation's summary lies inside the simulated summaries.

    An amortised posterior answers for any input; outside its training data the answer means nothing, and no calibration test
    on simulations can tell. P-values are ranks among the held-out simulations, exact for any distribution of summaries.

    Args:
        observed: summary of the observation.
        reference: summaries of training simulations.
        held_out: summaries of simulations that neither compressor nor posterior has seen; m sets the resolution 1 / (m + 1).
        budget: false-alarm probability of this report, `Budget()` if not given.

    Returns:
        Both distances, and p-values "misspecification/mahalanobis" and "misspecification/neighbours".

    Raises:
        DataError: values that are not finite.
        ShapeError: lengths of summaries differ, or too few simulations.
    """
    size = observed.shape[0]
    for name, values in (("reference", reference), ("held_out", held_out)):
        if values.ndim != 2 or values.shape[1] != size or len(values) < 20:
            raise ShapeError(name, expected=f"at least 20 summaries of length {size}", got=values.shape)
    arrays = as_finite("observed", observed), as_finite("reference", reference), as_finite("held_out", held_out)
    share = (budget or Budget()).shared(2)
    ellipsoid, gap = mahalanobis(*arrays), neighbours(*arrays)
    numbers = (
        share.p_value("misspecification/mahalanobis", ellipsoid.p_value),
        share.p_value("misspecification/neighbours", gap.p_value),
    )
    return Misspecification(ellipsoid, gap, Report(numbers))
