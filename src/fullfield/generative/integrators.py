"""Few-step integrators of a flow dy/dt = v(t, y) between times 0 and 1, inside a compiled and differentiated program.

Steps are written out one after the other: inside a compiled loop XLA's convolutions on a CPU are several times slower. Time and
memory of a gradient, and time to compile, grow with the number of evaluations.
"""

import abc
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.datasets.simulations import check_positive


Rate = Callable[[Float[Array, ""], Any], Any]
"""`(t, y) -> dy/dt`, of arrays or of pytrees of them."""


class AbstractIntegrator(eqx.Module):
    """A one-step method with even steps."""

    steps: eqx.AbstractVar[int]

    @abc.abstractmethod
    def step(self, rate: Rate, t: Float[Array, ""], h: Float[Array, ""], y: Any) -> Any:
        """y at t + h."""

    def solve(self, rate: Rate, y: Any, *, backwards: bool = False) -> Any:
        """y at the other end: from time 0 to 1, or back."""
        times = np.linspace(0.0, 1.0, self.steps + 1)[:: -1 if backwards else 1]
        for start, end in itertools.pairwise(times):
            y = self.step(rate, jnp.asarray(start, jnp.float32), jnp.asarray(end - start, jnp.float32), y)
        return y


class Euler(AbstractIntegrator):
    """First order, one evaluation a step.

    Args:
        steps: number of steps.
    """

    steps: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        check_positive(steps=self.steps)

    def step(self, rate: Rate, t: Float[Array, ""], h: Float[Array, ""], y: Any) -> Any:
        """Along the slope at the start."""
        return _moved(y, h, rate(t, y))


class Midpoint(AbstractIntegrator):
    """Second order, two evaluations a step.

    Args:
        steps: number of steps.
    """

    steps: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        check_positive(steps=self.steps)

    def step(self, rate: Rate, t: Float[Array, ""], h: Float[Array, ""], y: Any) -> Any:
        """Along the slope halfway."""
        return _moved(y, h, rate(t + h / 2, _moved(y, h / 2, rate(t, y))))


class RungeKutta(AbstractIntegrator):
    """Fourth order, four evaluations a step: to see what the others miss.

    Args:
        steps: number of steps.
    """

    steps: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        check_positive(steps=self.steps)

    def step(self, rate: Rate, t: Float[Array, ""], h: Float[Array, ""], y: Any) -> Any:
        """Along Kutta's mean of four slopes."""
        first = rate(t, y)
        second = rate(t + h / 2, _moved(y, h / 2, first))
        third = rate(t + h / 2, _moved(y, h / 2, second))
        fourth = rate(t + h, _moved(y, h, third))
        return _moved(y, h / 6, jax.tree.map(lambda a, b, c, d: a + 2 * b + 2 * c + d, first, second, third, fourth))


def _moved(y, h, slope):
    return jax.tree.map(lambda a, b: a + h * b, y, slope)
