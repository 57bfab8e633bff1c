"""A square patch of flat, periodic sky, and the one Fourier convention of the package.

With N pixels of side Δ on a side L = N Δ (radians),

    f(ℓ) = Δ² Σ_x f(x) exp(-i ℓ·x),   f(x) = L⁻² Σ_ℓ f(ℓ) exp(i ℓ·x),   ⟨f(ℓ) g*(ℓ')⟩ = L² δ_ℓℓ' C(ℓ),

so that C(ℓ) is the angular power spectrum in steradian and the variance of a pixel is L⁻² Σ_ℓ C(ℓ). Maps have axes
(y, x) or (y, x, bin).
"""

import equinox as eqx
import numpy as np

from fullfield._core import ConfigurationError


ARCMIN = np.pi / 180 / 60


class FlatSky(eqx.Module):
    """Square flat-sky patch.

    Args:
        pixels: number N of pixels on a side, even.
        side: length of a side in degrees.
    """

    pixels: int = eqx.field(static=True)
    side: float = eqx.field(static=True)

    def __check_init__(self):
        if self.pixels < 4 or self.pixels % 2:
            raise ConfigurationError("pixels", expected="an even number of at least 4", got=self.pixels)
        if not 0 < self.side <= 30:
            raise ConfigurationError(
                "side", expected="between 0 and 30 degrees", got=self.side, remedy="Larger patches are not flat."
            )

    @property
    def side_radians(self) -> float:
        """Side L in radians."""
        return float(np.radians(self.side))

    @property
    def pixel_arcmin(self) -> float:
        """Pixel side Δ in arcminutes."""
        return self.side * 60 / self.pixels

    @property
    def fundamental(self) -> float:
        """Smallest non-zero multipole, 2π/L."""
        return 2 * np.pi / self.side_radians

    @property
    def nyquist(self) -> float:
        """Largest multipole along an axis, π/Δ."""
        return self.fundamental * self.pixels / 2

    def multipoles(self) -> np.ndarray:
        """Multipole |ℓ| of each mode of a real transform, shape (N, N/2 + 1)."""
        rows = np.fft.fftfreq(self.pixels, 1 / self.pixels)
        columns = np.arange(self.pixels // 2 + 1)
        return self.fundamental * np.hypot(rows[:, None], columns)

    def coarsened(self, factor: int) -> "FlatSky":
        """The same patch with `factor` times fewer pixels on a side.

        Raises:
            ConfigurationError: `factor` does not divide the number of pixels.
        """
        if factor < 1 or self.pixels % factor:
            raise ConfigurationError("factor", expected=f"a divisor of {self.pixels}", got=factor)
        return FlatSky(self.pixels // factor, self.side)


def block_average(maps, factor: int):
    """Average blocks of `factor` x `factor` pixels.

    Args:
        maps: array (y, x, ...) whose first two axes are divisible by `factor`.
        factor: pixels per block side.

    Returns:
        Array (y / factor, x / factor, ...).
    """
    rows, columns = maps.shape[:2]
    return maps.reshape(rows // factor, factor, columns // factor, factor, *maps.shape[2:]).mean((1, 3))
