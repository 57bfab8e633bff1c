"""Which simulation serves what: decided once, by index and seed."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from fullfield._core import ConfigurationError


FRACTIONS = {"train": 0.8, "validation": 0.1, "calibration": 0.05, "test": 0.05}


def split(
    n: int, fractions: Mapping[str, float], seed: int, *, earlier: UInt8[np.ndarray, " m"] | None = None
) -> UInt8[np.ndarray, " n"]:
    """Number of the part that each of `n` simulations belongs to, in the order of `fractions`.

    Args:
        n: number of simulations.
        fractions: share of each part by name; they sum to one.
        seed: any number; equal seeds give equal parts.
        earlier: the parts of the first m simulations, which stay as they are; new ones make the shares right again.

    Returns:
        Labels (n,). Each part has its share of n, rounded so that they add up.

    Raises:
        ConfigurationError: a share is negative or they do not sum to one.
    """
    shares = np.array(list(fractions.values()))
    if (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ConfigurationError("fractions", expected="shares that sum to one", got=dict(fractions))
    earlier = np.zeros(0, np.uint8) if earlier is None else earlier
    totals = np.diff(np.rint(np.cumsum(shares) * n).astype(int), prepend=0)
    lacking = np.maximum(totals - np.bincount(earlier, minlength=shares.size), 0)
    labels = np.repeat(np.arange(shares.size, dtype=np.uint8), lacking)[: n - earlier.size]
    return np.concatenate([earlier, np.random.default_rng((seed, earlier.size)).permutation(labels)])
