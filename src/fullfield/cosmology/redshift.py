"""Redshift distributions of tomographic source bins."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import erf

from fullfield._core import ConfigurationError, DataError, ShapeError


class RedshiftBins(eqx.Module):
    """Tabulated redshift distributions of source galaxies, linear between their nodes.

    Made by `smail_bins` or `tabulated_bins`, which check and normalise.

    Args:
        z: redshifts of the nodes, increasing.
        density: n_i(z) of each bin, integral over z one.
    """

    z: Float[Array, " nz"]
    density: Float[Array, "bins nz"]

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.density.shape[0]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of bins in the order of all spectra: the upper triangle, row by row."""
        return tuple((i, j) for i in range(self.size) for j in range(i, self.size))


def tabulated_bins(z: np.ndarray | Float[Array, " nz"], density: np.ndarray | Float[Array, "bins nz"]) -> RedshiftBins:
    """Redshift bins from tables of any normalisation.

    Args:
        z: redshifts (nz,), increasing and not negative.
        density: galaxies per redshift (bins, nz), not negative.

    Raises:
        ShapeError: the arrays do not fit each other.
        DataError: redshifts do not increase, a density is negative or not finite, or a bin is empty.
    """
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
    return RedshiftBins(jnp.asarray(z, float), jnp.asarray(density / total[:, None], float))


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
    return tabulated_bins(z, _smail(z, alpha, beta, z_0) * np.diff(steps, axis=0) / 2)


def _smail(z, alpha, beta, z_0):
    return z**alpha * np.exp(-((z / z_0) ** beta))


def _quantiles(distribution, n_bins, z_max):
    fine = np.linspace(0, z_max, 20001)
    density = distribution(fine)
    counts = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return np.interp(np.linspace(0, counts[-1], n_bins + 1), counts, fine)
