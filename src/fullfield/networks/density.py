"""Conditional densities: what a posterior, a likelihood or the VMIM objective is written with."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from flowjax.bijections import AbstractBijection, Chain, Invert, Permute, Scan
from flowjax.distributions import AbstractDistribution, StandardNormal, Transformed
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, DataError, full_precision, Registry, stream
from fullfield.networks.autoregressive import masked_layers
from fullfield.networks.bijections import AbstractElement, AffineElement, Coupling, GaussianHead, SplineElement
from fullfield.networks.mixture import ConditionalMixture
from fullfield.networks.ramps import RampElement
from fullfield.networks.standardise import moments, Standardise


class AbstractDensity(eqx.Module):
    """A density q(x | condition) of vectors x (p,) given vectors (s,) that can be evaluated and drawn from."""

    size: eqx.AbstractVar[int]
    condition_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def log_prob(self, x: Float[Array, " p"], condition: Float[Array, " s"]) -> Float[Array, ""]:
        """Log q(x | condition), normalised in x."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], condition: Float[Array, " s"], n: int) -> Float[Array, "n p"]:
        """Draw `n` vectors from q(. | condition)."""

    @abc.abstractmethod
    def fitted_to(self, x: Float[Array, "n p"], condition: Float[Array, "n s"]) -> "AbstractDensity":
        """The same density with its standardisation measured on training pairs; to be called once, before training."""


