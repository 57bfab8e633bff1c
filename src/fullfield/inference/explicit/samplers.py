"""Markov chains through BlackJAX: NUTS, and microcanonical Langevin samplers without and with Metropolis adjustment.

All of them move in whitened coordinates, in which the target has about unit variance in every direction, so that their
metric is the identity. Each tunes its own step size while `tune` is called, and holds it when it is not.
"""

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import adjusted_mclmc, adjusted_mclmc_dynamic, hmc, mclmc, nuts
from blackjax.mcmc.integrators import esh_dynamics_momentum_update_one_step, IntegratorState
from jaxtyping import Array, Bool, Float, Int, Key

from fullfield._core import ConfigurationError, stream


AIM, ACCEPTED = 0.7, 0.85  # parts of the target that a step is chosen for and kept at, as a longer run scatters about it
AFTER_DIVERGENCE = 0.8  # part of the step size to go on with
REFUSED, DIVERGENT = 1e3, 5.0  # a step diverges whose squared energy error is so many targets, and whose error is so many nats
STEPS = (0.02, 0.8)  # radians: trajectories end, and are stable where curvatures are right to a factor of three
OUTSIDE = 1e3  # in units of the target's width
CAREFUL = 1e-5  # energy variance at most while coordinates are learnt, which larger steps distort

LogDensity = Callable[[Float[Array, " D"]], Float[Array, ""]]


class Transition(eqx.Module):
    """What one transition of a chain says of itself.

    Args:
        energy_error: change of the total energy, which an exact integrator would conserve.
        acceptance: probability of acceptance, one for an unadjusted step that stayed finite.
        divergent: whether the integrator left all bounds.
        gradients: evaluations of the gradient.
        energy: total energy, whose spread between draws E-BFMI reads; zero where the sampler has none.
    """

    energy_error: Float[Array, ""]
    acceptance: Float[Array, ""]
    divergent: Bool[Array, ""]
    gradients: Int[Array, ""]
    energy: Float[Array, ""]


