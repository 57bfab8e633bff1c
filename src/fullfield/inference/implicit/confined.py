"""A posterior that ends where its simulations do."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.inference.observation import Seen
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior
from fullfield.parameters import ParameterSpace


ROOM = 1.5  # times the farthest simulation's distance: without it each round's posterior would lose a little of its tails
RIDGE = 1e-6  # relative to the variance of each parameter


class ConfinedPosterior(AbstractSampledPosterior):
    """A posterior from a likelihood or ratio that was learnt near one observation alone, and may be anything elsewhere.

    A parabola, for one, turns round and meets the observation a second time. Inside an ellipsoid with room around all
    simulations nothing changes; beyond it the likelihood is multiplied by exp(-(r² - reach²) / 2), r = |R (u - centre)|: it
    falls off as the simulations' own density does.

    Args:
        learnt: the posterior as it was learnt.
        centre: middle of the simulations' unconstrained parameters (p,).
        root: R (p, p), which whitens them.
        reach: of the ellipsoid, half as much again as the largest r among them.
    """

    parameters: ParameterSpace
    learnt: AbstractSampledPosterior
    summarise: Callable
    centre: Float[Array, " p"]
    root: Float[Array, "p p"]
    reach: Float[Array, ""]
    seen: Seen | None
    data_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, learnt: AbstractSampledPosterior, centre: Float[Array, " p"], root: Float[Array, "p p"], reach: Float[Array, ""]
    ):
        self.learnt, self.centre, self.root, self.reach = learnt, centre, root, reach
        self.parameters, self.summarise, self.data_shape = learnt.parameters, learnt.summarise, learnt.data_shape
        self.seen = learnt.seen

    @full_precision
    def log_likelihood(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, ""]:
        """Log L, up to a function of the summary, less what lies beyond the simulations."""
        squared = jnp.sum((self.root @ (unconstrained - self.centre)) ** 2)
        beyond = jnp.maximum(squared - self.reach**2, 0.0)
        return self.learnt.log_likelihood(unconstrained, summary) - beyond / 2


@full_precision
def confine(posterior: AbstractPosterior, theta: Float[Array | np.ndarray, "n p"]) -> AbstractPosterior:
    """A posterior confined to the simulations it was learnt from; one that is a density of parameters stays as it is.

    Args:
        posterior: of any method.
        theta: parameters of the simulations.
    """
    if isinstance(posterior, EnsemblePosterior):
        members = tuple(confine(member, theta) for member in posterior.members)
        return eqx.tree_at(lambda ensemble: ensemble.members, posterior, members)
    if not isinstance(posterior, AbstractSampledPosterior):
        return posterior
    unconstrained = jax.vmap(posterior.parameters.to_unconstrained)(jnp.asarray(theta))
    centre = jnp.mean(unconstrained, axis=0)
    covariance = jnp.atleast_2d(jnp.cov(unconstrained, rowvar=False))
    root = jnp.linalg.inv(jnp.linalg.cholesky(covariance + RIDGE * jnp.diag(jnp.diagonal(covariance))))
    reach = ROOM * jnp.max(jnp.linalg.norm((unconstrained - centre) @ root.T, axis=1))
    return ConfinedPosterior(posterior, centre, root, reach)
