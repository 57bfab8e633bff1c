"""Simulations that are not finite: refused or left out, never silently."""

import numpy as np
from jaxtyping import Float, Int

from fullfield._core import DataError


def finite_rows(
    theta: Float[np.ndarray, "n p"], data: Float[np.ndarray, "n ..."], *, leave_out: bool = False
) -> Int[np.ndarray, " m"]:
    """Rows of simulations without NaN or infinity.

    Args:
        theta: parameters.
        data: data or summaries.
        leave_out: whether other rows are left out; their number is the difference of the lengths.

    Raises:
        DataError: some are not finite and `leave_out` is not set, or none is; says how many and where the first one is.
    """
    good = np.isfinite(theta).all(axis=1) & np.isfinite(data).reshape(len(data), -1).all(axis=1)
    bad = int(np.sum(~good))
    if bad and (not leave_out or not good.any()):
        raise DataError(
            "simulations",
            expected="finite numbers",
            got=f"NaN or infinity in {bad} of {len(data)} simulations, first at {int(np.argmin(good))}",
            remedy="Mend the simulator, or set leave_out=True: the posterior is then that of simulations which do not fail.",
        )
    return np.flatnonzero(good)