class AbstractSampler(eqx.Module):
    """A Markov kernel in whitened coordinates with a step size that it can tune."""

    steps_per_draw: eqx.AbstractVar[int]

    def check(self, size: int) -> None:
        """Raise a ConfigurationError where the sampler cannot move in `size` dimensions."""
        del size

    @abc.abstractmethod
    def start(self, log_density: LogDensity, position: Float[Array, " D"], key: Key[Array, ""]) -> Any:
        """State of a chain at a point; it has a field `position` and a field `logdensity`. Costs one gradient."""

    @abc.abstractmethod
    def step(
        self, log_density: LogDensity, state: Any, step_size: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Any, Transition]:
        """One transition."""

    @abc.abstractmethod
    def first_step_size(self, size: int) -> float:
        """Step size to begin with in `size` dimensions."""

    @abc.abstractmethod
    def tuner(self, step_size: Float[Array, ""]) -> Any:
        """State of a tuner that starts from a step size."""

    @abc.abstractmethod
    def tune(self, tuner: Any, transition: Transition, step_size: Float[Array, ""], size: int) -> tuple[Any, Float[Array, ""]]:
        """Learn from one transition; returns the tuner and the step size to try next."""

    @abc.abstractmethod
    def tuned(self, tuner: Any, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """Step size that the tuner settles on."""

    def corrected(self, step_size: Float[Array, "*c"], energy_variance: Float[Array, ""]) -> Float[Array, "*c"]:
        """Step size after the energy variance per dimension was measured with `step_size` held: smaller where it missed."""
        del energy_variance
        return step_size


class MCLMC(AbstractSampler):
    """Microcanonical Langevin Monte Carlo, unadjusted: the least gradients per effective sample in many dimensions.

    Its bias is set by the variance of the energy error per dimension, which after tuning is measured and, where it misses the
    target, met by a smaller step: the tuner of the literature can miss by orders of magnitude without a word. Before, while the
    coordinates are learnt, the variance is 1e-5 at most, whatever the target.

    Args:
        energy_variance: target of the energy error's variance per dimension and step. Variances of a Gaussian in 2000
            dimensions come out 0.3 % too small at 1e-5 and 0.7 % at 6e-5.
        length: distance over which the momentum decoheres, in units of √D. Lensing maps of 32² x 5 gave the same
            effective samples per gradient at 1.6 and 2.5, a seventh less at 1 and two fifths less at 0.7.
        steps_per_draw: steps from one draw to the next that is kept.

    Source: Robnik, De Luca, Silverstein & Seljak 2023, JMLR 24, 311; Robnik & Seljak 2024, PMLR 253, 111; targets for fields:
    Simon-Onfroy, Lanusse & de Mattia 2025, arXiv:2504.20130.
    """

    energy_variance: float = eqx.field(static=True, default=1e-5)
    length: float = eqx.field(static=True, default=1.6)
    steps_per_draw: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        _check_positive(energy_variance=self.energy_variance, length=self.length, steps_per_draw=self.steps_per_draw)

    def check(self, size: int) -> None:
        """Raise a ConfigurationError in one dimension."""
        _check_directions("MCLMC", size)

    def start(self, log_density: LogDensity, position: Float[Array, " D"], key: Key[Array, ""]) -> Any:
        """State at a point with a random direction."""
        return mclmc.init(position, log_density, key)

    def step(
        self, log_density: LogDensity, state: Any, step_size: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Any, Transition]:
        """One step of the minimal-norm integrator between two partial refreshments of the direction: two gradients.

        A step whose squared energy error is a thousand times what it should be, and five nats squared at least, is not made,
        and counts as divergent: without a Metropolis test it would throw the chain where no short time leads back from.
        """
        length = jnp.asarray(self.length * state.position.size**0.5)
        most = max(REFUSED * self.energy_variance, DIVERGENT**2 / state.position.size)
        kernel = mclmc.build_kernel(minimal_norm, 1.0, most)
        new, info = _untyped(kernel)(key, state, log_density, 1.0, length, step_size)
        moved = jnp.any(new.position != state.position)
        error = jnp.where(moved, info.energy_change, jnp.inf)
        return new, Transition(error, moved.astype(float), ~moved, jnp.asarray(2), jnp.zeros(()))

    def first_step_size(self, size: int) -> float:
        """A tenth of the typical set's radius √D."""
        return 0.1 * size**0.5

    def tuner(self, step_size: Float[Array, ""]) -> Any:
        """Sums of weights and of error² / step⁶, both forgetting."""
        return jnp.zeros(()), jnp.zeros(())

    def tune(self, tuner: Any, transition: Transition, step_size: Float[Array, ""], size: int) -> tuple[Any, Float[Array, ""]]:
        """Aim at the target, or below, through Var ΔE ∝ step⁶, with errors of about the last thirty steps."""
        weight, mean = tuner
        rate = transition.energy_error**2 / (size * self.energy_variance * step_size**6)
        # A divergent step counts as one that missed a thousandfold.
        rate = jnp.where(jnp.isfinite(rate), rate, REFUSED / step_size**6)
        weight, mean = 0.97 * weight + 1, 0.97 * mean + rate
        careful = min(1.0, CAREFUL / self.energy_variance)
        aimed = (careful * weight / jnp.maximum(mean, 1e-30)) ** (1 / 6)
        return (weight, mean), jnp.clip(aimed, 0.7 * step_size, 1.1 * step_size)

    def tuned(self, tuner: Any, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """The step size that the last thirty steps would have met the target with, and a little less."""
        weight, mean = tuner
        return jnp.where(weight > 0, (AIM * weight / jnp.maximum(mean, 1e-30)) ** (1 / 6), step_size)

    def corrected(self, step_size: Float[Array, "*c"], energy_variance: Float[Array, ""]) -> Float[Array, "*c"]:
        """A smaller step where the measured variance misses the target, or only just meets it."""
        ratio = energy_variance / self.energy_variance
        factor = jnp.where(jnp.isfinite(ratio), (AIM / jnp.clip(ratio, ACCEPTED, REFUSED)) ** (1 / 6), AFTER_DIVERGENCE)
        return jnp.where(ratio <= ACCEPTED, step_size, step_size * factor)


class AbstractAdjusted(AbstractSampler):
    """A sampler whose step size follows the rate of acceptance, by dual averaging (Hoffman & Gelman 2014, JMLR 15, 1593)."""

    acceptance: eqx.AbstractVar[float]

    def __check_init__(self):
        _check_rate(self.acceptance)

    def tuner(self, step_size: Float[Array, ""]) -> Any:
        """State of the dual average."""
        return dual_averaging_adaptation(self.acceptance)[0](step_size)

    def tune(self, tuner: Any, transition: Transition, step_size: Float[Array, ""], size: int) -> tuple[Any, Float[Array, ""]]:
        """Move the logarithm of the step size by the acceptance missed."""
        tuner = dual_averaging_adaptation(self.acceptance)[1](tuner, transition.acceptance)
        return tuner, jnp.exp(tuner.log_step_size)

    def tuned(self, tuner: Any, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """Exponential of the averaged logarithm."""
        return jnp.where(tuner.step > 1, jnp.exp(tuner.log_step_size_avg), step_size)


class MAMS(AbstractAdjusted):
    """Metropolis-adjusted microcanonical sampler: unbiased, at several times the gradients of `MCLMC`.

    Args:
        acceptance: target of the acceptance rate.
        steps: mean number of integration steps between two draws of the direction.
        steps_per_draw: trajectories from one draw to the next that is kept.

    Source: Robnik, Cohn-Gordon & Seljak 2025, arXiv:2503.01707.
    """

    acceptance: float = eqx.field(static=True, default=0.9)
    steps: float = eqx.field(static=True, default=8.0)
    steps_per_draw: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        _check_positive(steps=self.steps, steps_per_draw=self.steps_per_draw)

    def check(self, size: int) -> None:
        """Raise a ConfigurationError in one dimension."""
        _check_directions("MAMS", size)

    def start(self, log_density: LogDensity, position: Float[Array, " D"], key: Key[Array, ""]) -> Any:
        """State at a point."""
        return adjusted_mclmc_dynamic.init(position, log_density, jnp.zeros((), jnp.uint32))

    def step(
        self, log_density: LogDensity, state: Any, step_size: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Any, Transition]:
        """One trajectory of a random number of steps of two gradients each, then acceptance or rejection."""
        spread = adjusted_mclmc.rescale(self.steps)
        count = lambda k: jnp.ceil(jax.random.uniform(k) * spread).astype(int)  # noqa: E731
        # The state would carry a key of its own; this one is derived from the step's, so that states are plain arrays.
        kernel = adjusted_mclmc_dynamic.build_kernel(
            count, minimal_norm, next_random_arg_fn=lambda _: jnp.zeros((), jnp.uint32)
        )
        state = state._replace(random_generator_arg=stream(key, "count"))
        state, info = _untyped(kernel)(key, state, log_density, step_size)
        error = -jnp.log(jnp.maximum(info.acceptance_rate, 1e-30))
        gradients = 2 * jnp.asarray(info.num_integration_steps)
        return state, Transition(error, info.acceptance_rate, info.is_divergent, gradients, jnp.zeros(()))

    def first_step_size(self, size: int) -> float:
        """A tenth of the typical set's radius √D."""
        return 0.1 * size**0.5


class NUTS(AbstractAdjusted):
    """No-U-turn sampler: unbiased, and known to everyone.

    Args:
        acceptance: target of the acceptance rate.
        doublings: most doublings of a trajectory.
        steps_per_draw: trajectories from one draw to the next that is kept.

    Source: Hoffman & Gelman 2014, JMLR 15, 1593; multinomial variant of Betancourt 2017, arXiv:1701.02434.
    """

    acceptance: float = eqx.field(static=True, default=0.8)
    doublings: int = eqx.field(static=True, default=10)
    steps_per_draw: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        _check_positive(doublings=self.doublings, steps_per_draw=self.steps_per_draw)

    def start(self, log_density: LogDensity, position: Float[Array, " D"], key: Key[Array, ""]) -> Any:
        """State at a point."""
        return nuts.init(position, log_density)

    def step(
        self, log_density: LogDensity, state: Any, step_size: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Any, Transition]:
        """One trajectory, doubled until it turns back."""
        metric = jnp.ones(state.position.size)
        state, info = _untyped(nuts.build_kernel())(key, state, log_density, step_size, metric, self.doublings)
        error = -jnp.log(jnp.maximum(info.acceptance_rate, 1e-30))
        gradients = jnp.asarray(info.num_integration_steps)
        return state, Transition(error, info.acceptance_rate, info.is_divergent, gradients, jnp.asarray(info.energy))

    def first_step_size(self, size: int) -> float:
        """Scales as D^(-1/4), Neal 2011 (Handbook of MCMC, chapter 5)."""
        return size**-0.25


class SplitHMC(AbstractSampler):
    """Hamiltonian sampler that turns exactly what is standard normal: for many directions of which data tell few.

    The quadratic part of a white target, ½|q|², moves along circles; steps between them kick by the rest. Their error is that
    of the rest alone, so that the step size does not fall with the number of dimensions, and a step costs one gradient.

    Args:
        acceptance: target of the acceptance rate.
        angle: of a trajectory on average, uniform between nothing and twice that; a quarter turn forgets its start.
        steps_per_draw: trajectories from one draw to the next that is kept.

    Source: Shahbaba, Lan, Johnson & Neal 2014, Stat. Comput. 24, 339; Beskos, Pinski, Sanz-Serna & Stuart 2011, Stoch. Process.
    Appl. 121, 2201.
    """

    acceptance: float = eqx.field(static=True, default=0.8)
    angle: float = eqx.field(static=True, default=math.pi / 2)
    steps_per_draw: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        _check_positive(angle=self.angle, steps_per_draw=self.steps_per_draw)
        _check_rate(self.acceptance)

    def start(self, log_density: LogDensity, position: Float[Array, " D"], key: Key[Array, ""]) -> Any:
        """State at a point."""
        return hmc.init(position, log_density)

    def step(
        self, log_density: LogDensity, state: Any, step_size: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Any, Transition]:
        """One trajectory of a random angle, then acceptance or rejection."""
        count = jnp.ceil(2 * self.angle * jax.random.uniform(stream(key, "angle")) / step_size).astype(int)
        kernel = _untyped(hmc.build_kernel(kick_and_turn))
        state, info = kernel(key, state, log_density, step_size, jnp.ones(state.position.size), count)
        error = -jnp.log(jnp.maximum(info.acceptance_rate, 1e-30))
        return state, Transition(error, info.acceptance_rate, info.is_divergent, count, jnp.asarray(info.energy))

    def first_step_size(self, size: int) -> float:
        """A fifth of a radian, in any number of dimensions."""
        return 0.2

    def tuner(self, step_size: Float[Array, ""]) -> Any:
        """Nothing but the step size."""
        return jnp.zeros(())

    def tune(self, tuner: Any, transition: Transition, step_size: Float[Array, ""], size: int) -> tuple[Any, Float[Array, ""]]:
        """Move the logarithm of the step size by a tenth of the acceptance missed, which forgets a bad start in a score."""
        moved = step_size * jnp.exp(0.1 * (transition.acceptance - self.acceptance))
        return tuner, jnp.clip(moved, *STEPS)

    def tuned(self, tuner: Any, step_size: Float[Array, ""]) -> Float[Array, ""]:
        """The last one."""
        return step_size


def kick_and_turn(logdensity_fn: LogDensity, kinetic_energy_fn: Any) -> Callable:
    """Half a kick by all of a density but the standard normal, a turn of position and momentum, and half a kick.

    A trajectory that leaves all bounds, where models refuse to be evaluated, ends there and is rejected.
    """

    def one_step(state, angle):
        momentum = state.momentum + angle / 2 * (state.logdensity_grad + state.position)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        position, momentum = cosine * state.position + sine * momentum, cosine * momentum - sine * state.position
        inside = jnp.isfinite(state.logdensity) & jnp.all(jnp.abs(position) < OUTSIDE)
        position = jnp.where(inside, position, state.position)
        value, slope = jax.value_and_grad(logdensity_fn)(position)
        inside = inside & jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
        value, slope = jnp.where(inside, value, -jnp.inf), jnp.where(inside, slope, 0.0)
        momentum = momentum + angle / 2 * (slope + position)
        return state._replace(position=position, momentum=momentum, logdensity=value, logdensity_grad=slope)

    return one_step


def _check_positive(**settings: float | int) -> None:
    for name, value in settings.items():
        if not value > 0:
            raise ConfigurationError(name, expected="a positive number", got=value)


def _check_rate(acceptance: float) -> None:
    if not 0 < acceptance < 1:
        raise ConfigurationError("acceptance", expected="a rate between 0 and 1", got=acceptance)


def _check_directions(name: str, size: int) -> None:
    # Of constant speed, the momentum has a direction alone, and on a line there is none to turn to.
    if size < 2:
        raise ConfigurationError(
            "sampler", expected="one that can move in a single dimension", got=f"{name}, which needs two directions at least",
            remedy="Take `sampler=NUTS()`.",
        )  # fmt: skip


def minimal_norm(logdensity_fn: LogDensity, inverse_mass_matrix: Any = 1.0) -> Callable:
    """BlackJAX's `isokinetic_mclachlan` with its two gradients in a loop, which halves the time to compile a field's.

    Source: McLachlan 1995, SIAM J. Sci. Comput. 16, 151.
    """
    turn = esh_dynamics_momentum_update_one_step(inverse_mass_matrix)
    outer = 0.1931833275037836

    def one_step(state, step_size):
        def half(carry, coefficient):
            state, kinetic = carry
            momentum, velocity, kinetic = turn(state.momentum, state.logdensity_grad, step_size, coefficient, kinetic)
            position = state.position + 0.5 * step_size * velocity
            return (IntegratorState(position, momentum, *jax.value_and_grad(logdensity_fn)(position)), kinetic), None

        coefficients = jnp.asarray([outer, 1 - 2 * outer])
        (state, kinetic), _ = jax.lax.scan(half, (state, jnp.zeros_like(state.logdensity)), coefficients)
        momentum, _, kinetic = turn(state.momentum, state.logdensity_grad, step_size, outer, kinetic)
        return state._replace(momentum=momentum), kinetic

    return one_step


def _untyped(kernel: Any) -> Any:
    """BlackJAX annotates traced scalars as Python numbers."""
    return kernel