class ConditionalFlow(AbstractDensity):
    """A normalising flow (or any other conditional distribution) on top of a regression.

    x is first whitened by its regression on the condition, z = R (x - W f(c) - m) with c the standardised condition, and f(c)
    itself or, of degree two, with all its products; the flow then has only to learn how the density differs from that Gaussian.
    For a linear-Gaussian world the regression alone is exact. Regression and moments are measured, not trained.

    Args:
        flow: flowjax distribution of z (p,) given c (s,), a flow or any other.
        standardise: c from the raw condition.
        slope, offset, root: W (p, f), m (p,) and the lower-triangular R (p, p) above.
        degree: of the regression, 1 or 2.
    """

    flow: AbstractDistribution
    standardise: Standardise
    slope: paramax.NonTrainable | Float[Array, "p f"]
    offset: paramax.NonTrainable | Float[Array, " p"]
    root: paramax.NonTrainable | Float[Array, "p p"]
    size: int = eqx.field(static=True)
    condition_size: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def __init__(
        self,
        flow: AbstractDistribution,
        standardise: Standardise,
        slope: Float[Array, "p f"],
        offset: Float[Array, " p"],
        root: Float[Array, "p p"],
        degree: int = 1,
    ):
        self.flow, self.standardise, self.degree = flow, standardise, degree
        self.slope, self.offset, self.root = (paramax.NonTrainable(array) for array in (slope, offset, root))
        self.size, self.condition_size = len(slope), len(paramax.unwrap(standardise.loc))

    def _regression(self, condition):
        slope, offset, root = paramax.unwrap((self.slope, self.offset, self.root))
        standardised = self.standardise(condition)
        return standardised, slope @ polynomials(standardised, self.degree) + offset, root

    @full_precision
    def whitened(self, x: Float[Array, " p"], condition: Float[Array, " s"]) -> tuple[Float[Array, " p"], Float[Array, " s"]]:
        """What the flow sees: z (p,) and c (s,)."""
        standardised, mean, root = self._regression(condition)
        return root @ (x - mean), standardised

    @full_precision
    def log_prob(self, x: Float[Array, " p"], condition: Float[Array, " s"]) -> Float[Array, ""]:
        """Log q(x | condition), normalised in x."""
        standardised, mean, root = self._regression(condition)
        return self.flow.log_prob(root @ (x - mean), standardised) + jnp.sum(jnp.log(jnp.diagonal(root)))

    @full_precision
    def sample(self, key: Key[Array, ""], condition: Float[Array, " s"], n: int) -> Float[Array, "n p"]:
        """Draw `n` vectors from q(. | condition)."""
        return self.unwhitened(self.flow.sample(key, (n,), self.standardise(condition)), condition)

    @full_precision
    def unwhitened(self, z: Float[Array, "*n p"], condition: Float[Array, " s"]) -> Float[Array, "*n p"]:
        """x of what the flow sees."""
        _, mean, root = self._regression(condition)
        flat = jax.scipy.linalg.solve_triangular(root, z.reshape(-1, self.size).T, lower=True).T
        return mean + flat.reshape(z.shape)

    @full_precision
    def fitted_to(self, x: Float[Array, "n p"], condition: Float[Array, "n s"]) -> "ConditionalFlow":
        """The same flow with condition moments and regression measured on training pairs.

        Raises:
            DataError: there are fewer pairs than the regression has coefficients; says how many are needed.
        """
        standardise = moments(condition)
        features = jax.vmap(lambda c: polynomials(c, self.degree))(standardise(condition))
        needed = self.size + features.shape[1] + 2
        if len(x) < needed:
            raise DataError(
                "simulations", expected=f"at least {needed} to train on, for a regression of degree {self.degree}", got=len(x),
                remedy="Simulate more, compress the summaries, or take a density of lower degree.",
            )  # fmt: skip
        mean, middle = jnp.mean(x, axis=0), jnp.mean(features, axis=0)
        features = features - middle
        slope, freedom = _ridge(features, x - mean, linear=condition.shape[1])
        residual = x - mean - features @ slope.T
        covariance = residual.T @ residual / (len(x) - freedom - 1)
        covariance = covariance + RIDGE * jnp.diag(jnp.diagonal(covariance))
        root = jnp.tril(jnp.linalg.inv(jnp.linalg.cholesky(covariance)))
        return ConditionalFlow(self.flow, standardise, slope, mean - slope @ middle, root, self.degree)

    @full_precision
    def fitted_to_gradients(
        self, x: Float[Array, "n p"], condition: Float[Array, "n s"], gradient: Float[Array, "n p"]
    ) -> "ConditionalFlow":
        """The same, where noisy gradients of log q in x (n, p) are known too, each of which says more than one x does.

        A Gaussian of precision P has the gradient -P (x - W c - m), so that P, P W and P m follow by linear regression of
        gradients on x and c. Without gradients each x differs from its mean by a posterior's width; with them nothing but
        their own noise is left, so that in a linear-Gaussian world as many pairs as there are unknowns per row are enough.
        Where a linear function explains less than half of the gradients (a density far from Gaussian, or more noise than
        signal), or the precision found is not positive definite, the fit without gradients stays; so does one of degree two.
        """
        plain = self.fitted_to(x, condition)
        if self.degree > 1:
            return plain
        standardise, (slope, offset, root) = plain.standardise, paramax.unwrap((plain.slope, plain.offset, plain.root))
        standardised = standardise(condition)
        # In the plain fit's white coordinates everything is of order one.
        white = (x - offset - standardised @ slope.T) @ root.T
        target = jax.scipy.linalg.solve_triangular(root, gradient.T, lower=True, trans=1).T
        design = jnp.concatenate([white, standardised, jnp.ones((len(x), 1))], axis=1)
        gram = design.T @ design / len(x) + RIDGE * jnp.eye(design.shape[1])
        found = jnp.linalg.solve(gram, design.T @ target / len(x))
        p = self.size
        precision = -(found[:p] + found[:p].T) / 2
        factor = jnp.linalg.cholesky(precision, symmetrize_input=True)
        usable = jnp.all(jnp.isfinite(factor)) & jnp.all(jnp.diagonal(factor) ** 2 > LEAST_PRECISION)
        freedom = max(len(x) - design.shape[1], 1)
        unexplained = jnp.sum((target - design @ found) ** 2) / freedom
        usable = usable & (unexplained < 0.5 * jnp.mean(jnp.sum(target**2, axis=1)))
        shift = jnp.linalg.solve(jnp.where(usable, precision, jnp.eye(p)), found[p:].T)
        back = jax.scipy.linalg.solve_triangular(root, shift, lower=True)
        covariance = jnp.linalg.inv(root.T @ jnp.where(usable, precision, jnp.eye(p)) @ root)
        new = slope + back[:, :-1], offset + back[:, -1], jnp.tril(jnp.linalg.inv(jnp.linalg.cholesky(covariance)))
        chosen = (jnp.where(usable, after, before) for after, before in zip(new, (slope, offset, root), strict=True))
        return ConditionalFlow(self.flow, standardise, *chosen, degree=1)


