"""The shift λ of lognormal convergence as a function of cosmology: minus the lowest convergence a pixel can have."""

import abc
import importlib.resources

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, full_precision
from fullfield.cosmology import Cosmology, lens_planes, Linear, RedshiftBins
from fullfield.fields import ARCMIN, shift_of_skewness


TABLE_PIXEL = 10 * 60 / 256  # arcmin, of the published table


class AbstractShift(eqx.Module):
    """Shift of each bin at a cosmology."""

    @abc.abstractmethod
    def __call__(self, cosmology: Cosmology) -> Float[Array, " bins"]:
        """Compute λ (bins,)."""

    @abc.abstractmethod
    def valid_for(self, pixel_arcmin: float) -> bool:
        """Whether the shift describes pixels of this size (arcmin)."""

    def of_sources(self, bins: RedshiftBins) -> "AbstractShift":
        """The same for other sources.

        Raises:
            ConfigurationError: the shift is tabulated for one survey's sources.
        """
        raise ConfigurationError(
            "shift", expected="a shift for any sources, since their redshifts are a parameter", got=type(self).__name__,
            remedy="Use PerturbativeShift, or leave `source_stretch` out of the parameters.",
        )  # fmt: skip


class TabulatedShift(AbstractShift):
    """Published table for LSST-Y10 bins and 2.34 arcmin pixels, interpolated linearly between its nodes in (σ8, Ωm, w0).

    Beyond the table's edges (Ωm 0.1 to 0.9, σ8 0.3 to 1.3, w0 -2 to -0.3) the value at the edge is taken. Source:
    `data/README.md` beside this file.
    """

    nodes: tuple[Float[Array, "8"], Float[Array, "8"], Float[Array, "8"]]
    table: Float[Array, "8 8 8 bins"]

    def __init__(self):
        self.nodes, self.table = _read_table()

    def __call__(self, cosmology: Cosmology) -> Float[Array, " bins"]:
        """Interpolate λ (bins,)."""
        point = (cosmology.sigma_8, cosmology.omega_m, cosmology.w_0)
        coordinates = [7 * _fraction(value, node) for value, node in zip(point, self.nodes, strict=True)]
        return _interpolate(self.table, coordinates)

    def valid_for(self, pixel_arcmin: float) -> bool:
        """Only pixels of 2.34 arcmin."""
        return abs(pixel_arcmin / TABLE_PIXEL - 1) < 0.01


class LegacyTabulatedShift(AbstractShift):
    """The same table, read as the public code sbi_lens reads it: with Ωm and σ8 swapped and nodes taken for cell edges.

    Wrong by 18 to 34 % at the fiducial cosmology and in its dependence on Ωm and σ8. For results that were published with it,
    and for data simulated with it; never mix the two between data and model.
    """

    nodes: tuple[Float[Array, "8"], Float[Array, "8"], Float[Array, "8"]]
    table: Float[Array, "8 8 8 bins"]

    def __init__(self):
        self.nodes, self.table = _read_table()

    def __call__(self, cosmology: Cosmology) -> Float[Array, " bins"]:
        """Interpolate λ (bins,) at the wrong place."""
        sigma_8, omega_m, w_0 = self.nodes
        fractions = (
            _fraction(cosmology.omega_m, omega_m),
            _fraction(cosmology.sigma_8, sigma_8),
            _fraction(cosmology.w_0, w_0),
        )
        return _interpolate(self.table, [8 * fraction - 0.5 for fraction in fractions])

    def valid_for(self, pixel_arcmin: float) -> bool:
        """Only pixels of 2.34 arcmin."""
        return abs(pixel_arcmin / TABLE_PIXEL - 1) < 0.01


class PerturbativeShift(AbstractShift):
    """Shift from the skewness of convergence at leading order of perturbation theory, for any n(z) and pixel size.

    In a thin slice, the density averaged over a disc of radius R has the variance s²(R) of the two-dimensional spectrum and the
    third moment s⁴ (36/7 + 3/2 dln s² / dln R). Projected with the lensing kernels, these give S₃ = ⟨κ³⟩ / ⟨κ²⟩² of a pixel;
    λ is that of the lognormal field with this skewness and the linear variance.

    Source: Bernardeau 1995 (A&A 301, 309), eqs. 17-19 and 33.

    Args:
        bins: redshift distributions of the sources.
        pixel_arcmin: side of a pixel; R is the radius of the disc of equal area.
    """

    bins: RedshiftBins
    pixel_arcmin: float = eqx.field(static=True)

    @full_precision
    def __call__(self, cosmology: Cosmology) -> Float[Array, " bins"]:
        """Compute λ (bins,)."""
        planes = lens_planes(cosmology, self.bins)
        radius = self.pixel_arcmin * ARCMIN / np.sqrt(np.pi)
        log_x = np.linspace(np.log(1e-3), np.log(2e2), 256)
        x = np.exp(log_x)
        disc = 2 * scipy.special.j1(x) / x
        slope = -4 * disc * scipy.special.jn(2, x)
        weights = np.stack([disc**2, slope]) * (log_x[1] - log_x[0]) / (2 * np.pi)
        log_k = log_x[:, None] - jnp.log(planes.distance * radius)
        power = jnp.exp(2 * log_k) * Linear()(cosmology, log_k, planes.a, planes.growth)
        variance, change = jnp.asarray(weights, power.dtype) @ power
        third = variance**2 * (36 / 7 + 1.5 * change / variance)
        moments = [(planes.kernel**2) @ (planes.thickness * variance), (planes.kernel**3) @ (planes.thickness * third)]
        return shift_of_skewness(moments[0], moments[1] / moments[0] ** 1.5)

    def valid_for(self, pixel_arcmin: float) -> bool:
        """Only pixels of the size it was made for."""
        return abs(pixel_arcmin / self.pixel_arcmin - 1) < 0.01

    def of_sources(self, bins: RedshiftBins) -> "PerturbativeShift":
        """The same for other sources."""
        return PerturbativeShift(bins, self.pixel_arcmin)


def _read_table():
    file = importlib.resources.files("fullfield.simulators") / "data" / "lognormal_shifts_lsst_y10.npz"
    with file.open("rb") as handle, np.load(handle) as content:
        sigma_8, omega_m, w_0 = (jnp.asarray(content[name], jnp.float32) for name in ("sigma_8", "omega_m", "w_0"))
        return (sigma_8, omega_m, w_0), jnp.asarray(content["shift"], jnp.float32)


def _fraction(value, nodes):
    return (value - nodes[0]) / (nodes[-1] - nodes[0])


def _interpolate(table, coordinates):
    points = [jnp.broadcast_to(c, (1,)) for c in coordinates]
    bins = table.shape[-1]
    return jnp.concatenate([map_coordinates(table[..., b], points, order=1, mode="nearest") for b in range(bins)])
