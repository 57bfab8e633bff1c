"""Classifier whose logit is the log ratio of joint to independent probability of two vectors."""

import equinox as eqx
import jax.numpy as jnp
from flowjax.distributions import StandardNormal
from jaxtyping import Array, Float, Key

from fullfield.networks.density import ConditionalFlow, unfitted
from fullfield.networks.residual import ResidualMLP
from fullfield.networks.standardise import moments, Standardise


class RatioClassifier(eqx.Module):
    """log r(x, c) = log q(x, c) / (q(x) q(c)) by a residual network.

    Beside standardised x and c the network sees x whitened by its linear regression on c, which is of order one where x and c
    belong together, however narrow that is.

    Args:
        size: length p of x.
        condition_size: length s of c.
        key: key of the initial weights.
        width: hidden units.
        blocks: residual blocks.
    """

    network: ResidualMLP
    standardise: Standardise
    regression: ConditionalFlow
    size: int = eqx.field(static=True)
    condition_size: int = eqx.field(static=True)

    def __init__(self, size: int, condition_size: int, *, key: Key[Array, ""], width: int = 128, blocks: int = 3):
        self.network = ResidualMLP(3 * size + condition_size, 1, key=key, width=width, blocks=blocks)
        self.standardise = Standardise(jnp.zeros(size), jnp.ones(size))
        self.regression = unfitted(size, condition_size, StandardNormal((size,)))
        self.size, self.condition_size = size, condition_size

    def __call__(self, x: Float[Array, " p"], condition: Float[Array, " s"]) -> Float[Array, ""]:
        """Log ratio of one pair."""
        whitened, standardised = self.regression.whitened(x, condition)
        # The logarithm holds pairs that are far apart inside what a network extrapolates to.
        distance = jnp.log1p(whitened**2)
        features = jnp.concatenate([self.standardise(x), whitened / jnp.sqrt(1 + 0.01 * whitened**2), distance, standardised])
        return self.network(features)[0]

    def fitted_to(self, x: Float[Array, "n p"], condition: Float[Array, "n s"]) -> "RatioClassifier":
        """The same classifier with its standardisation measured on pairs that belong together."""
        measured = (moments(x), self.regression.fitted_to(x, condition))
        return eqx.tree_at(lambda ratio: (ratio.standardise, ratio.regression), self, measured)
