"""Draws from the joint posterior that a denoiser has learnt, of parameters, of maps, or of both.

The way is either one, from noise at equal times, or two: the parameters alone, and the map given each. Both end in the same
posterior if the denoiser is exact; the second asks less of it, for the parameters are then read off the observation and not
off maps that are still half noise.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.fields import AbstractMassPosterior
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver
from fullfield.parameters import ParameterSpace


ALONE = 50  # evaluations for parameters alone, which cost next to nothing


class JointPosterior(eqx.Module):
    """Posterior of parameters and maps given an observation; of a denoiser trained without observations, their prior.

    Args:
        parameters: the parameters.
        denoiser: the trained denoiser.
        see: observation to `Condition`.
        solver: of the field's flow, or of both together, for which `DPMSolver` is the safer one.
        together: whether parameters and field go one way at equal times; else the parameters go first, alone, and the field
            after them, given each.
    """

    parameters: ParameterSpace
    denoiser: JointDenoiser
    see: Callable[..., Condition]
    solver: AbstractSolver = Adams(16)
    together: bool = eqx.field(static=True, default=False)

    def sample(
        self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int
    ) -> tuple[Float[Array, "n p"], Float[Array, "n m m bins"]]:
        """Draw parameters (n, p) with a map (m, m, bins) to each."""
        return self.draw(key, _seen(self.see, jnp.asarray(observation)), n)

    def draw(self, key: Key[Array, ""], condition: Condition, n: int) -> tuple[Float[Array, "n p"], Float[Array, "n m m bins"]]:
        """The same of what was seen of an observation."""
        if not self.together:
            u = self._alone(key, condition, n)
            return _physical(self, u, self._given(key, condition, u), condition)
        noise = jax.random.normal(stream(key, "parameters"), (n, self.parameters.size)), self._white(key, n)
        u, v = _solve(self.solver, _Together(self.denoiser, condition), noise)
        return _physical(self, u, v, condition)

    def draw_parameters(self, key: Key[Array, ""], condition: Condition, n: int) -> Float[Array, "n p"]:
        """Draw parameters (n, p) alone, which costs no map."""
        return _constrained(self, self._alone(key, condition, n), condition)

    def draw_maps(self, key: Key[Array, ""], condition: Condition, theta: Float[Array, "n p"]) -> Float[Array, "n m m bins"]:
        """Draw one map (m, m, bins) for each of some parameters (n, p)."""
        u = _whitened(self, theta, condition)
        return _physical(self, u, self._given(key, condition, u), condition)[1]

    def _alone(self, key, condition, n):
        noise = jax.random.normal(stream(key, "parameters"), (n, self.parameters.size))
        return _solve(DPMSolver(ALONE), _Alone(self.denoiser, condition), noise)

    def _given(self, key, condition, u):
        return _solve(self.solver, _Given(self.denoiser, condition, u), self._white(key, len(u)))

    def _white(self, key, n):
        rings = self.denoiser.coordinates.rings
        bins = paramax.unwrap(rings.scale).shape[1]
        return jax.random.normal(stream(key, "field"), (n, rings.pixels, rings.pixels, bins))


class DiffusionMassMap(AbstractMassPosterior):
    """The maps of a joint posterior of shear, behind the interface of all mass maps.

    Args:
        posterior: that was trained on shear.
        draws: of which the mean is taken; an error of one part in the root of them.
        key: of these draws.
    """

    posterior: JointPosterior
    draws: int = eqx.field(static=True, default=100)
    key: Key[Array, ""] = eqx.field(default_factory=lambda: jax.random.key(0))

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Mean of the draws."""
        return jnp.mean(self.sample(self.key, shear, self.draws), axis=0)

    def sample(self, key: Key[Array, ""], shear: Float[Array, "n n bins 2"], n: int) -> Float[Array, "draws n n bins"]:
        """Draw `n` sets of convergence maps, each with parameters of its own."""
        return self.posterior.sample(key, shear, n)[1]


def _solve(solver, path, noise):
    advance = lambda x, memory, ends: _advance(solver, path, x, memory, ends)  # noqa: E731
    return solver.solve(advance, lambda x, t: _denoised(path, x, t), noise)


class _Together(eqx.Module):
    denoiser: JointDenoiser
    condition: Condition

    def __call__(self, x, t):
        return jax.vmap(lambda u, v: self.denoiser(u, v, (t, t), self.condition))(*x)


class _Alone(eqx.Module):
    denoiser: JointDenoiser
    condition: Condition

    def __call__(self, x, t):
        return jax.vmap(lambda u: self.denoiser.parameters(u, t, self.condition))(x)


class _Given(eqx.Module):
    denoiser: JointDenoiser
    condition: Condition
    u: Float[Array, "n p"]

    def __call__(self, x, t):
        return jax.vmap(lambda u, v: self.denoiser(u, v, (jnp.ones(()), t), self.condition)[1])(self.u, x)


@eqx.filter_jit
def _advance(solver, path, x, memory, ends):
    return solver.step(paramax.unwrap(path), x, memory, ends)


@eqx.filter_jit
def _denoised(path, x, t):
    return paramax.unwrap(path)(x, t)


@eqx.filter_jit
def _seen(see, observation):
    return see(observation)


@eqx.filter_jit
def _physical(posterior, u, v, condition):
    unconstrained, field = jax.vmap(lambda a, b: posterior.denoiser.physical(a, b, condition))(u, v)
    return posterior.parameters.to_constrained(unconstrained), field


@eqx.filter_jit
def _constrained(posterior, u, condition):
    return posterior.parameters.to_constrained(posterior.denoiser.coordinates.regression.unwhitened(u, condition.summary))


@eqx.filter_jit
def _whitened(posterior, theta, condition):
    unconstrained = posterior.parameters.to_unconstrained(theta)
    return jax.vmap(lambda z: posterior.denoiser.coordinates.regression.whitened(z, condition.summary)[0])(unconstrained)
