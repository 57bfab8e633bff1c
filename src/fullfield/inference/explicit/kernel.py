"""Stretches of a chain in white coordinates, with the sums that tuning and reports need."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from fullfield.inference.explicit.samplers import AbstractSampler, LogDensity, Transition


class Totals(eqx.Module):
    """Sums over transitions.

    Args:
        transitions: number of transitions.
        squared_error: of squared energy errors.
        acceptance: of acceptance probabilities.
        divergent: of divergences.
        gradients: of gradients.
    """

    transitions: Float[Array, "..."]
    squared_error: Float[Array, "..."]
    acceptance: Float[Array, "..."]
    divergent: Float[Array, "..."]
    gradients: Float[Array, "..."]

    @classmethod
    def zero(cls, shape: tuple[int, ...] = ()) -> "Totals":
        """Nothing yet."""
        return cls(*(jnp.zeros(shape) for _ in range(5)))

    def __add__(self, other: "Totals | Transition") -> "Totals":
        if isinstance(other, Transition):
            finite = jnp.where(jnp.isfinite(other.energy_error), other.energy_error, 0.0)
            parts = (1.0, finite**2, other.acceptance, other.divergent, other.gradients)
            other = Totals(*(jnp.asarray(part, float) for part in parts))
        return jax.tree.map(jnp.add, self, other)


class Walker(eqx.Module):
    """A chain between two transitions: the sampler's state, its tuner and its step size."""

    state: Any
    tuner: Any
    step_size: Float[Array, "..."]


def begin(
    sampler: AbstractSampler,
    position: Float[Array, " D"],
    value: Float[Array, ""],
    gradient: Float[Array, " D"],
    step_size: Float[Array, ""],
    key: Key[Array, ""],
) -> Walker:
    """Chain at a point whose log density and gradient are known."""

    def plane(q):
        # A function with this value and this gradient: the sampler's own start would compile the target once more.
        return value + jnp.sum(gradient * (q - position))

    walker = Walker(sampler.start(plane, position, key), sampler.tuner(step_size), step_size)
    # Numbers that came from Python are of a weaker type than what steps return: every block would compile once more for each.
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.result_type(leaf)), walker)


def walk(
    sampler: AbstractSampler,
    log_density: LogDensity,
    walker: Walker,
    key: Key[Array, ""],
    steps: int,
    tune: Bool[Array, ""],
) -> tuple[Walker, Totals, Float[Array, ""]]:
    """Make some transitions, tuning the step size if told to; returns the last total energy too."""

    def transition(carry, k):
        walker, totals, _ = carry
        state, info = sampler.step(log_density, walker.state, walker.step_size, k)
        tuner, step_size = sampler.tune(walker.tuner, info, walker.step_size, state.position.size)
        learnt = Walker(state, tuner, step_size)
        held = Walker(state, walker.tuner, walker.step_size)
        return (jax.tree.map(lambda new, old: jnp.where(tune, new, old), learnt, held), totals + info, info.energy), None

    start = (walker, Totals.zero(), jnp.zeros(()))
    (walker, totals, energy), _ = jax.lax.scan(transition, start, jax.random.split(key, steps))
    return walker, totals, energy


def settled(sampler: AbstractSampler, walker: Walker) -> Float[Array, ""]:
    """One step size for all chains: the geometric mean of what each was tuned to."""
    tuned = jax.vmap(sampler.tuned)(walker.tuner, walker.step_size)
    return jnp.exp(jnp.mean(jnp.log(tuned)))


def energy_variance(totals: Totals, size: int) -> Float[Array, ""]:
    """Mean squared energy error per dimension of the steps that all chains made, the divergent ones left out."""
    made = jnp.sum(totals.transitions) - jnp.sum(totals.divergent)
    return jnp.where(made > 0, jnp.sum(totals.squared_error) / jnp.maximum(made, 1) / size, jnp.inf)


def tuning_variance(totals: Totals, size: int) -> Float[Array, ""]:
    """The same for whoever tunes: infinite where a step left all bounds."""
    return jnp.where(jnp.sum(totals.divergent) > 0, jnp.inf, energy_variance(totals, size))
