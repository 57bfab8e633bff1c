"""What goes into every test: truths, posterior draws, and the generator for the randomness of the test itself."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import DataError, ShapeError, stream


Numeric = Array | np.ndarray


def generator(key: Key[Array, ""], name: str) -> np.random.Generator:
    """NumPy generator of the stream called `name`: these tests sort and count, which NumPy does without compiling."""
    return np.random.default_rng(np.asarray(jax.random.key_data(stream(key, name))))


def as_finite(name: str, values: Float[Numeric, "..."]) -> Float[np.ndarray, "..."]:
    """Copy to float64, in which sums over a million draws keep their digits.

    Raises:
        DataError: a value is NaN or infinite; says in which rows (simulations).
    """
    array = np.asarray(values, np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        rows = np.unique(np.nonzero(~finite)[0]) if array.ndim else np.zeros(1, int)
        shown = ", ".join(map(str, rows[:5])) + (", …" if rows.size > 5 else "")
        raise DataError(
            name,
            expected="finite values",
            got=f"NaN or infinity in {rows.size} of {len(np.atleast_1d(array))} rows ({shown})",
            remedy="Find out why those simulations or draws failed; dropping them would bias the test.",
        )
    return array


def as_log_density(name: str, values: Float[Numeric, "..."]) -> Float[np.ndarray, "..."]:
    """Copy to float64; a density of zero is the least probable of all, not an error.

    Raises:
        DataError: a value is NaN or plus infinity.
    """
    return as_finite(name, np.maximum(np.asarray(values, np.float64), np.finfo(np.float64).min))


def as_pair(
    truths: Float[Numeric, "T p"], draws: Float[Numeric, "T S p"]
) -> tuple[Float[np.ndarray, "T p"], Float[np.ndarray, "T S p"]]:
    """Check truths (T, p) against draws (T, S, p) and copy both to float64.

    Raises:
        DataError: a value is not finite.
        ShapeError: the two do not belong together, or are too few to test anything.
    """
    if truths.ndim != 2 or draws.ndim != 3 or draws.shape[::2] != truths.shape:
        raise ShapeError("draws", expected=f"(T, S, p) for truths {truths.shape} of (T, p)", got=draws.shape)
    if draws.shape[0] < 10 or draws.shape[1] < 2:
        raise ShapeError("draws", expected="at least 10 simulations with 2 draws each", got=draws.shape)
    return as_finite("truths", truths), as_finite("draws", draws)


def check_names(names: Sequence[str], size: int) -> tuple[str, ...]:
    """Refuse a number of names other than the number of columns.

    Raises:
        ShapeError: the lengths differ.
    """
    if len(names) != size:
        raise ShapeError("names", expected=f"{size} names", got=f"{len(names)} ({', '.join(names)})")
    return tuple(names)


def rank(
    truths: Float[np.ndarray, "*shape"], draws: Float[np.ndarray, "*shape S"], random: np.random.Generator
) -> Int[np.ndarray, "*shape"]:
    """Number of draws below the truth, 0 to S; where draws equal it, a random place among them."""
    below = np.sum(draws < truths[..., None], axis=-1)
    equal = np.sum(draws == truths[..., None], axis=-1)
    return below + random.integers(0, equal + 1)


def fraction(ranks: Int[np.ndarray, "*shape"], draws: int, random: np.random.Generator) -> Float[np.ndarray, "*shape"]:
    """Spread ranks 0..S evenly over [0, 1]: (rank + U) / (S + 1), exactly uniform for an exact posterior."""
    return (ranks + random.uniform(size=ranks.shape)) / (draws + 1)
