"""Redshift distributions of tomographic source bins."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import erf

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.cosmology.cosmology import Scalar


_LENS_NODES = 72
_NEAREST = 0.06
_TOLERANCE = 0.01


class LensNodes(eqx.Module):
    """Redshifts at which lensing by matter in front of the sources is summed, and what it needs of the sources' table.

    Args:
        z: redshifts of the lenses.
        weights: of a sum that is an integral over redshift.
        tails: integrates over the sources behind each lens.
        values: interpolates the sources' table to the lenses.
    """

    z: Float[Array, " n"]
    weights: Float[Array, " n"]
    tails: Float[Array, "n nz"]
    values: Float[Array, "n nz"]


class RedshiftBins(eqx.Module):
    """Redshift distributions of source galaxies, tabulated and linear between the nodes.

    Args:
        z: redshifts (nz,), increasing from 0 up.
        density: galaxies per redshift (bins, nz) in any normalisation, such as numbers in a histogram; kept with integral one.
        normalised: whether the table is said to have integral one in each bin, by the trapezium rule. One that then has not,
            to a percent, is refused: it is in other units, or lacks its tail.

    Raises:
        ShapeError: the arrays do not fit each other.
        DataError: redshifts do not increase, a density is negative or not finite, a bin is empty, or its integral is not the
            one that it is said to be.
    """

    z: Float[Array, " nz"]
    density: Float[Array, "bins nz"]
    lenses: LensNodes

    def __init__(
        self, z: np.ndarray | Float[Array, " nz"], density: np.ndarray | Float[Array, "bins nz"], *, normalised: bool = False
    ):
        z, density = np.asarray(z, float), np.asarray(density, float)
        if z.ndim != 1 or density.ndim != 2 or density.shape[1] != z.size or z.size < 2:
            raise ShapeError("density", expected=f"shape (bins, {z.size}), as z", got=density.shape)
        if not np.all(np.diff(z) > 0) or z[0] < 0 or not np.all(np.isfinite(z)):
            raise DataError("z", expected="finite, increasing redshifts from 0 up", got="others", remedy="Sort the table.")
        if not np.all(np.isfinite(density)) or np.any(density < 0):
            raise DataError("density", expected="finite, non-negative numbers", got="others")
        total = np.trapezoid(density, z, axis=1)
        if np.any(total <= 0):
            raise DataError("density", expected="galaxies in every bin", got=f"none in bin {int(np.argmin(total))}")
        if normalised and np.any(np.abs(total - 1) > _TOLERANCE):
            worst = int(np.argmax(np.abs(total - 1)))
            raise DataError(
                "density", expected="integral one in every bin", got=f"{total[worst]:.4g} in bin {worst}",
                remedy="Is its tail cut off? If only the units differ, leave out `normalised`.",
            )  # fmt: skip
        self.z, self.density = jnp.asarray(z, float), jnp.asarray(density / total[:, None], float)
        self.lenses = _seen(z, *_nodes(z[-1]))

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.density.shape[0]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of bins in the order of all spectra: the upper triangle, row by row."""
        return tuple((i, j) for i in range(self.size) for j in range(i, self.size))

    def seen_from(self, at: np.ndarray | Float[Array, " n"], weights: np.ndarray | Float[Array, " n"]) -> "LensNodes":
        """Nodes of an integral over redshift for these sources, other than its own in `lenses`.

        Args:
            at: redshifts (n,).
            weights: of the sum over them.
        """
        return _seen(np.asarray(self.z, float), np.asarray(at, float), np.asarray(weights, float))

    def stretched(self, factor: Scalar) -> "RedshiftBins":
        """The same sources at `factor` times their redshift, on the same nodes: mean and width grow alike.

        What is stretched beyond the last node is lost, so that the table should end well above the sources.
        """
        return self._with(jax.vmap(lambda row: jnp.interp(self.z / factor, self.z, row, right=0.0))(self.density))

    def shifted(self, offsets: Float[Array, " bins"]) -> "RedshiftBins":
        """The same sources at redshifts larger by Δz_i in bin i, n_i(z - Δz_i), on the same nodes: widths stay.

        What is shifted below the first node or beyond the last is lost; `lost` says how much that is.
        """
        moved = lambda row, offset: jnp.interp(self.z - offset, self.z, row, left=0.0, right=0.0)  # noqa: E731
        return self._with(jax.vmap(moved)(self.density, offsets))

    def lost(self, first: float, last: float, offsets: np.ndarray | float = 0.0) -> np.ndarray:
        """Share (bins,) of galaxies that, once shifted, lie outside redshifts from `first` to `last` or off the table.

        Args:
            first, last: redshifts.
            offsets: Δz of each bin, as `shifted` takes them.
        """
        z, density = np.asarray(self.z, float), np.asarray(self.density, float)
        counts = np.pad(np.cumsum((density[:, 1:] + density[:, :-1]) * np.diff(z) / 2, axis=1), ((0, 0), (1, 0)))
        ends = np.broadcast_to(offsets, len(density))[:, None]
        ends = np.array([max(first, z[0]), min(last, z[-1])]) - ends
        kept = [np.diff(np.interp(pair, z, row))[0] for pair, row in zip(ends, counts, strict=True)]
        return 1 - np.array(kept)

    def _with(self, density):
        # The trapezium rule of the first normalisation.
        total = jnp.sum((density[:, 1:] + density[:, :-1]) * jnp.diff(self.z), axis=1) / 2
        return eqx.tree_at(lambda bins: bins.density, self, density / total[:, None])


