"""What a weak-lensing survey is: its redshift bins, galaxy density, shape noise, patch of sky and mask."""

import importlib.resources

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.cosmology import RedshiftBins, smail_bins
from fullfield.fields import FlatSky


def _as_array(mask: np.ndarray | Bool[Array, "n n"] | None) -> Bool[Array, "n n"] | None:
    return None if mask is None else jnp.asarray(mask, bool)


def check_mask(mask: Bool[Array, "..."] | None, sky: FlatSky) -> None:
    """Refuse masks that are not of a patch, or observe nothing.

    Args:
        mask: True where a pixel is observed, (n, n); None observes all.
        sky: patch.

    Raises:
        ShapeError: not (n, n).
        DataError: no pixel is observed.
    """
    if mask is None:
        return
    if mask.shape != (sky.pixels,) * 2:
        raise ShapeError("mask", expected=str((sky.pixels,) * 2), got=mask.shape)
    if not isinstance(mask, Tracer) and not np.any(mask):
        raise DataError("mask", expected="at least one observed pixel", got="none", remedy="True marks observed pixels.")


def observed_pixels(maps: np.ndarray, mask: Bool[Array, "n n"] | None) -> np.ndarray:
    """Check observed maps (n, n, k) and set unobserved pixels, whatever they hold, to zero as models do.

    Raises:
        DataError: an observed pixel is NaN or infinite, or all maps are constant.
    """
    observed = np.ones(maps.shape[:2], bool) if mask is None else np.asarray(mask)
    bad = ~np.isfinite(maps) & observed[..., None]
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            "maps",
            expected="finite observed pixels",
            got=f"{bad.sum()} NaN or infinite, the first at (y, x, bin) = {where}",
            remedy="Mark such pixels as unobserved in the survey's mask: docs/lensing.md, Your own survey.",
        )
    if np.ptp(maps[observed], axis=0).max() == 0:
        raise DataError("maps", expected="maps that vary", got="constant maps", remedy="Is the field of view all masked?")
    return np.where(observed[..., None], maps, 0.0).astype(np.float32)


class LensingSurvey(eqx.Module):
    """A tomographic weak-lensing survey of one flat patch.

    Args:
        sky: patch and pixels of the maps.
        bins: redshift distributions of the source bins.
        galaxies_per_arcmin2: in each bin.
        ellipticity_scatter: shape noise σ_e of the convergence estimate of one galaxy.
        mask: True where a pixel is observed, (n, n); None observes all.
    """

    sky: FlatSky
    bins: RedshiftBins
    galaxies_per_arcmin2: tuple[float, ...] = eqx.field(static=True)
    ellipticity_scatter: float = eqx.field(static=True)
    mask: Bool[Array, "n n"] | None = eqx.field(default=None, converter=_as_array)

    def __check_init__(self):
        given = self.galaxies_per_arcmin2
        if len(given) != self.bins.size:
            raise ConfigurationError("galaxies_per_arcmin2", expected=f"{self.bins.size} numbers, one a bin", got=given)
        if not (min(given) > 0 and self.ellipticity_scatter > 0):
            got = f"{given}, {self.ellipticity_scatter}"
            raise ConfigurationError("galaxies_per_arcmin2, ellipticity_scatter", expected="positive numbers", got=got)
        check_mask(self.mask, self.sky)

    @property
    def data_shape(self) -> tuple[int, int, int]:
        """Shape (n, n, bins) of the data."""
        return self.sky.pixels, self.sky.pixels, self.bins.size

    @property
    def noise_scale(self) -> Float[Array, " bins"]:
        """Standard deviation σ_e / √(galaxies per pixel) of the noise in a pixel of each bin."""
        galaxies = jnp.asarray(self.galaxies_per_arcmin2) * self.sky.pixel_arcmin**2
        return self.ellipticity_scatter / jnp.sqrt(galaxies)

    def prepare(self, maps: np.ndarray | Float[Array, "..."]) -> np.ndarray:
        """Check observed maps (n, n, bins) and set unobserved pixels, whatever they hold, to zero as the model does.

        Raises:
            ShapeError: not (n, n, bins).
            DataError: an observed pixel is NaN or infinite, or all maps are constant.
        """
        maps = np.asarray(maps)
        if maps.shape != self.data_shape:
            remedy = "Axes are (y, x, bin)."
            if sorted(maps.shape) == sorted(self.data_shape):
                remedy += " numpy.moveaxis(maps, 0, -1) puts the bins last."
            if maps.ndim == 3 and maps.shape[0] == maps.shape[1] and maps.shape[0] % self.sky.pixels == 0:
                remedy += " Average finer maps with fullfield.fields.block_average."
            raise ShapeError("maps", expected=str(self.data_shape), got=maps.shape, remedy=remedy)
        return observed_pixels(maps, self.mask)


def lsst_y10(pixels: int = 256) -> LensingSurvey:
    """Survey like the tenth year of LSST: 10 x 10 deg², five equal bins, 27 galaxies per arcmin², σ_e = 0.26.

    Source: Zeghal et al. 2025 (A&A 699, A327), section 3 and the public configuration of sbi_lens.

    Args:
        pixels: pixels on a side; 256 gives the 2.34 arcmin of the published maps.
    """
    return LensingSurvey(
        sky=FlatSky(pixels, 10.0),
        bins=smail_bins(5, alpha=2.0, beta=0.68, z_0=0.11, scatter=0.05),
        galaxies_per_arcmin2=(27 / 5,) * 5,
        ellipticity_scatter=0.26,
    )


def published_mock() -> np.ndarray:
    """Published LSST-Y10 mock, noisy convergence (256, 256, 5) at the fiducial cosmology, made by sbi_lens.

    Zeghal et al. 2025 (A&A 699, A327); see `data/README.md` beside this file. Its model is `sbi_lens_model`.
    """
    file = importlib.resources.files("fullfield.simulators") / "data" / "lsst_y10_mock.npy"
    with file.open("rb") as handle:
        return np.load(handle)
