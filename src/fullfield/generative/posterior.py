"""Draws from the joint posterior that a denoiser has learnt, of parameters, of maps, or of both.

The way is either one, from noise at equal times, or two: the parameters alone, and the map given each. Both end in the same
posterior if the denoiser is exact; the second asks less of it, for the parameters are then read off the observation and not
off maps that are still half noise.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, each_row, full_precision, stream
from fullfield.fields import AbstractMassPosterior, ShearMaps
from fullfield.generative.checks import check_condition, check_survey
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.hooks import as_seen, finite_numbers, left_as_drawn, the_field_itself
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver
from fullfield.parameters import ParameterSpace


ALONE = 50  # evaluations for parameters alone, which cost next to nothing
SCATTER = 200  # draws of them for their covariance


class JointPosterior(eqx.Module):
    """Posterior of parameters and maps given an observation; of a denoiser trained without observations, their prior.

    Args:
        parameters: the parameters.
        denoiser: the trained denoiser.
        see: observation to `Condition`.
        solver: of the field's flow, or of both together, for which `DPMSolver` is the safer one.
        together: whether parameters and field go one way at equal times; else the parameters go first, alone, and the field
            after them, given each.
        given: parameters and what was seen of an observation to what a field given both is expected to be. Fields that expect
            other things of every parameter cannot be drawn together with them.
        decode: parameters, what the denoiser was trained on as the field, such as a forward model's latents, and what was seen
            of the observation to maps.
        correct: key, parameters and field as drawn, what was seen of the observation, and the lower root of the covariance that
            unconstrained parameters have given it (None where the parameters are to stay) to better parameters and field, such
            as after moves that leave an explicit model's posterior as it is.
        prepare: what the user has to an observation as `see` wants it, such as the `prepare` of a forward model, which also
            checks it.
    """

    parameters: ParameterSpace
    denoiser: JointDenoiser
    see: Callable[..., Condition]
    solver: AbstractSolver = Adams(16)
    together: bool = eqx.field(static=True, default=False)
    given: Callable[..., Condition] = as_seen
    decode: Callable[..., Array] = the_field_itself
    correct: Callable[..., tuple[Array, Array]] = left_as_drawn
    prepare: Callable[..., Array | np.ndarray] = finite_numbers

    def sample(self, key: Key[Array, ""], observation: Any, n: int) -> tuple[Float[Array, "n p"], Float[Array, "n m m bins"]]:
        """Draw parameters (n, p) with a map (m, m, bins) to each.

        Raises:
            DataError: the observation is not finite, or no array.
            ShapeError: what is seen of it is not of the shape that the denoiser was trained on.
            ConfigurationError: no draws are wanted, or the observation is `ShearMaps` of another mask or depth than the
                denoiser's survey.
        """
        _check_count(n)
        prepared = jnp.asarray(self.prepare(observation))
        if isinstance(observation, ShearMaps):
            check_survey(self.denoiser, observation)
        return self.draw(key, _seen(self.see, prepared), n)

    def draw(self, key: Key[Array, ""], condition: Condition, n: int) -> tuple[Float[Array, "n p"], Float[Array, "n m m bins"]]:
        """The same of what was seen of an observation."""
        return jax.tree.map(lambda array: array[0], self.draw_each(key, _repeated(condition, 1), n))

    def draw_each(
        self, key: Key[Array, ""], conditions: Condition, n: int
    ) -> tuple[Float[Array, "o n p"], Float[Array, "o n m m bins"]]:
        """The same for each of several observations (o, ...), side by side in one batch."""
        self._check(conditions, n)
        scatter = None if self.correct is left_as_drawn else self._scatter(stream(key, "scatter"), conditions)
        flat = jax.tree.map(lambda array: jnp.repeat(array, n, axis=0), (conditions, scatter))
        return jax.tree.map(lambda array: array.reshape(-1, n, *array.shape[1:]), self._draw(key, *flat))

    def draw_parameters(self, key: Key[Array, ""], condition: Condition, n: int) -> Float[Array, "n p"]:
        """Draw parameters (n, p) alone, which costs no map; they are not corrected."""
        self._check(condition, n)
        conditions = _repeated(condition, n)
        return _constrained(self, self._alone(key, conditions.summary), conditions)

    def draw_maps(self, key: Key[Array, ""], condition: Condition, theta: Float[Array, "n p"]) -> Float[Array, "n m m bins"]:
        """Draw one map (m, m, bins) for each of some parameters (n, p)."""
        self._check(condition, len(theta))
        conditions = _repeated(condition, len(theta))
        return self._given(key, conditions, _whitened(self, theta, conditions))[1]

    def _check(self, condition, n):
        _check_count(n)
        check_condition(self.denoiser, condition)

    def _draw(self, key, conditions, scatter):
        if not self.together:
            return self._given(key, conditions, self._alone(key, conditions.summary), scatter)
        noise = self._noise(key, conditions.summary), self._white(key, conditions)
        u, v = _solve(self.solver, _Together(self.denoiser, conditions), noise)
        return _physical(self, key, u, v, conditions, scatter)

    def _alone(self, key, summaries):
        return _solve(DPMSolver(ALONE), _Alone(self.denoiser, summaries), self._noise(key, summaries))

    def _scatter(self, key, conditions):
        """Root of the parameters' covariance at each observation (o, p, p), from draws of them."""
        summaries = jnp.repeat(conditions.summary, SCATTER, axis=0)
        return _roots(self, self._alone(key, summaries), summaries)

    def _given(self, key, conditions, u, scatter=None):
        conditions = _conditioned(self, u, conditions)
        v = _solve(self.solver, _Given(self.denoiser, conditions, u), self._white(key, conditions))
        return _physical(self, key, u, v, conditions, scatter)

    def _noise(self, key, summaries):
        return jax.random.normal(stream(key, "parameters"), (len(summaries), self.parameters.size))

    def _white(self, key, conditions):
        return jax.random.normal(stream(key, "field"), conditions.expected.shape)


