"""Shear and convergence of a flat patch, in both directions (Kaiser & Squires 1993, ApJ 404, 441).

With γ = γ₁ + i γ₂, x along the map's second axis and y along its first,

    γ(ℓ) = (ℓ_x + i ℓ_y)² / ℓ² · κ(ℓ),    κ = κ_E + i κ_B.

The factor has modulus one, so that white noise stays white and the way there and back is exact, rows and columns at the Nyquist
multipole included. A mean convergence makes no shear: that mode is zero in both directions.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def shear_of(convergence: Float[Array, "n n *bins"]) -> Float[Array, "n n *bins 2"]:
    """Shear of convergence maps without B modes.

    Args:
        convergence: maps (n, n) or (n, n, bins), axes (y, x, bin).

    Returns:
        γ₁ and γ₂ on a last axis.
    """
    return _turned(convergence.astype(complex), _factor(convergence))


def kaiser_squires(shear: Float[Array | np.ndarray, "n n *bins 2"]) -> Float[Array, "n n *bins 2"]:
    """Convergence of shear maps: E and B modes on the last axis, each of zero mean.

    Args:
        shear: maps (n, n, 2) or (n, n, bins, 2), unobserved pixels zero.
    """
    shear = jnp.asarray(shear, float)
    return _turned(jax.lax.complex(shear[..., 0], shear[..., 1]), np.conj(_factor(shear[..., 0])))


def _factor(maps) -> np.ndarray:
    n = maps.shape[0]
    x = np.fft.fftfreq(n)
    direction = x + 1j * x[:, None]
    length = np.abs(direction)
    unit = direction / np.where(length > 0, length, 1)
    return (unit**2).astype(np.complex64).reshape(n, n, *[1] * (maps.ndim - 2))


def _turned(maps, factor):
    turned = jnp.fft.ifft2(factor * jnp.fft.fft2(maps, axes=(0, 1)), axes=(0, 1))
    return jnp.stack([turned.real, turned.imag], axis=-1)
