"""What networks and spectra are given of combined probes: maps brought to order one and smoothed, probe by probe."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fullfield._core import ConfigurationError
from fullfield.fields import FlatSky, smoothed


LARGE_SCALES = ((4.778, 3.509, 2.758, 2.526), (9.839, 7.398, 5.991, 5.567))
"""Smoothing in arcminutes of convergence and of counts in the four bins, for 4 and 8 Mpc/h of Kacprzak & Fluri 2022 (PRX 12,
031029, section II B; digits of its public code). They do not follow from the scales by themselves."""
SMALL_SCALES = (LARGE_SCALES[0], LARGE_SCALES[0])
"""The same for 4 Mpc/h in both, which goes with second-order bias."""
FLOOR = 0.005  # beside the noise of a pixel, in the scale of the convergence (appendix E)


class ScaledProbes(eqx.Module):
    """Maps (n, n, 2 bins) of convergence and of numbers of galaxies, to smoothed maps of order one (their appendix E).

        κ / √(.005² + σ²),    N / N̄ - 1

    The patch is periodic, so that smoothing needs no edges of its own. Under a mask pixels average what is observed around
    them, and unobserved pixels are zero, as the mean of the maps is.

    Args:
        sky: patch of the maps.
        galaxies: mean number N̄ of galaxies of a bin in a pixel.
        ellipticity_scatter: σ_e of one galaxy; the noise of a pixel is σ = σ_e / √N̄.
        widths: smoothing in arcminutes of the convergence and of the counts of each bin.
        probes: which are kept, "lensing" and "clustering".
        mask: True where a pixel is observed (n, n); that of the model. None for all.

    Raises:
        ConfigurationError: a probe is unknown, or there is none.
    """

    sky: FlatSky
    galaxies: float = eqx.field(static=True)
    ellipticity_scatter: float = eqx.field(static=True)
    widths: tuple[tuple[float, ...], tuple[float, ...]] = eqx.field(static=True, default=LARGE_SCALES)
    probes: tuple[str, ...] = eqx.field(static=True, default=("lensing", "clustering"))
    mask: Bool[Array, "n n"] | None = None

    def __check_init__(self):
        if not self.probes or not set(self.probes) <= {"lensing", "clustering"}:
            raise ConfigurationError("probes", expected="lensing, clustering or both", got=self.probes)

    def __call__(self, maps: Float[Array, "n n k"]) -> Float[Array, "n n c"]:
        """Scaled, smoothed maps of the probes that are kept."""
        convergence, counts = jnp.split(maps, 2, axis=-1)
        noise = self.ellipticity_scatter / np.sqrt(self.galaxies)
        scaled = {"lensing": convergence / np.hypot(FLOOR, noise), "clustering": counts / self.galaxies - 1}
        widths = dict(zip(scaled, self.widths, strict=True))
        return jnp.concatenate([smoothed(self.sky, scaled[name], widths[name], self.mask) for name in self.probes], axis=-1)
