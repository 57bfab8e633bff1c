"""Densities as images between -1 and 1 and back, without a value lost on either way."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, DataError, ShapeError


class LogScale(eqx.Module):
    """v' = [2 ln(v + c) - (a + b)] / (b - a), a = ln(least + c), b = ln(most + c), and its inverse.

    Equations 1 (c = 0, from .01 to 600) and 2 (c = .001, from zero to 2632) of Ullmo, Decelle & Aghanim 2021 (A&A 651, A46).
    Densities below c are hard to tell from zero afterwards.

    Args:
        least: density that becomes -1.
        most: density that becomes 1.
        offset: c, which lets a density be zero.

    Raises:
        ConfigurationError: not 0 <= least < most, or nothing is added to a least density of zero.
    """

    least: float = eqx.field(static=True)
    most: float = eqx.field(static=True)
    offset: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        if not (0 <= self.least < self.most < math.inf and self.offset >= 0):
            raise ConfigurationError(
                "least, most, offset", expected="0 <= least < most, and an offset of at least zero",
                got=(self.least, self.most, self.offset),
            )  # fmt: skip
        if self.least + self.offset == 0:
            raise ConfigurationError(
                "offset", expected="more than zero, as densities from zero have no logarithm", got=self.offset,
                remedy="Choose a small share of the mean density, such as .001.",
            )  # fmt: skip

    def __call__(self, density: Float[Array | np.ndarray, "*n y x"]) -> Float[Array, "*n y x"]:
        """Images of densities.

        Raises:
            ShapeError: they are not square.
            DataError: a density is not finite or lies outside least to most; looked at only outside `jit`.
        """
        if density.shape[-1] != density.shape[-2]:
            raise ShapeError("density", expected="square images", got=density.shape)
        if not isinstance(density, Tracer):
            self._check("density", density, self.least, self.most)
        low, high = self._ends
        return (2 * jnp.log(jnp.asarray(density) + self.offset) - (low + high)) / (high - low)

    def inverse(self, image: Float[Array | np.ndarray, "*n y x"]) -> Float[Array, "*n y x"]:
        """Densities of images.

        Raises:
            DataError: a number is not finite or lies outside -1 to 1 by more than rounding; looked at only outside `jit`.
        """
        if not isinstance(image, Tracer):
            self._check("image", image, -1.0, 1.0)
        low, high = self._ends
        return jnp.exp((jnp.asarray(image) * (high - low) + low + high) / 2) - self.offset

    @property
    def _ends(self):
        return math.log(self.least + self.offset), math.log(self.most + self.offset)

    def _check(self, name, values, least, most):
        values = np.asarray(values)
        slack = 1e-5 * (1 if least < 0 else most)
        outside = ~((values >= least - (slack if least < 0 else 0)) & (values <= most + slack))
        if outside.any():
            empty = int(np.sum(values == 0)) if least > 0 else 0
            raise DataError(
                name, expected=f"numbers from {least:g} to {most:g}",
                got=f"{outside.sum()} of {outside.size} outside or not finite, of {values.min():g} to {values.max():g}"
                + (f", {empty} of them empty" if empty else ""),
                remedy="Give empty pixels an offset." if empty else "Widen the range; nothing is clipped.",
            )  # fmt: skip
