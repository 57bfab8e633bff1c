"""Posteriors known up to a constant, prior times a learned likelihood or ratio, which are sampled."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.inference.explicit.density import Draws, sample_density
from fullfield.inference.explicit.record import warn_of_divergences
from fullfield.inference.explicit.samplers import AbstractSampler
from fullfield.inference.implicit.scores import log_prior
from fullfield.inference.implicit.tempering import temper, Tempered
from fullfield.inference.observation import check_observation, Seen
from fullfield.inference.posterior import AbstractPosterior
from fullfield.networks import AbstractDensity, RatioClassifier
from fullfield.parameters import ParameterSpace


LEAST = 1024  # particles that a tempered population needs to find all modes
EXTRA = 2  # rounds of moves after the last step of the tempering


class AbstractSampledPosterior(AbstractPosterior):
    """Posterior prior(theta) L(theta, summary) / Z with an unknown constant Z.

    Draws come from tempered particles in unconstrained coordinates, one particle per draw (`tempering.temper`), so that modes
    get their right weights; `log_prob` is normalised by the evidence that the same particles estimate. `sample_chains` takes a
    sampler of the explicit room instead.
    """

    summarise: eqx.AbstractVar[Callable]
    seen: eqx.AbstractVar[Seen | None]

    @abc.abstractmethod
    def log_likelihood(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, ""]:
        """Log L, up to a function of the summary."""

    def sample(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors; raises as the base class says."""
        check_observation(observation, self.data_shape, seen=self.seen)
        return _sample(self, key, jnp.asarray(observation), n)

    def sample_chains(
        self,
        key: Key[Array, ""],
        observation: Float[Array | np.ndarray, "..."],
        n: int,
        *,
        chains: int = 8,
        sampler: AbstractSampler | None = None,
        warmup: int = 400,
    ) -> Draws:
        """Draw `n` parameter vectors by each of several chains, which start at tempered particles: in each mode by its weight.

        Chains of gradients know their convergence (`convergence(**draws.evidence)` of `fullfield.diagnostics`) and reach where
        particles are few; but they seldom leave their mode, so that many modes need many chains. Works under `vmap` over
        observations.

        Args:
            key: scalar key.
            observation: of the shape `data_shape`.
            n: draws per chain.
            chains: number of chains.
            sampler: `NUTS()` if not given, or `MCLMC()` or `MAMS()`.
            warmup: draws per chain before the first that is kept.

        Returns:
            Draws whose positions are parameter vectors (chains, n, p).

        Raises:
            ShapeError, DataError: as `sample`; there is less than two chains.
            ConfigurationError: the sampler cannot move in one dimension.

        Warns:
            DivergenceWarning: transitions diverged after the warm-up; not under `jit` and `vmap`, where `Draws.evidence` tells.
        """
        check_observation(observation, self.data_shape, seen=self.seen)
        draws = _sample_chains(self, key, jnp.asarray(observation), n, chains, sampler, warmup)
        warn_of_divergences(draws)
        return draws

    def log_prob(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log density at `theta`, normalised by an evidence estimated from 4096 particles with one fixed key.

        Under `vmap` over theta the evidence is estimated once. Its error, a few hundredths of a nat in a handful of
        dimensions, is common to all theta; `log_unnormalised` is without it, and much cheaper.
        """
        check_observation(observation, self.data_shape, seen=self.seen)
        return _log_prob(self, theta, jnp.asarray(observation))

    def log_unnormalised(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log prior + log L at `theta`, minus infinity outside the prior; raises as `sample` does."""
        check_observation(observation, self.data_shape, seen=self.seen)
        return _log_unnormalised(self, theta, jnp.asarray(observation))

    def log_evidence(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log ∫ prior L, an estimate with a random error; raises as `sample` does."""
        check_observation(observation, self.data_shape, seen=self.seen)
        return _log_evidence(self, key, jnp.asarray(observation))


class LikelihoodPosterior(AbstractSampledPosterior):
    """Prior times a learned likelihood.

    Args:
        parameters: the parameters.
        density: density of summaries (s,) given unconstrained parameters (p,).
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

    def log_likelihood(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, ""]:
        """Log q(summary | u)."""
        return self.density.log_prob(summary, unconstrained)

    def simulate(self, key: Key[Array, ""], theta: Float[Array, " p"], n: int) -> Float[Array, "n s"]:
        """Draw `n` summaries at parameters theta, which `likelihood_accuracy` of `diagnostics` compares with simulations."""
        return self.density.sample(key, self.parameters.to_unconstrained(theta), n)


class RatioPosterior(AbstractSampledPosterior):
    """Prior times a learned ratio of likelihood to evidence.

    Args:
        parameters: the parameters.
        ratio: log ratio of unconstrained parameters (p,) and summaries (s,).
        summarise: observation to summary (s,), any callable module; `eqx.nn.Identity()` when observations are summaries.
        data_shape: shape of an observation.
        seen: the observations (s,) that training saw, if others are to be warned of.
    """

    parameters: ParameterSpace
    ratio: RatioClassifier
    summarise: Callable
    seen: Seen | None
    data_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        parameters: ParameterSpace,
        ratio: RatioClassifier,
        summarise: Callable,
        data_shape: tuple[int, ...],
        seen: Seen | None = None,
    ):
        self.parameters, self.ratio, self.summarise, self.data_shape = parameters, ratio, summarise, tuple(data_shape)
        self.seen = seen

    def log_likelihood(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, ""]:
        """Log r(u, summary)."""
        return self.ratio(unconstrained, summary)


def _temper(posterior, key, summary, n, **settings) -> Tempered:
    space = posterior.parameters
    start = space.to_unconstrained(space.sample(stream(key, "prior"), (n,)))
    return temper(
        lambda u: log_prior(space, u),
        lambda u: posterior.log_likelihood(u, summary),
        start,
        key=stream(key, "tempering"),
        **settings,
    )


@eqx.filter_jit
def _sample(posterior, key, observation, n):
    particles = max(LEAST, n + n % 2)
    tempered = _temper(posterior, key, posterior.summarise(observation), particles, extra=EXTRA)
    rows = jax.random.permutation(stream(key, "rows"), particles)[:n]
    return posterior.parameters.to_constrained(tempered.particles[rows])


@eqx.filter_jit
def _sample_chains(posterior, key, observation, n, chains, sampler, warmup):
    space, summary = posterior.parameters, posterior.summarise(observation)
    start = _temper(posterior, stream(key, "start"), summary, LEAST, extra=EXTRA).particles[:chains]
    draws = sample_density(
        lambda u: log_prior(space, u) + posterior.log_likelihood(u, summary),
        start, key=stream(key, "chains"), n=n, sampler=sampler, warmup=warmup, names=space.names,
    )  # fmt: skip
    return eqx.tree_at(lambda draws: draws.positions, draws, space.to_constrained(draws.positions))


@eqx.filter_jit
def _log_unnormalised(posterior, theta, observation):
    space = posterior.parameters
    inside = space.contains(theta)
    safe = jnp.where(inside, theta, space.fiducial.astype(theta.dtype))
    value = posterior.log_likelihood(space.to_unconstrained(safe), posterior.summarise(observation))
    return jnp.where(inside & jnp.isfinite(value), space.log_prob(safe) + value, -jnp.inf)


@eqx.filter_jit
def _log_evidence(posterior, key, observation):
    return _temper(posterior, key, posterior.summarise(observation), 4 * LEAST).log_evidence


@eqx.filter_jit
def _log_prob(posterior, theta, observation):
    evidence = _log_evidence(posterior, jax.random.key(0), observation)
    return _log_unnormalised(posterior, theta, observation) - evidence
