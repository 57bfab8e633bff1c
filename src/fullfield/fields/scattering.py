"""Scattering transform of maps: what wavelets see of a field, and what they see of what they see.

    s₁(j) = ⟨|κ * ψ_jl|⟩,    s₂(j, j', m) = ⟨||κ * ψ_jl| * ψ_j'(l + m)|⟩ / s₁(j),    j < j',

averaged over pixels and orientations l, which leaves the angle m between the two wavelets (Mallat 2012, Comm. Pure Appl. Math.
65, 1331; for lensing maps Cheng et al. 2020, MNRAS 499, 5902). Maps are periodic.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError


def scattering(field: Float[Array, "n n"], scales: int, orientations: int = 4) -> Float[Array, " k"]:
    """Scattering coefficients of first order (J,) and behind them those of second order (J (J - 1) / 2 · L).

    Args:
        field: the map.
        scales: J, of 2^j pixels, at most log2(n) - 1.
        orientations: L, in half a turn.

    Raises:
        ConfigurationError: there are too many scales for the map, or no orientation.
    """
    n = field.shape[0]
    most = n.bit_length() - 2
    if not (1 <= scales <= most and orientations >= 1):
        expected = f"between 1 and {most} scales for {n} pixels, and at least one orientation"
        raise ConfigurationError("scales, orientations", expected=expected, got=(scales, orientations))
    wavelets = jnp.asarray(morlet(n, scales, orientations))
    seen = _modulus(jnp.fft.fft2(field), wavelets)  # (J, L, n, n)
    first = jnp.mean(seen, axis=(1, 2, 3))
    second = []
    for j in range(scales - 1):
        later = _modulus(jnp.fft.fft2(seen[j])[:, None, None], wavelets[j + 1 :])  # (L, J - j - 1, L, n, n)
        means = jnp.mean(later, axis=(3, 4))
        turned = jnp.stack([jnp.roll(row, -l, axis=1) for l, row in enumerate(means)])  # noqa: E741
        second.append((jnp.mean(turned, axis=0) / first[j]).ravel())
    return jnp.concatenate([first, *second])


def _modulus(modes, wavelets):
    return jnp.abs(jnp.fft.ifft2(modes * wavelets))


def morlet(n: int, scales: int, orientations: int) -> Float[np.ndarray, "scales orientations n n"]:
    """Morlet wavelets in Fourier space, real, each of zero mean.

    A Gaussian envelope of 0.8 · 2^j pixels, L / 4 times as wide across, about the wave number 3π / 4 · 2^-j, minus as much of
    the envelope as leaves no mean; at all frequencies that the grid folds onto one.
    """
    # Frequencies beyond the grid's own fold back: wavelets of the finest scale reach there.
    k = 2 * np.pi * (np.arange(n) / n + np.arange(-2, 2)[:, None])  # (4, n)
    ky, kx = k[:, None, :, None], k[None, :, None, :]
    planes = np.empty((scales, orientations, n, n))
    for j in range(scales):
        width, wave = 0.8 * 2.0**j, 0.75 * np.pi / 2.0**j
        for l in range(orientations):  # noqa: E741
            angle = np.pi * l / orientations
            along = kx * np.cos(angle) + ky * np.sin(angle)
            across = (ky * np.cos(angle) - kx * np.sin(angle)) * orientations / 4
            envelope = lambda shift, a=along, c=across, w=width: np.exp(-0.5 * w**2 * ((a - shift) ** 2 + c**2)).sum((0, 1))  # noqa: E731
            carried, still = envelope(wave), envelope(0.0)
            planes[j, l] = carried - still * carried[0, 0] / still[0, 0]
    return planes.astype(np.float32)
