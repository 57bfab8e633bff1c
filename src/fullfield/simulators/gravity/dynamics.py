"""Which matter an observer sees on the light cone: what all dynamics do, and perturbation theory alone."""

import abc
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology
from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.checks import finite
from fullfield.simulators.gravity.growth import growth_steps
from fullfield.simulators.gravity.lightcone import LightCone
from fullfield.simulators.gravity.lpt import displacements, growth_of_orders


class AbstractDynamics(eqx.Module):
    """From the linear modes of a box to the planes of a light cone."""

    box: eqx.AbstractVar[Box]

    @abc.abstractmethod
    def planes(self, cosmology: Cosmology, modes: Complex[Array, "*modes"], cone: LightCone) -> Float[Array, "*across planes"]:
        """Density contrast (*across, planes) of the planes.

        Raises:
            ConfigurationError: the cone is of another box, or begins before the scale factors or has too few copies of the box
                for a step; the last two are equinox's runtime error under `jit`.
            DataError: a displacement is not finite; likewise.
        """


class Perturbed(AbstractDynamics):
    """Lagrangian perturbation theory alone: particles go where it has them when light leaves them.

    Args:
        box: the box.
        scale_factors: between which particles move on parabolas, increasing, to 1.
        order: 1, straight lines (Zel'dovich 1970), or 2.

    Raises:
        ConfigurationError: another order, or other scale factors.
    """

    box: Box
    scale_factors: tuple[float, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        a = self.scale_factors
        if not (len(a) > 1 and a[0] >= 1e-3 and a[-1] == 1 and all(x < y for x, y in itertools.pairwise(a))):
            raise ConfigurationError("scale_factors", expected="at least two that increase to 1", got=a)
        if self.order not in (1, 2):
            raise ConfigurationError("order", expected="1 or 2", got=self.order)

    def planes(self, cosmology: Cosmology, modes: Complex[Array, "*modes"], cone: LightCone) -> Float[Array, "*across planes"]:
        """Density contrast (*across, planes) of the planes."""
        a = jnp.asarray(self.scale_factors, float)
        steps = cone.of_box(self.box).checked(growth_steps(cosmology, a))
        growth = growth_of_orders(cosmology, a)
        first, second = displacements(self.box, modes, self.order)
        first = finite(first, first)

        @jax.checkpoint
        def seen(counts, at):
            step, start, end = at
            return counts + cone(step, start.particles(first, second), end.particles(first, second)), None

        ends = (jax.tree.map(lambda x: x[:-1], growth), jax.tree.map(lambda x: x[1:], growth))
        counts, _ = jax.lax.scan(seen, cone.empty(), (steps, *ends))
        return cone.contrast(counts)
