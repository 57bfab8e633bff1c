"""Where the simulations of a later round are drawn."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import DataError, stream
from fullfield.inference.posterior import AbstractPosterior
from fullfield.parameters import ParameterSpace


BATCH = 2048
PRIOR_BATCHES, WIDE_BATCHES = 128, 1024  # at most, a quarter of a million draws and two million
SELDOM = 0.05  # share of prior draws in the region below which others find it more often
FREEDOM = 5.0  # of Student's t, whose tails are heavier than those of any usual prior in unconstrained coordinates


class AbstractProposal(eqx.Module):
    """A distribution of parameters inside the prior's support."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors."""


class PosteriorProposal(AbstractProposal):
    """A posterior at one observation, for methods that do not mind what parameters were drawn from (NLE, NRE).

    Args:
        posterior: of an earlier round.
        observation: where it is evaluated.
    """

    posterior: AbstractPosterior
    observation: Float[Array, "..."]

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors."""
        return self.posterior.sample(key, self.observation, n)


class TruncatedPrior(AbstractProposal):
    """The prior cut down to the region of highest density of a posterior, for which NPE needs no correction.

    In the region the simulations' parameters follow the prior up to a constant, so that the density fitted to them is the
    posterior there, and nothing can leak out of it (Deistler et al. 2022, arXiv:2210.04815, section 3).

    Args:
        parameters: the parameters with their prior.
        posterior: of an earlier round.
        observation: where it is evaluated.
        threshold: least log density of the region.
        centre: of the region in unconstrained coordinates (p,).
        spread: matrix (p, p) that carries white noise to it, and beyond its edge.
    """

    parameters: ParameterSpace
    posterior: AbstractPosterior
    observation: Float[Array, "..."]
    threshold: Float[Array, ""]
    centre: Float[Array, " p"]
    spread: Float[Array, "p p"]

    def contains(self, theta: Float[Array, "n p"]) -> Bool[Array, " n"]:
        """Whether parameter vectors lie in the region."""
        return _contains(self, theta)

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors: prior draws in the region and, where too few of them lie there, others drawn about it.

        Draws of the prior are given up where few of them lie in the region. Of a Student's t about it, θ is kept with a
        probability in proportion to prior(θ) / t(θ).

        Raises:
            DataError: neither way finds enough.
        """
        found, count = [], 0
        for source, most in ((_prior_candidates, PRIOR_BATCHES), (_wide_candidates, WIDE_BATCHES)):
            highest = -math.inf
            for batch in range(most):
                if source is _prior_candidates and count < SELDOM * batch * BATCH:
                    break
                theta, weight, chance = map(np.asarray, source(self, jax.random.fold_in(stream(key, source.__name__), batch)))
                # The highest weight in the region is that of the candidates, which are many.
                highest = max(highest, weight.max())
                found.append(theta[chance + highest < weight])
                count += len(found[-1])
                if count >= n:
                    return jnp.asarray(np.concatenate(found)[:n])
        raise DataError(
            "posterior", expected="a region that draws of the prior hit, or others about it",
            got=f"{count} of {n} in {BATCH * PRIOR_BATCHES} and {BATCH * WIDE_BATCHES}",
            remedy="Take fewer rounds, more simulations in each, or a narrower prior.",
        )  # fmt: skip


def truncate(
    posterior: AbstractPosterior,
    observation: Float[Array | np.ndarray, "..."],
    *,
    key: Key[Array, ""],
    outside: float = 1e-3,
    draws: int = 8192,
) -> TruncatedPrior:
    """The prior restricted to the region of highest posterior density.

    Args:
        posterior: of an earlier round.
        observation: where it is evaluated.
        key: scalar key.
        outside: probability that the posterior has outside the region.
        draws: of the posterior, from which the threshold is estimated.
    """
    observation = jnp.asarray(observation)
    theta = posterior.sample(stream(key, "threshold"), observation, draws)
    log_prob = np.sort(np.asarray(_log_probs(posterior, theta, observation)))
    threshold = log_prob[min(draws - 1, math.floor(outside * draws))]
    centre, spread = _about(posterior.parameters.to_unconstrained(theta), outside)
    return TruncatedPrior(posterior.parameters, posterior, observation, jnp.asarray(threshold), centre, spread)


def _about(z, outside):
    """Where prior draws of a region lie, as a Gaussian: as narrow as the prior or, where less, about as the filled region.

    A ball of radius r in p dimensions is drawn evenly with the least waste by rejection from a Gaussian of variance r² / p.
    """
    z = np.asarray(z, float)
    centre = z.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(z.T)))
    distance = np.sum(((z - centre) @ axes) ** 2 / variances, axis=1)
    fuller = np.quantile(distance, 1 - outside) / z.shape[1]
    # The prior has about unit variance.
    precision = 1 + np.maximum(1 / variances - 1, 0) / fuller
    return jnp.asarray(centre, jnp.float32), jnp.asarray(axes / np.sqrt(precision), jnp.float32)


@eqx.filter_jit
def _log_probs(posterior, theta, observation):
    return jax.vmap(lambda t: posterior.log_prob(t, observation))(theta)


@eqx.filter_jit
def _contains(proposal, theta):
    return _log_probs(proposal.posterior, theta, proposal.observation) >= proposal.threshold


# Candidates, the logarithm of what prior draws in the region are to candidates, and that of a uniform number.


@eqx.filter_jit
def _prior_candidates(proposal, key):
    theta = proposal.parameters.sample(key, (BATCH,))
    return theta, jnp.where(_contains(proposal, theta), 0.0, -jnp.inf), jnp.full(BATCH, -1.0)


@eqx.filter_jit
def _wide_candidates(proposal, key):
    space = proposal.parameters
    white = jax.random.normal(stream(key, "directions"), (BATCH, space.size))
    gamma = jax.random.gamma(stream(key, "lengths"), FREEDOM / 2, (BATCH, 1))
    white = white * jnp.sqrt(FREEDOM / 2 / gamma)
    z = proposal.centre + white @ proposal.spread.T
    theta = space.off_edge(space.to_constrained(z))
    # Near an edge of the support parameters are rounded, and no longer where their weight is told for.
    kept = jnp.all(jnp.abs(space.to_unconstrained(theta) - z) < 0.1, axis=1)
    log_t = -(FREEDOM + space.size) / 2 * jnp.log1p(jnp.sum(white**2, axis=1) / FREEDOM)
    weight = space.log_prob(theta) - space.log_det_unconstrained(theta) - log_t
    inside = _contains(proposal, theta) & kept & jnp.isfinite(weight)
    return theta, jnp.where(inside, weight, -jnp.inf), jnp.log(jax.random.uniform(stream(key, "thinning"), (BATCH,)))