class DiffusionMassMap(AbstractMassPosterior):
    """The maps of a joint posterior of shear, behind the interface of all mass maps.

    Args:
        posterior: that was trained on shear.
        key: of the draws of which the mean is taken, so that one shear has one mean.
        draws: how many; the mean is off by the posterior's deviation over the root of them.
    """

    posterior: JointPosterior
    key: Key[Array, ""]
    draws: int = eqx.field(static=True, default=100)

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Mean of the draws."""
        return jnp.mean(self.sample(self.key, shear, self.draws), axis=0)

    def sample(self, key: Key[Array, ""], shear: Float[Array, "n n bins 2"], n: int) -> Float[Array, "draws n n bins"]:
        """Draw `n` sets of convergence maps, each with parameters of its own."""
        return self.posterior.sample(key, shear, n)[1]


def _check_count(n):
    if n < 1:
        raise ConfigurationError("n", expected="at least one draw", got=n)


def _solve(solver, path, noise):
    advance = lambda x, memory, ends: _advance(solver, path, x, memory, ends)  # noqa: E731
    return solver.solve(advance, lambda x, t: _denoised(path, x, t), noise)


class _Together(eqx.Module):
    denoiser: JointDenoiser
    conditions: Condition

    def __call__(self, x, t):
        u, v = x
        return jax.vmap(lambda u, v, seen: self.denoiser(u, v, (t, t), seen))(u, v, self.conditions)


class _Alone(eqx.Module):
    denoiser: JointDenoiser
    summaries: Float[Array, "n s"]

    def __call__(self, x, t):
        return jax.vmap(lambda u, summary: self.denoiser.parameters(u, t, summary))(x, self.summaries)


class _Given(eqx.Module):
    denoiser: JointDenoiser
    conditions: Condition
    u: Float[Array, "n p"]

    def __call__(self, x, t):
        one = jnp.ones(())
        return jax.vmap(lambda u, v, seen: self.denoiser(u, v, (one, t), seen)[1])(self.u, x, self.conditions)


@eqx.filter_jit
def _advance(solver, path, x, memory, ends):
    return solver.step(paramax.unwrap(path), x, memory, ends)


@eqx.filter_jit
def _denoised(path, x, t):
    return paramax.unwrap(path)(x, t)


@eqx.filter_jit
def _seen(see, observation):
    return see(observation)


def _physical(posterior, key, u, v, conditions, scatter):
    theta, field = _unwhitened(posterior, u, v, conditions)
    if posterior.correct is not left_as_drawn:
        rows = jax.random.split(stream(key, "corrections"), len(theta)), theta, field, conditions, scatter
        theta, field = each_row(_Corrected(posterior.correct), rows)
    return theta, _decoded(posterior, theta, field, conditions)


class _Corrected(eqx.Module):
    correct: Callable[..., tuple[Array, Array]]

    @eqx.filter_jit
    def __call__(self, row):
        return self.correct(*row)


@eqx.filter_jit
def _unwhitened(posterior, u, v, conditions):
    unconstrained, field = jax.vmap(posterior.denoiser.physical)(u, v, conditions)
    return posterior.parameters.to_constrained(unconstrained), field


@eqx.filter_jit
def _decoded(posterior, theta, field, conditions):
    return jax.vmap(posterior.decode)(theta, field, conditions)


@eqx.filter_jit
@full_precision
def _roots(posterior, u, summaries):
    p, regression = posterior.parameters.size, posterior.denoiser.coordinates.regression

    def root(some):
        covariance = jnp.cov(some, rowvar=False).reshape(p, p)
        return jnp.linalg.cholesky(covariance + 1e-5 * jnp.diag(jnp.diagonal(covariance)))

    return jax.vmap(root)(jax.vmap(regression.unwhitened)(u, summaries).reshape(-1, SCATTER, p))


@eqx.filter_jit
def _conditioned(posterior, u, conditions):
    return jax.vmap(posterior.given)(_constrained(posterior, u, conditions), conditions)


@eqx.filter_jit
def _constrained(posterior, u, conditions):
    regression = posterior.denoiser.coordinates.regression
    return posterior.parameters.to_constrained(jax.vmap(regression.unwhitened)(u, conditions.summary))


@eqx.filter_jit
def _whitened(posterior, theta, conditions):
    regression, unconstrained = posterior.denoiser.coordinates.regression, posterior.parameters.to_unconstrained(theta)
    return jax.vmap(lambda z, summary: regression.whitened(z, summary)[0])(unconstrained, conditions.summary)


def _repeated(condition: Condition, n: int) -> Condition:
    return jax.tree.map(lambda array: jnp.broadcast_to(array, (n, *array.shape)), condition)
