"""Shifted lognormal fields: κ = λ (exp(g - ½ Var g) - 1), with g Gaussian and λ > 0 minus the smallest value possible.

Correlations map point by point, 1 + ξ_ij / (λ_i λ_j) = exp(ξ^g_ij), so a target spectrum is hit exactly where the Gaussian
spectrum that follows is positive (Hilbert, Hartlap & Schneider 2011, A&A 536, A85, eq. 21-25; Xavier, Abdalla & Joachimi 2016,
MNRAS 459, 3693).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.fields.gaussian import gaussian_field, pair_indices, power_root, white_of
from fullfield.fields.pixels import Lattice


def gaussian_correlation(correlation: Float[Array, "pairs m m"], shift: Float[Array, " bins"]) -> Float[Array, "pairs m m"]:
    """Correlation of the Gaussian fields behind lognormal fields with the given correlation."""
    first, second = pair_indices(len(shift))
    product = (shift[first] * shift[second])[:, None, None]
    # The argument's floor only acts where no lognormal field with this correlation exists.
    return jnp.log1p(jnp.maximum(correlation / product, -0.99))


def lognormal_field(
    lattice: Lattice,
    spectra: Float[Array, "pairs n_ell"],
    shift: Float[Array, " bins"],
    white: Float[Array, "bins n n"],
) -> Float[Array, "n n bins"]:
    """Draw a lognormal field with target spectra.

    Args:
        lattice: patch, pixels and window.
        spectra: C_ℓ of each pair of bins at `lattice.multipoles`, in sr.
        shift: λ of each bin.
        white: independent standard normals, the Hartley coefficients of the Gaussian field.

    Returns:
        Field (n, n, bins) of zero expectation, axes (y, x, bin).
    """
    variance, root = _gaussian_root(lattice, spectra, shift)
    gaussian = gaussian_field(lattice.sky, root, white)
    # Near zero float32 keeps seven digits of λ here, which is a millionth of the field's width; expm1 would cost twice as much.
    field = shift[:, None, None] * (jnp.exp(gaussian - 0.5 * variance[:, None, None]) - 1)
    return jnp.moveaxis(field, 0, -1)


def lognormal_white(
    lattice: Lattice, spectra: Float[Array, "pairs n_ell"], shift: Float[Array, " bins"], field: Float[Array, "n n bins"]
) -> Float[Array, "bins n n"]:
    """White latents of a lognormal field, the inverse of `lognormal_field`.

    Values at or below -λ, which no such field has, count as a thousandth of λ above.
    """
    variance, root = _gaussian_root(lattice, spectra, shift)
    gaussian = jnp.log(jnp.maximum(1 + jnp.moveaxis(field, -1, 0) / shift[:, None, None], 1e-3))
    return white_of(lattice.sky, root, gaussian + 0.5 * variance[:, None, None])


def _gaussian_root(lattice, spectra, shift):
    """Variance of a pixel of the Gaussian fields, and root of their power."""
    correlation = gaussian_correlation(lattice.correlation(spectra), shift)
    # A periodic field of fixed mean has no zero mode; a factor is faster than setting one number of an array.
    no_mean = np.indices(correlation.shape[1:]).any(0)
    first, second = pair_indices(len(shift))
    return correlation[first == second, 0, 0], power_root(lattice.power_of(correlation) * no_mean)


def lognormal_skewness(variance: Float[Array, "*shape"], shift: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Skewness ⟨κ³⟩ / ⟨κ²⟩^1.5 of a lognormal field: 3 r + r³ with r = σ / λ."""
    ratio = jnp.sqrt(variance) / shift
    return ratio * (3 + ratio**2)


def shift_of_skewness(variance: Float[Array, "*shape"], skewness: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Shift λ of the lognormal field with a given variance and (positive) skewness, the inverse of `lognormal_skewness`.

    The depressed cubic r³ + 3 r = s has the one real root r = 2 sinh(asinh(s / 2) / 3).
    """
    return jnp.sqrt(variance) / (2 * jnp.sinh(jnp.arcsinh(skewness / 2) / 3))


def averaged_skewness(
    correlation: Float[Array, "*bins f f"], shift: Float[Array, "*bins"]
) -> tuple[Float[Array, "*bins"], Float[Array, "*bins"]]:
    """Variance and skewness of the mean of a lognormal field over a block of f x f pixels.

    With η = ξ / λ², the third moment of a lognormal field is λ³ (η_ab η_ac + η_ab η_bc + η_ac η_bc + η_ab η_ac η_bc), here
    averaged over all triples of pixels of the block.

    Args:
        correlation: ξ at separations (0..f-1, 0..f-1) of the fine pixels, one array per bin.
        shift: λ of the fine field.
    """
    f = correlation.shape[-1]
    eta = correlation / shift[..., None, None] ** 2
    lags = np.abs(np.subtract.outer(np.arange(f), np.arange(f)))
    counts = (lags[..., None] == np.arange(f)).sum(1) / f  # how often a pixel of each row sees each lag
    mean = counts @ eta @ counts.T
    chains = 3 * (mean**2).mean((-2, -1))
    variance = mean.mean((-2, -1))
    return shift**2 * variance, (chains + _cubes(eta) / float(f) ** 6) / variance**1.5


def _cubes(eta: Float[Array, "*bins f f"]) -> Float[Array, "*bins"]:
    """Trace of the cube of the matrix η_ab between the pixels of a block.

    Mirrored rows, or columns, leave the matrix as it is, so that it falls into four of a quarter of its size: even and odd in
    each. That costs a sixteenth.
    """
    f = eta.shape[-1]
    half, total = (f + 1) // 2, jnp.zeros(eta.shape[:-2])
    index, lag = np.arange(half), np.arange(f)
    straight = np.abs(np.subtract.outer(index, index))[..., None] == lag
    mirrored = (f - 1 - np.add.outer(index, index))[..., None] == lag
    weight = np.where(2 * index == f - 1, 0.5, 1.0)  # the middle of an odd side is its own mirror image
    weight = np.sqrt(np.outer(weight, weight))[..., None]
    parts = [((straight + sign * mirrored) * weight).astype(np.float32) for sign in (1, -1)]
    for rows in parts:
        for columns in parts:
            block = jnp.einsum("iju,...uv,klv->...ikjl", rows, eta, columns, precision="highest")
            block = block.reshape(*eta.shape[:-2], half**2, half**2)
            total = total + jnp.einsum("...ab,...bc,...ca->...", block, block, block, precision="highest")
    return total
