"""Leapfrog steps whose derivative runs them backward in time instead of remembering them."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.simulators.gravity.force import MeshForce
from fullfield.simulators.gravity.growth import Steps
from fullfield.simulators.gravity.lpt import Particles


class AbstractObserver(eqx.Module):
    """What is summed over the steps of an integration; without array fields."""

    @abc.abstractmethod
    def checked(self, steps: Steps) -> Steps:
        """The same steps, or an error where they do not suit the observer."""

    @abc.abstractmethod
    def empty(self) -> Float[Array, "..."]:
        """The sum over no steps."""

    @abc.abstractmethod
    def __call__(self, step: Steps, before: Particles, after: Particles) -> Float[Array, "..."]:
        """What one step adds."""


class Unobserved(AbstractObserver):
    """Nothing is summed."""

    def checked(self, steps: Steps) -> Steps:
        """All steps suit."""
        return steps

    def empty(self) -> Float[Array, ""]:
        """Zero."""
        return jnp.zeros(())

    def __call__(self, step: Steps, before: Particles, after: Particles) -> Float[Array, ""]:
        """Zero."""
        return jnp.zeros(())


def integrate(
    force: MeshForce, observer: AbstractObserver, particles: Particles, steps: Steps
) -> tuple[Particles, Float[Array, "..."]]:
    """Carry particles through all steps, each half a drift, a kick and half a drift.

    The derivative starts from the final particles, takes each step back with the force at the same place, which is the same
    but for rounding, and pulls the derivative through it: its memory does not depend on the number of steps, and its time is
    that of the forces and of their transposes. No step may have a `keep` near zero, which forgets the velocity.

    Args:
        force: the force.
        observer: what is summed over the steps.
        particles: at the start.
        steps: numbers of the steps.

    Returns:
        Particles at the end, and the observer's sum.
    """
    return _reversible(force, observer, particles, steps)


def _run(force, observer, particles, steps):

    def advance(carry, step):
        before, seen = carry
        middle = before.displacement + step.drift * before.velocity
        velocity = step.keep * before.velocity + step.kick * force(middle)
        after = Particles(middle + step.drift * velocity, velocity)
        return (after, seen + observer(step, before, after)), None

    last, _ = jax.lax.scan(advance, (particles, observer.empty()), steps)
    return last


def _forward(force, observer, particles, steps):
    after, seen = _run(force, observer, particles, steps)
    return (after, seen), (after, steps)


def _backward(force, observer, residuals, cotangents):
    last, steps = residuals
    of_last, of_seen = cotangents

    def retreat(carry, step):
        after, of_after = carry
        middle = after.displacement - step.drift * after.velocity
        pushed, pull = jax.vjp(force, middle)
        velocity = (after.velocity - step.kick * pushed) / step.keep
        before = Particles(middle - step.drift * velocity, velocity)

        _, pull_seen = jax.vjp(observer, step, before, after)
        of_step, of_before, of_after_seen = pull_seen(of_seen)
        of_after = jax.tree.map(jnp.add, of_after, of_after_seen)
        # Transposes of the three lines of `advance`, the last first.
        of_velocity = of_after.velocity + step.drift * of_after.displacement
        (of_middle,) = pull(step.kick * of_velocity)
        of_middle = of_middle + of_after.displacement
        of_step = eqx.tree_at(
            lambda step: (step.drift, step.keep, step.kick),
            of_step,
            (
                of_step.drift + _inner(of_after.displacement, after.velocity) + _inner(of_middle, velocity),
                of_step.keep + _inner(of_velocity, velocity),
                of_step.kick + _inner(of_velocity, pushed),
            ),
        )
        of_before = Particles(
            of_before.displacement + of_middle,
            of_before.velocity + step.keep * of_velocity + step.drift * of_middle,
        )
        return (before, of_before), of_step

    (_, of_first), of_steps = jax.lax.scan(retreat, (last, of_last), steps, reverse=True)
    return of_first, of_steps


def _inner(first, second):
    return jnp.vdot(first, second, precision="highest")


_reversible = jax.custom_vjp(_run, nondiff_argnums=(0, 1))
_reversible.defvjp(_forward, _backward)
