"""A periodic box: its lattice of particles and its wavenumbers."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError


class Box(eqx.Module):
    """Periodic box of two or three dimensions with one particle per cell of a cubic lattice.

    The last axis is the line of sight. In two dimensions it stands for a universe in which nothing varies along the third.

    Args:
        shape: particles along each axis, even numbers.
        cell: their distance, Mpc/h.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cell: float = eqx.field(static=True)

    def __check_init__(self):
        if len(self.shape) not in (2, 3) or any(points < 4 or points % 2 for points in self.shape):
            raise ConfigurationError("shape", expected="two or three even numbers of at least 4", got=self.shape)
        if not (self.cell > 0 and math.isfinite(self.cell)):
            raise ConfigurationError("cell", expected="a positive length in Mpc/h", got=self.cell)

    @property
    def dimensions(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def sides(self) -> tuple[float, ...]:
        """Length of each side, Mpc/h."""
        return tuple(points * self.cell for points in self.shape)

    @property
    def volume(self) -> float:
        """Product of the sides, (Mpc/h)^d."""
        return math.prod(self.sides)

    def wavenumbers(self) -> list[Float[Array, "..."]]:
        """Components of k, h/Mpc, of the modes of a real transform, each of a shape that broadcasts over the modes."""
        axes = [np.fft.fftfreq(points) for points in self.shape[:-1]] + [np.fft.rfftfreq(self.shape[-1])]
        shapes = np.eye(self.dimensions, dtype=int) * (-2) + 1  # one along all axes but the own, -1
        return [
            jnp.asarray(2 * np.pi / self.cell * axis.reshape(shape), float) for axis, shape in zip(axes, shapes, strict=True)
        ]

    def derivatives(self) -> list[Float[Array, "..."]]:
        """The same with zero at the Nyquist frequency, where a real field has no derivative."""
        return [jnp.where(jnp.abs(k) * self.cell > 3.1415, 0.0, k) for k in self.wavenumbers()]

    def inverse_square(self) -> Float[Array, "*modes"]:
        """1 / k² of each mode, zero at k = 0."""
        square = sum(k**2 for k in self.wavenumbers())
        return jnp.where(square > 0, 1 / jnp.where(square > 0, square, 1.0), 0.0)
