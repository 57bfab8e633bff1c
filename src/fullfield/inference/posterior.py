"""Posteriors: what every method of inference returns."""

import abc
import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield._core.progress import Progress, silent
from fullfield.inference.observation import check_observation, Seen
from fullfield.networks import AbstractDensity, apply_many
from fullfield.parameters import ParameterSpace


class AbstractPosterior(eqx.Module):
    """A posterior p(theta | observation), amortised over observations of one shape."""

    parameters: eqx.AbstractVar[ParameterSpace]
    data_shape: eqx.AbstractVar[tuple[int, ...]]

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors.

        Raises:
            ShapeError: the observation has another shape than the simulations.
            DataError: the observation holds NaN or infinity (seen only outside `jit`).

        Warns:
            OutsideSimulationsWarning: the observation is unlike the simulations that the posterior was trained on, if it knows
                them (outside `jit` again).
        """

    @abc.abstractmethod
    def log_prob(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log density at `theta`; minus infinity outside the prior's support. Raises as `sample` does."""


class FlowPosterior(AbstractPosterior):
    """A conditional density of the unconstrained parameters given a summary of the observation.

    Because the density lives in `ParameterSpace.to_unconstrained` coordinates, it is normalised inside the prior's bounds
    and no draw needs to be rejected: nothing leaks.

    Args:
        parameters: the parameters.
        density: density of unconstrained parameters (p,) given summaries (s,).
        summarise: observation to summary (s,), any callable module; `eqx.nn.Identity()` when observations are summaries.
        data_shape: shape of an observation.
        seen: the observations (s,) that training saw, if others are to be warned of.
    """

    parameters: ParameterSpace
    density: AbstractDensity
    summarise: Callable
    seen: Seen | None
    data_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        parameters: ParameterSpace,
        density: AbstractDensity,
        summarise: Callable,
        data_shape: tuple[int, ...],
        seen: Seen | None = None,
    ):
        self.parameters, self.density, self.summarise, self.data_shape = parameters, density, summarise, tuple(data_shape)
        self.seen = seen

    def sample(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors; raises as the base class says."""
        check_observation(observation, self.data_shape, seen=self.seen)
        return _sample(self, key, jnp.asarray(observation), n)

    def log_prob(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log density at `theta`: log q(u | summary) + log |du / dtheta|; raises as the base class says."""
        check_observation(observation, self.data_shape, seen=self.seen)
        return _log_prob(self, theta, jnp.asarray(observation))


@eqx.filter_jit
def _sample(posterior, key, observation, n):
    draws = posterior.density.sample(key, posterior.summarise(observation), n)
    return posterior.parameters.to_constrained(draws)


@eqx.filter_jit
def _log_prob(posterior, theta, observation):
    space = posterior.parameters
    inside = space.contains(theta)
    safe = jnp.where(inside, theta, space.fiducial.astype(theta.dtype))
    value = posterior.density.log_prob(space.to_unconstrained(safe), posterior.summarise(observation))
    value = value + space.log_det_unconstrained(safe)
    # On the very edge of a bounded prior the unconstrained coordinate is infinite.
    return jnp.where(inside & jnp.isfinite(value), value, -jnp.inf)


class EnsemblePosterior(AbstractPosterior):
    """A mixture of posteriors, which hedges against the accidents of single trainings.

    Observations unlike the simulations are warned of once, by what the first member that knows them has seen.

    Args:
        members: posteriors of the same parameters and data.
        weights: weights of the mixture, normalised inside; equal if not given.

    Raises:
        ConfigurationError: there is no member, members disagree on parameters or data, or weights do not fit.
    """

    parameters: ParameterSpace
    members: tuple[AbstractPosterior, ...]
    log_weights: Float[Array, " m"]
    seen: Seen | None
    data_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, members: tuple[AbstractPosterior, ...], weights: tuple[float, ...] | None = None):
        kinds = {(member.parameters.names, member.data_shape) for member in members}
        if len(kinds) != 1:
            raise ConfigurationError("members", expected="posteriors of the same parameters and data", got=sorted(kinds))
        weights = weights or (1.0,) * len(members)
        if len(weights) != len(members) or min(weights) < 0 or sum(weights) <= 0:
            raise ConfigurationError("weights", expected=f"{len(members)} numbers, not negative", got=weights)
        known = (getattr(member, "seen", None) for member in members)
        self.members, self.seen = tuple(map(unwatched, members)), next((seen for seen in known if seen is not None), None)
        self.log_weights = jnp.log(jnp.asarray(weights, float) / sum(weights))
        self.parameters, self.data_shape = members[0].parameters, members[0].data_shape

    def sample(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors, each from a member drawn by weight."""
        check_observation(observation, self.data_shape, seen=self.seen)
        keys = jax.random.split(stream(key, "members"), len(self.members))
        draws = jnp.stack([member.sample(k, observation, n) for member, k in zip(self.members, keys, strict=True)])
        choice = jax.random.categorical(stream(key, "choice"), self.log_weights, shape=(n,))
        return draws[choice, jnp.arange(n)]

    def log_prob(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log density of the mixture at `theta`."""
        check_observation(observation, self.data_shape, seen=self.seen)
        values = jnp.stack([member.log_prob(theta, observation) for member in self.members])
        return jax.nn.logsumexp(values + self.log_weights)


P = TypeVar("P")


def unwatched(posterior: P) -> P:
    """The same posterior, which takes any observation without a warning."""
    if getattr(posterior, "seen", None) is None:
        return posterior
    return eqx.tree_at(lambda known: known.seen, posterior, None)


def sample_many(
    posterior: AbstractPosterior,
    key: Key[Array, ""],
    observations: Any,
    n: int,
    *,
    progress: Progress = silent,
    stage: str = "sampling",
) -> Float[np.ndarray, "t n p"]:
    """Draw `n` parameter vectors for each of many observations, in one program that is compiled once and warns of none.

    Args:
        posterior: any posterior.
        key: scalar key.
        observations: observations (t, ...): a JAX, NumPy or Zarr array.
        n: draws for each.
        progress: told after every batch of observations.
        stage: name for `progress`.

    Returns:
        Draws (t, n, p) in host memory.

    Raises:
        ShapeError: the observations have another shape than the simulations.
        DataError: an observation holds NaN or infinity.
    """
    check_observation(observations, posterior.data_shape, many=True)
    keys = jax.random.split(key, len(observations))
    batch_size = math.ceil(DRAWS_AT_ONCE / n)
    draw = Draw(posterior, n)
    return apply_many(draw, keys, observations, batch_size=batch_size, progress=progress, stage=stage)


DRAWS_AT_ONCE = 2**16


class Draw(eqx.Module):
    """A posterior as a function of key and observation, with its number of draws fixed."""

    posterior: AbstractPosterior
    n: int = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, "n p"]:
        """Draw parameter vectors (n, p)."""
        return self.posterior.sample(key, observation, self.n)