def _nodes(last):
    # Midpoints of equal steps in ln(x + _NEAREST), x = 1 − (1+z)^(−½) being the distance in a universe of matter: the acoustic
    # oscillations of P(ℓ/χ) are regular in ln χ and are summed almost exactly, given two nodes per period.
    span = np.log1p((1 - 1 / np.sqrt(1 + last)) / _NEAREST)
    x = _NEAREST * np.expm1(span * (np.arange(_LENS_NODES) + 0.5) / _LENS_NODES)
    return 1 / (1 - x) ** 2 - 1, span / _LENS_NODES * (x + _NEAREST) * 2 / (1 - x) ** 3


def _seen(z, at, weights) -> LensNodes:
    start, end = z[:-1], z[1:]
    # Share u of each segment beyond a lens, and the weights of the segment's two ends in the integral over that share.
    u = (end - np.clip(at[:, None], start, end)) / (end - start)
    tails = np.zeros((at.size, z.size))
    tails[:, :-1] += (end - start) * u**2 / 2
    tails[:, 1:] += (end - start) * u * (1 - u / 2)
    hats = np.stack([np.interp(at, z, row, left=0.0) for row in np.eye(z.size)], axis=-1)
    return LensNodes(*(jnp.asarray(array, float) for array in (at, weights, tails, hats)))


def smail_bins(
    n_bins: int = 5,
    *,
    alpha: float = 2.0,
    beta: float = 0.68,
    z_0: float = 0.11,
    scatter: float = 0.05,
    z_max: float = 10.0,
    n_nodes: int = 384,
) -> RedshiftBins:
    """Bins of equal galaxy counts of a Smail distribution, with photometric scatter; the defaults are LSST Y10's sources.

    n(z) ∝ z^alpha exp(−(z/z_0)^beta) is cut at its quantiles in true redshift, and each top-hat is blurred with a Gaussian
    of width scatter (1+z): n_i(z) = n(z)/2 [erf((z_hi − z)/(√2 s)) − erf((z_lo − z)/(√2 s))], s = scatter (1+z).

    Smail, Ellis & Fitchett 1994 (MNRAS 270, 245); settings from LSST DESC 2018 (arXiv:1809.01669), appendix D.

    Args:
        n_bins: number of bins.
        alpha: slope at low redshift.
        beta: steepness of the cut-off.
        z_0: redshift of the cut-off.
        scatter: photometric error at z = 0.
        z_max: end of the distribution.
        n_nodes: nodes of the table, equally spaced in ln(1+z).

    Raises:
        ConfigurationError: a number is not positive.
    """
    for name, value in {"n_bins": n_bins, "beta": beta, "z_0": z_0, "scatter": scatter, "z_max": z_max}.items():
        if value <= 0:
            raise ConfigurationError(name, expected="a positive number", got=value)
    z = np.expm1(np.linspace(0, np.log1p(z_max), n_nodes))
    edges = _quantiles(lambda x: _smail(x, alpha, beta, z_0), n_bins, z_max)
    inverse_width = 1 / (np.sqrt(2) * scatter * (1 + z))
    steps = erf((edges[:, None] - z) * inverse_width)
    return RedshiftBins(z, _smail(z, alpha, beta, z_0) * np.diff(steps, axis=0) / 2)


def _smail(z, alpha, beta, z_0):
    return z**alpha * np.exp(-((z / z_0) ** beta))


def _quantiles(distribution, n_bins, z_max):
    fine = np.linspace(0, z_max, 20001)
    density = distribution(fine)
    counts = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return np.interp(np.linspace(0, counts[-1], n_bins + 1), counts, fine)
