"""A prior that ends where a grid of simulations does: at the convex hull of the points it was run at."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.spatial import ConvexHull, QhullError

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.inference.explicit.density import Draws
from fullfield.inference.explicit.samplers import AbstractSampler
from fullfield.inference.implicit.proposals import AbstractProposal
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.inference.observation import Seen
from fullfield.parameters import ParameterSpace


ROUNDING = 1e-5  # of the points' range, by which their hull is wider, so that all of them lie in it
BATCH, BATCHES = 4096, 256  # draws of the prior at a time, and how often at most


class HullPrior(AbstractProposal):
    """The prior of a parameter space cut off at the convex hull of points in some of its parameters.

    Args:
        parameters: the parameters with their prior, the box.
        points: (m, k) in k of the parameters.
        names: of these, two or more.

    Raises:
        ParameterError: a name is unknown.
        ConfigurationError: there is one name: of one parameter a narrower prior does the same.
        ShapeError: points have another number of columns.
        DataError: points are not finite, too few, or lie in one plane.
    """

    parameters: ParameterSpace
    normals: Float[Array, "f k"]
    offsets: Float[Array, " f"]
    columns: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, parameters: ParameterSpace, points: Float[Array | np.ndarray, "m k"], names: Sequence[str]):
        self.parameters, self.columns = parameters, tuple(parameters.index(name) for name in names)
        points = np.asarray(points, np.float64)
        if len(names) < 2:
            raise ConfigurationError("names", expected="two or more", got=tuple(names), remedy="Narrow the prior itself.")
        if points.ndim != 2 or points.shape[1] != len(names):
            raise ShapeError("points", expected=f"(m, {len(names)}), one column for each name", got=points.shape)
        try:
            low, width = points.min(axis=0), np.ptp(points, axis=0)
            # Each range is one, since facets of parameters of very different sizes would be lost to rounding.
            with np.errstate(invalid="ignore"):
                facets = ConvexHull((points - low) / width).equations
        except (QhullError, ValueError) as error:
            raise DataError(
                "points", expected=f"finite ones, more than {len(names)}, that span {len(names)} dimensions",
                got=f"{len(points)} that do not", remedy="Give those that the simulations were made at.",
            ) from error  # fmt: skip
        normals = facets[:, :-1] / width
        self.normals = jnp.asarray(normals, jnp.float32)
        self.offsets = jnp.asarray(ROUNDING - facets[:, -1] + normals @ low, jnp.float32)

    def contains(self, theta: Float[Array, "*batch p"]) -> Bool[Array, "*batch"]:
        """Whether parameter vectors (..., p) lie in the hull and in the support of the prior."""
        heights = theta[..., np.array(self.columns)] @ self.normals.T
        return jnp.all(heights <= self.offsets, axis=-1) & self.parameters.contains(theta)

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors: those of the prior that lie in the hull.

        Raises:
            DataError: next to none does.
        """
        found, count = [], 0
        for batch in range(BATCHES):
            theta, inside = map(np.asarray, _candidates(self, jax.random.fold_in(key, batch), max(n, BATCH)))
            found.append(theta[inside])
            count += len(found[-1])
            if count >= n:
                return jnp.asarray(np.concatenate(found)[:n])
        raise DataError(
            "points", expected="a hull that draws of the prior hit", got=f"{count} of {n} in {BATCHES * max(n, BATCH)}",
            remedy="Narrow the prior to the hull, or look whether points and names belong together.",
        )  # fmt: skip


class HullPosterior(AbstractSampledPosterior):
    """A posterior whose prior is cut off at a hull.

    Inside, prior times likelihood is what it was; outside it is zero, and no particle gets there: the posterior is the one in
    the box given that parameters lie in the hull. Evidences count the cut prior as it is, not normalised: they are smaller by
    the share of the prior in the hull.

    Args:
        learnt: the posterior in the box.
        prior: the hull, of the same parameters.

    Raises:
        ConfigurationError: the parameters are others.
    """

    parameters: ParameterSpace
    learnt: AbstractSampledPosterior
    prior: HullPrior
    summarise: Callable
    seen: Seen | None
    data_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, learnt: AbstractSampledPosterior, prior: HullPrior):
        if prior.parameters.names != learnt.parameters.names:
            raise ConfigurationError("prior", expected=f"one of {learnt.parameters.names}", got=prior.parameters.names)
        self.learnt, self.prior, self.parameters = learnt, prior, learnt.parameters
        self.summarise, self.seen, self.data_shape = learnt.summarise, learnt.seen, learnt.data_shape

    def log_likelihood(self, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]) -> Float[Array, ""]:
        """Log L, up to a function of the summary; minus infinity outside the hull."""
        inside = self.prior.contains(self.parameters.to_constrained(unconstrained))
        return jnp.where(inside, self.learnt.log_likelihood(unconstrained, summary), -jnp.inf)

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
        """Chains of gradients cannot pass a wall: a ConfigurationError says what to do instead."""
        raise ConfigurationError(
            "sample_chains", expected="a density without walls", got="one that ends at a hull",
            remedy="Take `sample`, or chains of `learnt` and of their draws those that `prior.contains`: they are as exact.",
        )  # fmt: skip


@eqx.filter_jit
def _candidates(prior, key, n):
    theta = prior.parameters.sample(key, (n,))
    return theta, prior.contains(theta)
