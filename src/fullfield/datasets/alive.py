"""Do summaries say something? A network that has collapsed in training gives some that do not."""

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float

from fullfield._core import DataError


def check_alive(summaries: Float[np.ndarray, "n s"]) -> None:
    """Refuse summaries that are not finite, that hardly vary, or that repeat what the others say.

    Raises:
        DataError: names the summaries by their position.
    """
    bad = ~np.isfinite(summaries).all(axis=1)
    if bad.any():
        got = f"others in {bad.sum()} of {bad.size} rows, first in row {bad.argmax()}"
        remedy = "Look at the data of these rows; if they are fine, train anew with a lower learning rate."
        raise DataError("summaries", expected="finite numbers", got=got, remedy=remedy)
    centred, size = summaries - summaries.mean(axis=0), np.abs(summaries).max(axis=0)
    scatter = centred.std(axis=0)
    remedy = "Train anew from another key, with a lower learning rate, or ask for fewer summaries."
    dead = np.flatnonzero(scatter <= 1e-6 * size)
    if dead.size:
        raise DataError("summaries", expected="numbers that vary", got=f"collapsed ones: {dead.tolist()}", remedy=remedy)
    # What is left of each, in units of its scatter, once those before it are subtracted, the largest rest first.
    rests, order = cast(Any, scipy.linalg.qr(centred / scatter / len(centred) ** 0.5, mode="r", pivoting=True))
    repeated = np.sort(order[np.abs(np.diagonal(rests)) < 1e-3])
    if repeated.size:
        raise DataError(
            "summaries", expected="numbers that each say something of their own",
            got=f"ones that repeat the others: {repeated.tolist()}", remedy=remedy,
        )  # fmt: skip
