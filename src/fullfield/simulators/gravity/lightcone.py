"""The past light cone: where particles are when light leaves them that an observer sees today.

The observer stands at the near face of the box and looks along the last axis; lines of sight are parallel, and the box and
shifted copies of it, one behind the other, fill the depth. Each particle of each copy crosses the cone once. Within a step it
moves on the parabola of its two velocities, ψ(t) = ψ₀ + ΔD [t v₀ + ½ t² (v₁ − v₀)], 0 ≤ t ≤ 1, which ends where the step does,
and the distance of the cone falls on a cubic with the exact slopes at both ends; where the two meet the particle is painted
into planes.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError
from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.checks import unless
from fullfield.simulators.gravity.growth import Steps
from fullfield.simulators.gravity.integrate import AbstractObserver
from fullfield.simulators.gravity.lpt import Particles
from fullfield.simulators.gravity.mesh import paint


_SHIFTS = (0.7548776662466927, 0.5698402909980532)  # Roberts' R2 sequence, 1/ρ and 1/ρ² with ρ³ = ρ + 1
_ROUNDS = 3  # each reduces the error of the place by the speed over that of light


class LightCone(AbstractObserver):
    """Planes of matter on the light cone, of equal depth from the observer to `distance`.

    Particles are shared between neighbouring planes, and between cells across, by clouds in cells: planes change continuously
    with cosmology and initial conditions. Copy m of the box is shifted across by m times an irrational share of its sides, and
    every second one has its axes across exchanged where they are equal.

    Args:
        box: the box.
        distance: comoving distance of the far side of the last plane, Mpc/h.
        planes: their number.
        copies: of the box that a single step may see, at most.

    Raises:
        ConfigurationError: planes thinner than the distance of particles, or a box too small for its copies.
    """

    box: Box
    distance: float = eqx.field(static=True)
    planes: int = eqx.field(static=True)
    copies: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if not (self.distance > 0 and math.isfinite(self.distance)):
            raise ConfigurationError("distance", expected="a positive length in Mpc/h", got=self.distance)
        if self.planes < 1 or self.copies < 1:
            raise ConfigurationError("planes, copies", expected="at least one", got=(self.planes, self.copies))
        if self.thickness < self.box.cell:
            raise ConfigurationError(
                "planes",
                expected=f"at most {int(self.distance / self.box.cell)}, which are no thinner than particles are apart",
                got=self.planes,
                remedy="Ask for fewer planes, or take more particles.",
            )

    @property
    def thickness(self) -> float:
        """Depth of a plane, Mpc/h."""
        return self.distance / self.planes

    @property
    def distances(self) -> tuple[float, ...]:
        """Comoving distance of the middle of each plane, Mpc/h."""
        return tuple((plane + 0.5) * self.thickness for plane in range(self.planes))

    def of_box(self, box: Box) -> "LightCone":
        """The same light cone, if it is of this box.

        Raises:
            ConfigurationError: it is not.
        """
        if box != self.box:
            raise ConfigurationError("cone", expected=f"a light cone in {box}", got=str(self.box))
        return self

    def checked(self, steps: Steps) -> Steps:
        """The same steps, if they reach as far as the cone and none sees more of the box than its copies."""
        end, side = self.distance + self.thickness / 2, self.box.sides[-1]
        late = ConfigurationError(
            "distance",
            expected="a light cone that ends, half a plane included, where light left at the first scale factor or nearer",
            got=f"{self.distance:g} Mpc/h",
            remedy="Begin the steps earlier, or end the cone nearer.",
        )
        small = ConfigurationError(
            "box",
            expected=f"all that the light cone crosses in a step to fit {self.copies} times its depth",
            got=f"a depth of {side:g} Mpc/h",
            remedy="Take more or shorter steps, a deeper box, or allow more copies.",
        )
        steps = unless(steps.far[0] < end, late, steps)
        return unless(jnp.any(jnp.minimum(steps.far, end) - steps.near > self.copies * side), small, steps)

    def empty(self) -> Float[Array, "*across planes"]:
        """No particles."""
        return jnp.zeros((*self.box.shape[:-1], self.planes))

    def __call__(self, step: Steps, before: Particles, after: Particles) -> Float[Array, "*across planes"]:
        """Particles that cross the cone in one step, in each cell of each plane."""
        depth = self._lattice(-1)
        first, last = depth + before.displacement[-1], depth + after.displacement[-1]
        nearest = jnp.ceil((step.near - last) / self.box.sides[-1])

        # One copy after the other, and nothing kept of it: the gradient's memory is that of one.
        @jax.checkpoint
        def add(counts, i):
            return counts + self._copy(step, before, after, first, last, nearest + i), None

        return jax.lax.scan(add, self.empty(), jnp.arange(self.copies, dtype=nearest.dtype))[0]

    def contrast(self, counts: Float[Array, "*across planes"]) -> Float[Array, "*across planes"]:
        """Density contrast of planes with so many particles."""
        return counts * (self.box.cell / self.thickness) - 1

    def _copy(self, step, before, after, first, last, copy):
        ahead = copy * self.box.sides[-1]
        # What is more than half a plane behind the last one shares nothing with it.
        reached = step.near < self.distance + self.thickness / 2
        crossed = (first + ahead < step.far) & (last + ahead >= step.near) & reached
        arguments = step, before, after, (first + last) / 2, copy, crossed
        return jax.lax.cond(jnp.any(crossed), self._painted, lambda *_: self.empty(), *arguments)

    def _painted(self, step, before, after, middle, copy, crossed):
        ahead = copy * self.box.sides[-1]
        gained = after.velocity - before.velocity
        thickness = step.far - step.near

        def moved(share, axis):
            path = 2 * step.drift * share * (before.velocity[axis] + share / 2 * gained[axis])
            return before.displacement[axis] + path

        # Particles that do not cross, which may be anywhere, get a place between, where all is finite.
        where = jnp.where(crossed, middle + ahead, (step.far + step.near) / 2)
        share = jnp.zeros_like(where)
        for _ in range(_ROUNDS):
            share = _share_of_step(step, (where - step.near) / thickness)
            where = jnp.where(crossed, self._lattice(-1) + moved(share, -1) + ahead, where)
        across = [self._lattice(axis) + moved(share, axis) for axis in range(self.box.dimensions - 1)]
        if self.box.dimensions == 3 and self.box.shape[0] == self.box.shape[1]:
            odd = copy % 2 == 1
            across = [jnp.where(odd, across[1], across[0]), jnp.where(odd, across[0], across[1])]
        sides = self.box.sides
        across = [
            (at + (copy * shift) % 1 * side) / self.box.cell for at, shift, side in zip(across, _SHIFTS, sides, strict=False)
        ]
        # Half a plane at the near end goes to the first plane alone, and what is behind the last one to one more.
        along = jnp.clip(where / self.thickness - 0.5, 0, self.planes)
        shape = (*self.box.shape[:-1], self.planes + 1)
        return paint(shape, 0, jnp.stack([*across, along]), crossed.astype(where.dtype))[..., :-1]

    def _lattice(self, axis):
        points = self.box.shape[axis]
        shape = [1] * self.box.dimensions
        shape[axis] = points
        return self.box.cell * (jnp.arange(points) + 0.5).reshape(shape)


def enough_copies(box: Box, longest: float) -> int:
    """Copies of the box that a step of so many Mpc/h of the light cone may see."""
    return math.ceil(longest / box.sides[-1]) + 1


def _share_of_step(step, u):
    """Share t of the step in D at share u of its depth: Hermite's cubic with t = 1 at u = 0 and t = 0 at u = 1."""
    return (1 - u) ** 2 * (1 + 2 * u + step.slope_near * u) - step.slope_far * u**2 * (1 - u)
