"""Several posteriors as one, weighted by what they predict."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.datasets import AbstractSimulations
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior


STEPS = 200


def stack(
    posteriors: tuple[AbstractPosterior, ...], validation: AbstractSimulations, *, key: Key[Array, ""]
) -> EnsemblePosterior:
    """Mix posteriors with the weights of highest log-probability of held-out simulations.

    The mixture predicts them no worse than its best member does, so that a member that may fail can be tried at no risk.
    Expectation maximisation, w_m ← mean of w_m q_m / Σ w q, finds the weights; the problem is concave.

    Args:
        posteriors: of the same parameters and data, with a normalised log density.
        validation: held-out simulations, of which one epoch is looked at.
        key: scalar key.

    Source: Yao et al. 2018 (Bayesian Analysis 13, 917), stacking of predictive distributions.
    """
    values = jnp.stack([_log_probs(posterior, validation, stream(key, "held-out")) for posterior in posteriors])
    weights = np.exp(np.asarray(_log_weights(values), float))
    return EnsemblePosterior(tuple(posteriors), tuple(float(w) for w in weights / weights.sum()))


def _log_probs(posterior, validation, key):
    return jnp.concatenate([_of_shard(posterior, shard, int(shard.steps), key) for shard in validation.shards(key)])


@eqx.filter_jit
def _of_shard(posterior, shard, steps, key) -> Float[Array, " n"]:
    def step(i):
        theta, data = shard.draw(jax.random.fold_in(key, i), i)
        theta = posterior.parameters.off_edge(theta)
        return jax.vmap(posterior.log_prob)(theta, data)

    return jax.lax.map(step, jnp.arange(steps, dtype=jnp.int32)).ravel()


@jax.jit
def _log_weights(values):
    def step(_, log_weights):
        shares = jax.nn.softmax(values + log_weights[:, None], axis=0)
        return jnp.log(jnp.maximum(jnp.mean(shares, axis=1), 1e-12))

    start = jnp.full(len(values), -jnp.log(1.0 * len(values)))
    return jax.lax.fori_loop(0, STEPS, step, start)
