"""Convergence maps from shear maps: the interface of all mass mapping, and the plain inversion.

The data of a pixel are γ = H κ + noise, with H the operator of `fullfield.fields.shear` and independent normal noise of the
same deviation σ in both components. Pixels that were not observed have σ = ∞, and whatever their shear reads is ignored.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import DataError, ShapeError
from fullfield.fields.catalogue import check_shear
from fullfield.fields.grid import FlatSky
from fullfield.fields.shear import kaiser_squires
from fullfield.fields.smoothing import smoothed


class AbstractMassMap(eqx.Module):
    """An estimate of the convergence given shear; the mean of each map, which shear does not know, is zero."""

    @abc.abstractmethod
    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Estimate convergence maps; the posterior mean where there is a posterior."""


class AbstractMassPosterior(AbstractMassMap):
    """An estimate of the convergence that knows its own uncertainty."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], shear: Float[Array, "n n bins 2"], n: int) -> Float[Array, "draws n n bins"]:
        """Draw `n` sets of convergence maps from the posterior given one set of shear maps."""


class KaiserSquires(AbstractMassMap):
    """The E mode of the shear, smoothed by a Gaussian (Kaiser & Squires 1993, ApJ 404, 441). It knows neither noise nor mask.

    Args:
        sky: patch of the maps.
        width: standard deviation of the Gaussian in arcminutes, 0 for none.
    """

    sky: FlatSky
    width: float

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Smoothed E mode; unobserved pixels count as pixels of zero shear."""
        bins = shear.shape[2] if shear.ndim > 2 else 1
        check_observed(shear, np.ones((self.sky.pixels, self.sky.pixels, bins), bool))
        return smoothed(self.sky, kaiser_squires(shear)[..., 0], self.width)


def inverse_variance(noise: Float[Array | np.ndarray, "n n bins"]) -> Float[Array, "n n bins"]:
    """1/σ² of noise maps, zero where nothing was observed.

    Raises:
        DataError: a deviation is not positive, or a bin was observed nowhere; looked at only outside `jit`.
    """
    if not isinstance(noise, Tracer):
        if not np.all(np.asarray(noise) > 0):
            raise DataError(
                "noise", expected="positive deviations", got="zero, negative or NaN", remedy="Mark unseen pixels by inf."
            )
        empty = np.flatnonzero(~np.isfinite(noise).any((0, 1)))
        if len(empty):
            raise DataError(
                "noise", expected="an observed pixel in each bin", got=f"none in bins {empty.tolist()}",
                remedy="Leave these bins out of shear and noise.",
            )  # fmt: skip
    return 1 / jnp.asarray(noise, jnp.float32) ** 2


def weighted(weight: Float[Array, "*n"], shear: Float[Array, "*n 2"]) -> Float[Array, "*n 2"]:
    """N⁻¹ γ, zero where the weight 1/σ² is, whatever the shear reads there."""
    return jnp.where(weight[..., None] > 0, weight[..., None] * shear, 0.0)


def check_observed(shear: Float[Array, "..."], observed: Bool[Array | np.ndarray, "n n bins"]) -> None:
    """Refuse shear of other pixels or bins than were observed, and observed values that no shear has.

    Raises:
        ShapeError: the shapes do not belong together.
        DataError: an observed shear is not finite or |γ| ≥ 1; looked at only outside `jit` and `vmap`.
    """
    shape = (*observed.shape, 2)
    if shear.shape != shape:
        raise ShapeError("shear", expected=f"shape {shape}, axes (y, x, bin, component)", got=tuple(shear.shape))
    if not isinstance(shear, Tracer) and not isinstance(observed, Tracer):
        check_shear(np.asarray(shear), np.asarray(observed))
