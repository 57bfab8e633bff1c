"""Correlated Gaussian fields from white noise.

The white latents z (bin, y, x) are read as Hartley coefficients: the Fourier coefficient of unit power at mode k is
½[z(k) + z(-k)] - ½i[z(k) - z(-k)]. They are independent standard normals like white pixels are, a Fourier transform is
saved, and each latent belongs to one scale, which is what preconditioned samplers want.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.fields.grid import FlatSky
from fullfield.fields.hartley import hartley


_FLOOR = 2e-6  # float32 resolves a pivot to about 1e-6 of the variance it is left from


def pair_indices(bins: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second bin of each pair, in the order (0,0), (0,1), ..., (1,1), ... of every set of spectra."""
    return np.triu_indices(bins)


def power_root(power: Float[Array, "pairs m m"]) -> Float[Array, "pairs m m"]:
    """Lower Cholesky factor, mode by mode, of the bins' power matrix.

    A mode whose matrix is not positive definite (no Gaussian field has such a spectrum) loses the components that would be
    negative: their pivots, and the gradients through them, are zero. This keeps every score finite; `unrealised_fraction`
    counts them.

    Args:
        power: power of each pair on the octant, pairs in the order of `pair_indices`.

    Returns:
        Factor L_ij, j <= i, stored at the place of pair (j, i).
    """
    bins = bins_of(len(power))
    place = places(bins)
    # Indexing would be transposed into one padded array per pair; unstacking is transposed into one concatenation.
    given, root = jnp.unstack(power), [jnp.zeros(())] * len(power)
    for j in range(bins):
        pivot, *remainders = (
            given[place[j, i]] - sum(root[place[k, i]] * root[place[k, j]] for k in range(j)) for i in range(j, bins)
        )
        positive = pivot > _FLOOR * given[place[j, j]]
        for i, remainder in enumerate(remainders, j + 1):
            # |L_ij| is at most the root of P_ii where the matrix is positive definite; a vanishing P_jj would make it huge.
            positive = positive & (remainder**2 <= 4 * pivot * given[place[i, i]])
        safe = jnp.sqrt(jnp.where(positive, pivot, 1.0))
        root[place[j, j]] = jnp.where(positive, safe, 0.0)
        for i, remainder in enumerate(remainders, j + 1):
            root[place[j, i]] = jnp.where(positive, remainder / safe, 0.0)
    return jnp.stack(root)


def unrealised_fraction(power: Float[Array, "pairs m m"]) -> Float[Array, ""]:
    """Fraction of modes, the zero mode aside, whose power matrix is not positive definite."""
    bins = bins_of(len(power))
    root = power_root(power)
    pivots = jnp.stack([root[places(bins)[j, j]] for j in range(bins)])
    missing = jnp.any(pivots <= 0, axis=0)
    return (jnp.sum(missing) - 1) / (missing.size - 1)


def gaussian_field(sky: FlatSky, root: Float[Array, "pairs m m"], white: Float[Array, "bins n n"]) -> Float[Array, "bins n n"]:
    """Periodic Gaussian field with the given root of its power.

    Args:
        sky: patch with n pixels on a side.
        root: factor from `power_root`, in sr^½.
        white: independent standard normals.

    Returns:
        Field (bins, n, n); its power is root · rootᵀ in the convention of `fullfield.fields.grid`.
    """
    n, m = sky.pixels, sky.pixels // 2 + 1
    bins = white.shape[0]
    place = places(bins)
    mirrored = jnp.roll(white[:, ::-1, ::-1], 1, axis=(1, 2))[..., :m]
    even, odd = white[..., :m] + mirrored, mirrored - white[..., :m]
    plane = jnp.unstack((n**2 / (2 * sky.side_radians)) * jnp.concatenate([root, root[:, m - 2 : 0 : -1]], axis=1))

    def coloured(*modes):
        return jnp.stack([sum(plane[place[j, i]] * modes[j] for j in range(i + 1)) for i in range(bins)])

    return jnp.fft.irfft2(jax.lax.complex(coloured(*jnp.unstack(even)), coloured(*jnp.unstack(odd))), s=(n, n))


def white_of(sky: FlatSky, root: Float[Array, "pairs m m"], field: Float[Array, "bins n n"]) -> Float[Array, "bins n n"]:
    """White latents of a field, the inverse of `gaussian_field`; zero where the root is, and nothing is known of them."""
    m = sky.pixels // 2 + 1
    modes = jnp.unstack(jnp.moveaxis(hartley(sky, jnp.moveaxis(field, 0, -1)), -1, 0))
    half = jnp.concatenate([root, root[:, m - 2 : 0 : -1]], axis=1)
    plane = jnp.unstack(jnp.concatenate([half, half[:, :, m - 2 : 0 : -1]], axis=2))
    place, white = places(len(modes)), []
    for i, mode in enumerate(modes):
        pivot = plane[place[i, i]]
        left = mode - sum(plane[place[j, i]] * white[j] for j in range(i))
        white.append(jnp.where(pivot > 0, left / jnp.where(pivot > 0, pivot, 1.0), 0.0))
    return jnp.stack(white)


def bins_of(pairs: int) -> int:
    """Number of bins that have so many pairs."""
    return int((np.sqrt(8 * pairs + 1) - 1) / 2)


def places(bins: int) -> np.ndarray:
    """Position of each pair (i <= j) in the list of pairs."""
    place = np.zeros((bins, bins), int)
    place[pair_indices(bins)] = np.arange(bins * (bins + 1) // 2)
    return place
