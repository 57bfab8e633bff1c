"""Variational mutual information maximisation.

The mutual information of parameters and summary t = f(data) is bounded from below for any density q,

    I(theta; t) ≥ H(theta) + E log q(theta | t),

with equality when q is the posterior given t (Barber & Agakov 2003, NIPS 16; for cosmology Jeffrey et al. 2021, MNRAS 501, 954,
arXiv:2009.08459, eq. 7). Maximising the right side over f and q together makes t as informative as its length and network
allow, and sufficient in the ideal.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield.compression.objective import AbstractObjective
from fullfield.networks import AbstractDensity, real_nvp


class VMIM(AbstractObjective):
    """-log q(u | t) with a density q that is trained along, the companion.

    Minus the loss, plus the entropy of u under the prior, is a bound on the mutual information in nats.

    Args:
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
    """

    density: Callable[..., AbstractDensity] = eqx.field(static=True, default=real_nvp)

    def least_summaries(self, p: int) -> int:
        """One, which keeps what it can."""
        return 1

    def head(self, p: int, s: int, *, key: Key[Array, ""]) -> AbstractDensity:
        """The companion."""
        return self.density(p, s, key=key)

    def __call__(self, head: AbstractDensity, u: Float[Array, "b p"], summary: Float[Array, "b s"]) -> Float[Array, ""]:
        """Mean of -log q(u | t)."""
        return -jnp.mean(jax.vmap(head.log_prob)(u, summary))
