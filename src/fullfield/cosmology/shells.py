"""Matter in shells of the light cone, and what each adds to maps of lensing, intrinsic alignment and galaxy counts.

    δ_s = ∫_s dχ δ / Δχ_s,    C_s(ℓ) = ∫_s dχ P((ℓ+½)/S_k(χ), z(χ)) / (Δχ_s S_k(χ))²,    m_i = Σ_s w_is δ_s,

with w_is = ∫_s dχ q_i(χ) and q_i the kernel of the map. Shells thicker than the correlation of matter along the line of sight
are independent of each other, as in the Limber approximation, so that the spectra of such maps are Σ_s w_is w_js C_s.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, full_precision
from fullfield.cosmology.background import expansion_rate
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.halofit import AbstractPower, Halofit
from fullfield.cosmology.intrinsic_alignment import NLA
from fullfield.cosmology.limber import lens_planes
from fullfield.cosmology.redshift import LensNodes, RedshiftBins


class ShellFields(eqx.Module):
    """Spectra of the shells at one cosmology, and their weights in the maps of every bin; made by `MatterShells`.

    Args:
        spectra: C_s of the contrast of each shell, sr.
        lensing: weights in the convergence.
        alignment: weights in the intrinsic convergence at an amplitude of one at every redshift.
        clustering: weights in the contrast of unbiased galaxies.
    """

    spectra: Float[Array, "shells n_ell"]
    lensing: Float[Array, "bins shells"]
    alignment: Float[Array, "bins shells"]
    clustering: Float[Array, "bins shells"]


class MatterShells(eqx.Module):
    """Shells of matter between fixed redshifts.

    Kernels: convergence and intrinsic alignment as in `lensing_spectra`; galaxies n_i(z) dz/dχ, the same galaxies for both
    (Fluri et al. 2019, PRD 100, 063514; Kacprzak & Fluri 2022, PRX 12, 031029, eqs. 1-5).

    Args:
        bins: redshift distributions of the galaxies.
        edges: redshifts (shells + 1,) between shells, increasing from zero or above.
        nodes: of the integral over each shell.

    Raises:
        ConfigurationError: the edges do not increase, or galaxies lie outside them.
    """

    bins: RedshiftBins
    edges: tuple[float, ...] = eqx.field(static=True)
    lenses: LensNodes

    LOST = 0.01  # share of a bin's galaxies that may lie outside the shells

    def __init__(self, bins: RedshiftBins, edges: tuple[float, ...] | np.ndarray, nodes: int = 4):
        given = np.asarray(edges, float)
        if given.ndim != 1 or given.size < 2 or given[0] < 0 or not np.all(np.diff(given) > 0):
            raise ConfigurationError("edges", expected="increasing redshifts from zero or above, at least two", got=edges)
        x, weights = np.polynomial.legendre.leggauss(nodes)
        middle, half = (given[1:] + given[:-1]) / 2, np.diff(given) / 2
        self.bins, self.edges = bins, tuple(float(edge) for edge in given)
        self.lenses = bins.seen_from((middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * weights).ravel())
        self.check(np.zeros(bins.size))

    def check(self, offsets: np.ndarray) -> None:
        """Refuse shifts that put galaxies outside the shells, or off the table of the bins.

        Args:
            offsets: Δz of each bin (bins,).

        Raises:
            ConfigurationError: more than `LOST` of a bin's galaxies lie there.
        """
        lost = self.bins.lost(self.edges[0], self.edges[-1], offsets)
        worst = int(lost.argmax())
        if lost[worst] > self.LOST:
            shift = f" when shifted by {offsets[worst]:.3g}" if offsets[worst] else ""
            raise ConfigurationError(
                "edges", expected=f"shells that hold all but {self.LOST:g} of the galaxies of each bin",
                got=f"{lost[worst]:.3g} of those of bin {worst} outside {self.edges[0]:g} to {self.edges[-1]:g}{shift}",
                remedy="Take shells and table to higher redshift, or cut the redshift distributions.",
            )  # fmt: skip

    def shifted(self, offsets: Float[Array, " bins"]) -> "MatterShells":
        """The same shells for galaxies at redshifts larger by Δz_i in bin i; nodes stay, so that shifts have derivatives.

        Galaxies that leave the table of the bins are replaced by the others in proportion; `check` says if they are many.
        """
        return eqx.tree_at(lambda shells: shells.bins, self, self.bins.shifted(offsets))

    @property
    def size(self) -> int:
        """Number of shells."""
        return len(self.edges) - 1

    @full_precision
    def __call__(
        self, cosmology: Cosmology, multipoles: Float[Array, " n_ell"], power: AbstractPower | None = None
    ) -> ShellFields:
        """Spectra and weights at one cosmology.

        Args:
            cosmology: the universe.
            multipoles: ℓ, real numbers from 0 up (n_ell,).
            power: recipe for the matter power; Takahashi's halofit on Eisenstein-Hu if not given.
        """
        planes, z = lens_planes(cosmology, self.bins, lenses=self.lenses), self.lenses.z
        log_k = jnp.log(multipoles + 0.5)[:, None] - jnp.log(planes.distance)
        matter = (power or Halofit())(cosmology, log_k, planes.a, planes.growth)
        depth = self._summed(planes.thickness)
        spectra = self._summed(planes.thickness / planes.distance**2 * matter) / depth**2
        galaxies = self.bins.density @ self.lenses.values.T * expansion_rate(cosmology, planes.a) / HUBBLE_DISTANCE
        alignment = NLA(1.0)(cosmology, z, planes.growth) * galaxies
        kernels = (planes.kernel, alignment, galaxies)
        return ShellFields(spectra.T, *(self._summed(planes.thickness * kernel) for kernel in kernels))

    def _summed(self, values):
        return values.reshape(*values.shape[:-1], self.size, -1).sum(-1)


def even_shells(bins: RedshiftBins, last: float, shells: int = 32) -> MatterShells:
    """Shells of about equal depth, those of equal steps in the distance of a universe of matter.

    Args:
        bins: redshift distributions of the galaxies.
        last: redshift of the outer edge.
        shells: how many; with 32 to a redshift of 1.75 spectra of bins .15 wide are right to two percent.
    """
    x = np.linspace(0, 1 - 1 / np.sqrt(1 + last), shells + 1)
    return MatterShells(bins, 1 / (1 - x) ** 2 - 1)
