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


BATCH = 4096
PRIOR_BATCHES, POSTERIOR_BATCHES = 64, 512  # at most, a quarter of a million draws and two million


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
    """

    parameters: ParameterSpace
    posterior: AbstractPosterior
    observation: Float[Array, "..."]
    threshold: Float[Array, ""]

    def contains(self, theta: Float[Array, "n p"]) -> Bool[Array, " n"]:
        """Whether parameter vectors lie in the region."""
        return _contains(self, theta)

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors: prior draws in the region and, where too few of them lie there, posterior draws thinned.

        Draws of the prior are given up as soon as it can be told that all of them will not do. A posterior draw θ is kept
        with a probability in proportion to prior(θ) / q(θ), which the region's edge bounds.

        Raises:
            DataError: neither way finds enough.
        """
        found, count = [], 0
        for source, most in ((_prior_candidates, PRIOR_BATCHES), (_posterior_candidates, POSTERIOR_BATCHES)):
            for batch in range(most):
                # Three errors of a Poisson count above what was found: a rate that is hardly the true one.
                if source is _prior_candidates and batch and (count + 3 * math.sqrt(count + 1)) / batch * most < n:
                    break
                theta, kept = source(self, jax.random.fold_in(stream(key, source.__name__), batch))
                found.append(np.asarray(theta)[np.asarray(kept)])
                count += len(found[-1])
                if count >= n:
                    return jnp.asarray(np.concatenate(found)[:n])
        raise DataError(
            "posterior", expected="a region that draws of the prior or of the posterior hit",
            got=f"{count} of {n} in {BATCH * PRIOR_BATCHES} and {BATCH * POSTERIOR_BATCHES}",
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
    return TruncatedPrior(posterior.parameters, posterior, observation, jnp.asarray(threshold))


@eqx.filter_jit
def _log_probs(posterior, theta, observation):
    return jax.vmap(lambda t: posterior.log_prob(t, observation))(theta)


@eqx.filter_jit
def _contains(proposal, theta):
    return _log_probs(proposal.posterior, theta, proposal.observation) >= proposal.threshold


@eqx.filter_jit
def _prior_candidates(proposal, key):
    theta = proposal.parameters.sample(key, (BATCH,))
    return theta, _contains(proposal, theta)


@eqx.filter_jit
def _posterior_candidates(proposal, key):
    theta = proposal.posterior.sample(stream(key, "posterior"), proposal.observation, BATCH)
    log_q = _log_probs(proposal.posterior, theta, proposal.observation)
    log_prior = jax.vmap(proposal.parameters.log_prob)(theta)
    inside = (log_q >= proposal.threshold) & jnp.isfinite(log_prior)
    # Of a prior that is not uniform the highest density is that of the candidates, which are many.
    highest = jnp.max(jnp.where(inside, log_prior, -jnp.inf)) - proposal.threshold
    chance = jnp.exp(jnp.where(inside, log_prior - log_q - highest, -jnp.inf))
    return theta, jax.random.uniform(stream(key, "thinning"), (BATCH,)) < chance
