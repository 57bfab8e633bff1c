"""Energy test: whether two sets of samples have one law, by the distances between them and within them."""

import numpy as np
from jaxtyping import Float

from fullfield._core import ShapeError
from fullfield.diagnostics.distance_correlation import centred_distances
from fullfield.diagnostics.samples import as_finite, Numeric


def energy_test(
    samples: Float[Numeric, "n k"],
    others: Float[Numeric, "m c"],
    *,
    permutations: int = 4999,
    random: np.random.Generator,
) -> float:
    """P-value of the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| among those of shuffled sets.

    Exact for independent samples of any law, down to 1 / (permutations + 1); in the limit of many it sees any difference.
    Coordinates are taken in units of their deviation in both sets together.

    Source: Székely & Rizzo 2013 (J. Stat. Plan. Inference 143, 1249).

    Args:
        samples: one set.
        others: the other set.
        permutations: how often sets are shuffled.
        random: shuffles.

    Raises:
        DataError: values that are not finite.
        ShapeError: the sets differ in their number of coordinates.
    """
    if samples.shape[1] != others.shape[1]:
        raise ShapeError("others", expected=f"{samples.shape[1]} coordinates", got=others.shape[1])
    both = np.concatenate([as_finite("samples", samples), as_finite("others", others)])
    deviation = both.std(axis=0)
    distances = centred_distances(both / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)
    share = np.repeat([1 / len(samples), -1 / len(others)], [len(samples), len(others)]).astype(np.float32)

    def energy(shares):
        return -np.sum((shares @ distances) * shares, axis=-1)

    shuffled = energy(random.permuted(np.tile(share, (permutations, 1)), axis=1))
    # Up to rounding: sets that differ in nothing are equal however they are shuffled.
    further = np.sum(shuffled >= (1 - 1e-4) * energy(share))
    return float((1 + further) / (1 + permutations))
