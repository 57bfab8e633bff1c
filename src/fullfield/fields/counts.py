"""One-point counts of maps: the distribution of pixel values, and of the heights of peaks and depths of minima."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def histogram(
    values: Float[Array, "..."], centres: Float[Array, " k"], weights: Float[Array, "..."] | Bool[Array, "..."] | None = None
) -> Float[Array, " k"]:
    """Weights of values near each centre, a value between two centres shared between them in proportion to its nearness.

    A histogram without edges: continuous in the values, so that it has a derivative. What lies beyond the first or last centre
    counts there.

    Args:
        values: the values.
        centres: evenly spaced and increasing.
        weights: of the values, one each if not given.
    """
    k = len(centres)
    weights = jnp.ones(values.shape) if weights is None else weights.astype(float)
    place = jnp.clip((values - centres[0]) / (centres[1] - centres[0]), 0.0, k - 1.0).ravel()
    left = jnp.minimum(jnp.floor(place).astype(int), k - 2)
    share = place - left
    flat = weights.ravel()
    return jnp.zeros(k).at[left].add((1 - share) * flat).at[left + 1].add(share * flat)


def pixel_distribution(field: Float[Array, "n n"], centres: Float[Array, " k"]) -> Float[Array, " k"]:
    """Share of the pixels near each value: the field's one-point distribution function times the spacing of the centres."""
    return histogram(field, centres) / field.size


def peaks(field: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """Where a pixel of a periodic map is higher than its eight neighbours."""
    higher = jnp.ones(field.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                higher = higher & (field > jnp.roll(field, (dy, dx), (0, 1)))
    return higher


def inner_peaks(field: Float[Array, "n n"]) -> Bool[Array, "n n"]:
    """The same of a map that is not periodic: of pixels on its border, whose neighbours are not all known, none is a peak."""
    return peaks(field).at[jnp.array([0, -1])].set(False).at[:, jnp.array([0, -1])].set(False)


def peak_counts(field: Float[Array, "n n"], centres: Float[Array, " k"]) -> Float[Array, " k"]:
    """Number of peaks near each height; of minima by depth if given minus the field.

    The heights have derivatives, the births and deaths of peaks have not: derivatives of the mean counts are not the means of
    these derivatives.
    """
    return histogram(field, centres, peaks(field))
