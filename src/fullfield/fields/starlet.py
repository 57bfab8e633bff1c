"""The starlet: an isotropic, undecimated wavelet transform of maps.

    c_{j+1} = h_j * c_j,    w_{j+1} = c_j - c_{j+1},    c_0 = Σ_j w_j + c_J,

with h_j the cubic B-spline (1, 4, 6, 4, 1) / 16 in each direction, its taps 2^j pixels apart (Starck, Fadili & Murtagh 2007,
IEEE Trans. Image Process. 16, 297). Maps are periodic.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError
from fullfield.fields.counts import histogram


def starlet(field: Float[Array, "n n"], scales: int) -> Float[Array, "planes n n"]:
    """Wavelet coefficients of a map at several scales, the finest first, and what is left smooth behind them.

    Args:
        field: the map.
        scales: J; the last filter spans 4 · 2^(J - 1) + 1 pixels, which must not be more than the map has.

    Returns:
        Planes (J + 1, n, n), whose sum is the map.

    Raises:
        ConfigurationError: there are too many scales for the map.
    """
    most = (field.shape[0] - 1).bit_length() - 2
    if not 1 <= scales <= most:
        raise ConfigurationError("scales", expected=f"between 1 and {most} for {field.shape[0]} pixels", got=scales)
    n = field.shape[0]
    # As products of modes: a compiler that fuses sums of shifted maps computes every scale anew for the next.
    along = np.cumprod([_response(2 * np.pi * 2**j * np.fft.fftfreq(n)) for j in range(scales)], axis=0).astype(np.float32)
    responses = along[:, :, None] * along[:, None, : n // 2 + 1]
    smooth = jnp.fft.irfft2(jnp.fft.rfft2(field) * responses, s=field.shape)
    levels = jnp.concatenate([field[None], smooth])
    return jnp.concatenate([levels[:-1] - levels[1:], levels[-1:]])


def _response(phase):
    return (6 + 8 * np.cos(phase) + 2 * np.cos(2 * phase)) / 16


def starlet_l1(
    field: Float[Array, "n n"], centres: Float[Array, " k"], scales: int, deviations: Float[Array, " scales"]
) -> Float[Array, "scales k"]:
    """ℓ1-norm of the wavelet coefficients near each value, scale by scale, per pixel.

    Args:
        field: the map.
        centres: values in units of each scale's deviation, evenly spaced.
        scales: number of scales; what is left smooth is not looked at.
        deviations: what coefficients of each scale are divided by, e.g. those of the noise.

    Source: Ajani, Starck & Pettorino 2021 (A&A 645, L11).
    """
    planes = starlet(field, scales)[:-1] / deviations[:, None, None]
    return jnp.stack([histogram(plane, centres, jnp.abs(plane)) for plane in planes]) / field.size
