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
BATCHES = 2048  # of prior draws at most, eight million in all


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
        """Draw `n` parameter vectors: prior draws until enough of them lie in the region.

        Raises:
            DataError: fewer than one prior draw in about a million lies there.
        """
        found, count, tried = [], 0, 0
        for batch in range(BATCHES):
            theta, inside = _candidates(self, jax.random.fold_in(stream(key, "candidates"), batch))
            found.append(np.asarray(theta)[np.asarray(inside)])
            count, tried = count + len(found[-1]), tried + BATCH
            if count >= n:
                return jnp.asarray(np.concatenate(found)[:n])
            if count == 0 and tried > 2**20:
                break
        raise DataError(
            "posterior", expected="a region that prior draws hit", got=f"{count} of {n} in {tried} prior draws",
            remedy="Take fewer rounds, or a narrower prior.",
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
def _candidates(proposal, key):
    theta = proposal.parameters.sample(key, (BATCH,))
    return theta, _contains(proposal, theta)
