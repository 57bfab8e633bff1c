"""Real Fourier coefficients: the Hartley transform, under which white noise stays white and every mode is one number.

    h(ℓ) = [Re f(ℓ) - Im f(ℓ)] / L = L / N² Σ_x f(x) [cos ℓ·x + sin ℓ·x],    f(x) = L⁻¹ Σ_ℓ h(ℓ) [cos ℓ·x + sin ℓ·x],

with f(ℓ) of `fullfield.fields.grid`, so that ⟨h_i(ℓ) h_j(ℓ)⟩ = C_ij(ℓ), all modes of a Gaussian field are independent, and
Σ_x f² = (N / L)² Σ_ℓ h² (Parseval). The plane has N x N modes in the order of a Fourier transform.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.fields.grid import FlatSky


def hartley(sky: FlatSky, maps: Float[Array, "*batch n n bins"]) -> Float[Array, "*batch n n bins"]:
    """Coefficients h (sr^½) of maps."""
    return (sky.side_radians / sky.pixels**2) * _cas(maps)


def inverse_hartley(sky: FlatSky, modes: Float[Array, "*batch n n bins"]) -> Float[Array, "*batch n n bins"]:
    """Maps of coefficients h (sr^½)."""
    return _cas(modes) / sky.side_radians


def unitary_hartley(values: Float[Array, "*batch n n bins"]) -> Float[Array, "*batch n n bins"]:
    """The transform without units, its own inverse: white coefficients to a white map, and back."""
    return _cas(values) / values.shape[-2]


def _cas(values):
    transformed = jnp.fft.fft2(values, axes=(-3, -2))
    return transformed.real - transformed.imag
