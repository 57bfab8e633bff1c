"""Contrastive bound on the mutual information: which of a batch's parameters made this summary?"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.compression.objective import AbstractObjective
from fullfield.networks import MLP


class Critic(eqx.Module):
    """g(t) · h(u): how well summaries and parameters go together, for all pairs at the price of one row of each.

    Args:
        of_summary: g, summary (s,) to vector (d,).
        of_parameters: h, unconstrained parameters (p,) to vector (d,).
    """

    of_summary: MLP
    of_parameters: MLP

    def __call__(self, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, "b b"]:
        """Logits of all pairs: summaries down, parameters across."""
        return jax.vmap(self.of_summary)(summary) @ jax.vmap(self.of_parameters)(u).T


class InfoNCE(AbstractObjective):
    """Cross entropy of picking the right partner in a batch, from summaries to parameters and from parameters to summaries.

    The logarithm of the batch size minus the loss is a bound on the mutual information, which no batch can raise above that
    logarithm: where data hold more nats than that, take larger batches (van den Oord et al. 2018, arXiv:1807.03748, eq. 4;
    Poole et al. 2019, arXiv:1905.06922). No density is needed.

    Args:
        size: length d of the vectors that are compared.
        width: hidden units of the two layers before them.
    """

    size: int = 64
    width: int = 128

    def least_summaries(self, p: int) -> int:
        """One, which keeps what it can."""
        return 1

    def head(self, p: int, s: int, *, key: Key[Array, ""]) -> Critic:
        """The critic."""
        return Critic(
            MLP(s, self.size, key=stream(key, "summary"), width=self.width),
            MLP(p, self.size, key=stream(key, "parameters"), width=self.width),
        )

    def __call__(self, head: Critic, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean cross entropy, of both directions."""
        logits = head(u, summary)
        right = jnp.diagonal(logits)
        entropies = [jax.nn.logsumexp(logits, axis=axis) - right for axis in (0, 1)]
        return 0.5 * (jnp.mean(entropies[0]) + jnp.mean(entropies[1]))