def _ridge(features, x, *, linear: int) -> tuple[Float[Array, "p f"], Float[Array, ""]]:
    """Slopes of centred x on centred features, and the degrees of freedom they take.

    Features after the first `linear`, the products, shrink by as much as generalised cross-validation finds best, the same for
    all of x: where a mean is nearly straight over the pairs, their noise would cost more than their bend is worth (Golub, Heath
    & Wahba 1979, Technometrics 21, 215).
    """
    n, size = features.shape
    gram, cross = features.T @ features / n, features.T @ x / n
    products = jnp.arange(size) >= linear

    def solved(shrinkage):
        # A small ridge keeps degenerate conditions (a constant or doubled summary) harmless.
        ridged = gram + jnp.diag(RIDGE + shrinkage * products)
        slope, freedom = jnp.linalg.solve(ridged, cross), jnp.trace(jnp.linalg.solve(ridged, gram))
        left = jnp.mean(x**2, axis=0) - 2 * jnp.sum(slope * cross, axis=0) + jnp.sum(slope * (gram @ slope), axis=0)
        left = jnp.maximum(left, RIDGE * jnp.mean(x**2, axis=0))
        return jnp.sum(jnp.log(left)) - 2 * x.shape[1] * jnp.log1p(-(freedom + 1) / n), slope.T, freedom

    grid = jnp.concatenate([jnp.zeros(1), 10.0 ** jnp.linspace(-3, 2, 21)]) if size > linear else jnp.zeros(1)
    scores, slopes, freedoms = jax.vmap(solved)(grid)
    best = jnp.nanargmin(scores)
    return slopes[best], freedoms[best]


def polynomials(x: Float[Array, " s"], degree: int) -> Float[Array, " f"]:
    """x itself, and for a degree of two all products of two of its numbers behind it.

    Raises:
        ConfigurationError: the degree is neither.
    """
    if degree not in (1, 2):
        raise ConfigurationError("degree", expected="1 or 2", got=degree)
    if degree == 1:
        return x
    first, second = np.triu_indices(len(x))
    return jnp.concatenate([x, x[first] * x[second]])


RIDGE = 1e-5
LEAST_PRECISION = 0.01  # relative to the regression without gradients, which few pairs make too narrow


def _bijected(size: int, condition_size: int, bijection: AbstractBijection) -> ConditionalFlow:
    return unfitted(size, condition_size, Transformed(StandardNormal((size,)), Invert(bijection)))


def unfitted(size: int, condition_size: int, flow: AbstractDistribution, degree: int = 1) -> ConditionalFlow:
    """A conditional flow whose regression is still the identity."""
    standardise = Standardise(jnp.zeros(condition_size), jnp.ones(condition_size))
    slope = jnp.zeros((size, len(polynomials(jnp.zeros(condition_size), degree))))
    return ConditionalFlow(flow, standardise, slope, jnp.zeros(size), jnp.eye(size), degree)


def real_nvp(
    size: int, condition_size: int, *, key: Key[Array, ""], layers: int = 4, width: int = 128, depth: int = 2
) -> ConditionalFlow:
    """Affine coupling flow (arXiv:1605.08803); defaults are those of the lensing benchmark (arXiv:2407.10877, section 4).

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights.
        layers: number of couplings.
        width: hidden units of each coupling's network.
        depth: hidden layers of each coupling's network.
    """
    keys = jax.random.split(key, layers)
    couplings = _couplings(AffineElement(), size, condition_size, keys=keys, width=width, depth=depth)
    return _bijected(size, condition_size, couplings)


def masked_autoregressive(
    size: int, condition_size: int, *, key: Key[Array, ""], layers: int = 8, width: int = 128, depth: int = 3
) -> ConditionalFlow:
    """Masked autoregressive flow (arXiv:1705.07057), whose draws cost p times as much as its densities.

    Defaults are those of the published emulator of summaries (arXiv:2308.09751, section 5), whose networks have one hidden
    layer before their two blocks of one each.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights and of the permutations between layers.
        layers: number of autoregressive layers.
        width: hidden units of each layer's network.
        depth: hidden layers of each layer's network.
    """
    stack = masked_layers(size, condition_size, key=key, layers=layers, width=width, depth=depth)
    return _bijected(size, condition_size, stack)


