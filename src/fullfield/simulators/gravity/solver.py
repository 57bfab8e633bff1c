"""The particle mesh: particles of a box through time, at the end, at times between, and on the light cone."""

import itertools
from collections.abc import Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fullfield._core import ConfigurationError, ShapeError
from fullfield.cosmology import Cosmology
from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.checks import finite
from fullfield.simulators.gravity.dynamics import AbstractDynamics
from fullfield.simulators.gravity.force import MeshForce
from fullfield.simulators.gravity.growth import growth_steps, Steps
from fullfield.simulators.gravity.integrate import integrate, Unobserved
from fullfield.simulators.gravity.lightcone import LightCone
from fullfield.simulators.gravity.lpt import Particles, perturbed
from fullfield.simulators.gravity.mesh import paint


_FORGETFUL = 0.1  # share of the velocity that a reversible step keeps at least


class ParticleMesh(AbstractDynamics):
    """Particle mesh with BullFrog steps (Rampf, List & Hahn 2024, arXiv:2409.19049) between given scale factors.

    Its gradients, in the particles as in the cosmology, are those of the steps taken back in time: they need no more memory for
    more steps.

    Args:
        box: the box.
        scale_factors: ends of the steps, increasing; the first is that of the initial conditions.

    Raises:
        ConfigurationError: scale factors that do not increase or lie outside 0.001 to 1, or a step that cannot be reversed.
    """

    box: Box
    scale_factors: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, box: Box, scale_factors: Iterable[float]):
        self.box, self.scale_factors = box, tuple(float(a) for a in scale_factors)
        a = np.asarray(self.scale_factors)
        if a.ndim != 1 or a.size < 2 or not (a[0] >= 1e-3 and a[-1] <= 1 and np.all(np.diff(a) > 0)):
            raise ConfigurationError(
                "scale_factors", expected="at least two that increase, between 0.001 and 1", got=self.scale_factors
            )
        for start, end in itertools.pairwise(a):
            # In a universe of matter, where D = a and E = −3/7 a².
            middle = (start + end) / 2
            force = -3 / 7 * start * end / middle - middle
            if abs((6 / 7 * end + force) / (6 / 7 * start + force)) < _FORGETFUL:
                raise ConfigurationError(
                    "scale_factors",
                    expected="steps that keep a tenth of the velocity, so that they can be reversed",
                    got=f"one from {start:g} to {end:g}",
                    remedy="Begin with a step no longer than the first scale factor.",
                )

    def evolve(self, cosmology: Cosmology, particles: Particles) -> Particles:
        """Carry particles from the first scale factor to the last.

        Raises:
            ShapeError: the particles are not those of the box.
            DataError: a displacement at the start or at the end is not finite; under `jit` it is equinox's runtime error.
        """
        return self._integrated(cosmology, particles, Unobserved())[0]

    def snapshots(self, cosmology: Cosmology, particles: Particles, every: int = 1) -> Particles:
        """Particles after each `every`-th step, with a leading axis of outputs. The gradient keeps the outputs, not the steps.

        Raises:
            ConfigurationError: `every` does not divide the number of steps.
            ShapeError: the particles are not those of the box.
            DataError: a displacement at the start or at the end is not finite; under `jit` it is equinox's runtime error.
        """
        count = len(self.scale_factors) - 1
        if every < 1 or count % every:
            raise ConfigurationError("every", expected=f"a divisor of the {count} steps", got=every)
        steps = jax.tree.map(lambda x: x.reshape(-1, every), self.steps(cosmology))

        def advance(before, steps):
            after, _ = integrate(MeshForce(self.box), Unobserved(), before, steps)
            return after, after

        outputs = jax.lax.scan(advance, self._checked(particles), steps)[1]
        return finite(outputs.displacement, outputs)

    def on_lightcone(
        self, cosmology: Cosmology, particles: Particles, cone: LightCone
    ) -> tuple[Particles, Float[Array, "*across planes"]]:
        """Carry particles to today and see them where each crosses the past light cone of an observer.

        Returns:
            Particles today, and the density contrast (*across, planes) of the cone's planes.

        Raises:
            ConfigurationError: the steps do not end today, or the cone is not of this box, begins before the steps or has too
                few copies of the box for a step; the last two are equinox's runtime error under `jit`.
            ShapeError: the particles are not those of the box.
            DataError: a displacement at the start or at the end is not finite; likewise.
        """
        cone = cone.of_box(self.box)
        if self.scale_factors[-1] != 1:
            raise ConfigurationError("scale_factors", expected="steps that end today, at 1", got=self.scale_factors[-1])
        particles, counts = self._integrated(cosmology, particles, cone)
        return particles, cone.contrast(counts)

    def planes(self, cosmology: Cosmology, modes: Complex[Array, "*modes"], cone: LightCone) -> Float[Array, "*across planes"]:
        """Density contrast (*across, planes) of the planes, of particles that begin by perturbation theory of second order."""
        start = perturbed(self.box, cosmology, modes, self.scale_factors[0])
        return self.on_lightcone(cosmology, start, cone)[1]

    def steps(self, cosmology: Cosmology) -> Steps:
        """Numbers of the steps."""
        return growth_steps(cosmology, jnp.asarray(self.scale_factors, float))

    def _integrated(self, cosmology, particles, observer):
        steps = observer.checked(self.steps(cosmology))
        particles, seen = integrate(MeshForce(self.box), observer, self._checked(particles), steps)
        return finite(particles.displacement, particles), seen

    def _checked(self, particles):
        expected = (self.box.dimensions, *self.box.shape)
        if particles.displacement.shape != expected or particles.velocity.shape != expected:
            raise ShapeError("particles", expected=str(expected), got=particles.displacement.shape)
        return finite(particles.displacement, particles)


def density(box: Box, displacement: Float[Array, "d *shape"]) -> Float[Array, "*shape"]:
    """Density over its mean, by clouds in cells, on a mesh whose points lie half a cell before the particles of their index."""
    return paint(box.shape, 1, displacement / box.cell + 0.5, jnp.ones((1,) * box.dimensions))
