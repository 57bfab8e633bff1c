"""The shift λ of lognormal convergence as a function of cosmology: minus the lowest convergence a pixel can have."""

import abc
import importlib.resources

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from fullfield.cosmology import Cosmology


TABLE_PIXEL = 10 * 60 / 256  # arcmin, of the published table


class AbstractShift(eqx.Module):
    """Shift of each bin at a cosmology."""

    @abc.abstractmethod
    def __call__(self, cosmology: Cosmology) -> Float[Array, " bins"]:
        """Compute λ (bins,)."""

    @abc.abstractmethod
    def valid_for(self, pixel_arcmin: float) -> bool:
        """Whether the shift describes pixels of this size (arcmin)."""


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


def _read_table():
    file = importlib.resources.files("fullfield.simulators") / "data" / "lognormal_shifts_lsst_y10.npz"
    with file.open("rb") as handle, np.load(handle) as content:
        nodes = tuple(jnp.asarray(content[name], jnp.float32) for name in ("sigma_8", "omega_m", "w_0"))
        return nodes, jnp.asarray(content["shift"], jnp.float32)


def _fraction(value, nodes):
    return (value - nodes[0]) / (nodes[-1] - nodes[0])


def _interpolate(table, coordinates):
    points = [jnp.broadcast_to(c, (1,)) for c in coordinates]
    bins = table.shape[-1]
    return jnp.concatenate([map_coordinates(table[..., b], points, order=1, mode="nearest") for b in range(bins)])