def spline_flow(
    size: int,
    condition_size: int,
    *,
    key: Key[Array, ""],
    layers: int = 4,
    width: int = 64,
    depth: int = 2,
    bins: int = 8,
) -> ConditionalFlow:
    """Rational-quadratic coupling flow (arXiv:1906.04032) behind a Gaussian head that places and scales.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights.
        layers: number of couplings.
        width: hidden units of every network.
        depth: hidden layers of every network.
        bins: bins of each spline.
    """
    keys = jax.random.split(stream(key, "couplings"), layers)
    couplings = _couplings(SplineElement(bins=bins), size, condition_size, keys=keys, width=width, depth=depth)
    head = GaussianHead(size, condition_size, key=stream(key, "head"), width=width, depth=depth)
    return _bijected(size, condition_size, Chain([head, couplings]))


def gaussian(size: int, condition_size: int, *, key: Key[Array, ""], width: int = 64, depth: int = 2) -> ConditionalFlow:
    """Gaussian density with mean and full covariance read off the condition by one network."""
    return _bijected(size, condition_size, GaussianHead(size, condition_size, key=key, width=width, depth=depth))


def _couplings(
    element: AbstractElement, size: int, condition_size: int, *, keys: Key[Array, " layers"], width: int, depth: int
) -> AbstractBijection:
    """Couplings in a scan (compiled once); between them the halves change places, and every second time they are re-dealt."""
    swap = [*range(size // 2, size), *range(size // 2)]
    deal = [swap[i] for i in sorted(range(size), key=lambda i: (i % math.ceil(size / 2), i))]
    orders = jnp.array([swap if layer % 2 == 0 else deal for layer in range(len(keys))])

    def build(key, order):
        coupling = Coupling(element, size, condition_size, key=key, width=width, depth=depth)
        return Chain([coupling, Permute(order)])

    return Scan(eqx.filter_vmap(build)(keys, orders))


def smooth_flow(
    size: int,
    condition_size: int,
    *,
    key: Key[Array, ""],
    layers: int = 4,
    width: int = 64,
    depth: int = 2,
    ramps: int = 12,
) -> ConditionalFlow:
    """Coupling flow of sigmoid ramps (arXiv:2110.00351) behind a Gaussian head: infinitely differentiable, for scores.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights.
        layers: number of couplings.
        width: hidden units of every network.
        depth: hidden layers of every network.
        ramps: ramps of each elementwise function.
    """
    keys = jax.random.split(stream(key, "couplings"), layers)
    couplings = _couplings(RampElement(ramps=ramps), size, condition_size, keys=keys, width=width, depth=depth)
    head = GaussianHead(size, condition_size, key=stream(key, "head"), width=width, depth=depth)
    return _bijected(size, condition_size, Chain([head, couplings]))


def mixture(
    size: int, condition_size: int, *, key: Key[Array, ""], components: int = 8, width: int = 64, depth: int = 2
) -> ConditionalFlow:
    """Mixture density network (Bishop 1994) with full covariances.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights.
        components: number of Gaussians.
        width: hidden units of the network.
        depth: hidden layers of the network.
    """
    gaussians = ConditionalMixture(size, condition_size, components=components, key=key, width=width, depth=depth)
    return unfitted(size, condition_size, gaussians)


def regression(size: int, condition_size: int, *, key: Key[Array, ""] | None = None, degree: int = 2) -> ConditionalFlow:
    """Gaussian about a polynomial regression, with nothing to train: what a few hundred simulations of good summaries are for.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: not needed.
        degree: of the regression, 1 or 2.
    """
    return unfitted(size, condition_size, StandardNormal((size,)), degree)


DENSITIES = Registry(
    "density",
    {
        "gaussian": gaussian,
        "masked_autoregressive": masked_autoregressive,
        "mixture": mixture,
        "real_nvp": real_nvp,
        "smooth_flow": smooth_flow,
        "spline_flow": spline_flow,
    },
)
