"""Bijections of parameter vectors given a condition, in flowjax's interface.

All are written in the direction data → base noise, which training uses; flowjax's `Invert` turns them round. They hold plain
arrays only, so that flows built with equal sizes share one compiled program.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.bijections import AbstractBijection
from jaxtyping import Array, Float, Key

from fullfield.networks.mlp import MLP


class AbstractElement(eqx.Module):
    """A monotonic function of one real number, shaped by `n_raw` unconstrained numbers; all zeros give the identity."""

    @property
    @abc.abstractmethod
    def n_raw(self) -> int:
        """How many numbers shape the function."""

    @abc.abstractmethod
    def forward(self, x: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Value and log derivative at `x`."""

    @abc.abstractmethod
    def inverse(self, y: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The x with value `y`, and the log derivative of the inverse there."""


class AffineElement(AbstractElement):
    """y = x exp(s) + b, with s held inside ±`bound` by a tanh so that float32 never overflows.

    Source: real-valued non-volume-preserving flows, Dinh et al. 2017 (arXiv:1605.08803), eq. 4.
    """

    bound: float = eqx.field(default=5.0, static=True)

    @property
    def n_raw(self) -> int:
        """Two: shift and log scale."""
        return 2

    def forward(self, x: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Value and log derivative at `x`."""
        log_scale = soft_clamp(raw[1], self.bound)
        return x * jnp.exp(log_scale) + raw[0], log_scale

    def inverse(self, y: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The x with value `y`, and the log derivative of the inverse there."""
        log_scale = soft_clamp(raw[1], self.bound)
        return (y - raw[0]) * jnp.exp(-log_scale), -log_scale


class SplineElement(AbstractElement):
    """Monotonic rational-quadratic spline on [-interval, interval], the identity outside.

    Bins are picked by comparing with every knot and summing, not by indexing: gradients are then sums instead of scatters,
    which XLA runs one number at a time on a CPU.

    Source: neural spline flows, Durkan et al. 2019 (arXiv:1906.04032), eqs. 4-8.

    Args:
        bins: number of bins.
        interval: half width of the spline's domain, in units of the standardised variable.
        minimum: smallest bin width and height relative to the interval's full width.
    """

    bins: int = eqx.field(default=8, static=True)
    interval: float = eqx.field(default=5.0, static=True)
    minimum: float = eqx.field(default=1e-3, static=True)

    @property
    def n_raw(self) -> int:
        """Widths, heights and inner derivatives."""
        return 3 * self.bins - 1

    def _bin(self, position, raw, *, by_value):
        """Lower knot, width, height, slopes at both ends (xk, yk, w, h, d0, d1) of the bin that holds `position`."""
        sizes, slopes = raw[: 2 * self.bins].reshape(2, self.bins), raw[2 * self.bins :]
        sizes = 2 * self.interval * (self.minimum + (1 - self.minimum * self.bins) * jax.nn.softmax(sizes))
        # Sums of all sizes before a bin, as a product with a triangular matrix of ones: little to compile and fast.
        lower = sizes @ jnp.triu(jnp.ones((self.bins, self.bins), raw.dtype), 1) - self.interval
        slopes = jnp.pad(jnp.exp(soft_clamp(slopes, 6.0)), 1, constant_values=1.0)
        above = jnp.pad((position >= lower[int(by_value), 1:]).astype(raw.dtype), 1, constant_values=(1.0, 0.0))
        rows = jnp.concatenate([lower, sizes, slopes[None, :-1], slopes[None, 1:]])
        return rows @ (above[:-1] - above[1:])

    def forward(self, x: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Value and log derivative at `x`."""
        inside = jnp.abs(x) < self.interval
        safe = jnp.where(inside, x, 0.0)
        xk, yk, width, height, d0, d1 = self._bin(safe, raw, by_value=False)
        s, xi = height / width, (safe - xk) / width
        denominator = s + (d0 + d1 - 2 * s) * xi * (1 - xi)
        y = yk + height * (s * xi**2 + d0 * xi * (1 - xi)) / denominator
        return jnp.where(inside, y, x), jnp.where(inside, _log_slope(s, xi, d0, d1, denominator), 0.0)

    def inverse(self, y: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The x with value `y`, and the log derivative of the inverse there."""
        inside = jnp.abs(y) < self.interval
        safe = jnp.where(inside, y, 0.0)
        xk, yk, width, height, d0, d1 = self._bin(safe, raw, by_value=True)
        s, rise = height / width, safe - yk
        bend = rise * (d0 + d1 - 2 * s)
        a, b, c = height * (s - d0) + bend, height * d0 - bend, -s * rise
        xi = jnp.clip(2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))), 0.0, 1.0)
        denominator = s + (d0 + d1 - 2 * s) * xi * (1 - xi)
        return jnp.where(inside, xk + xi * width, y), jnp.where(inside, -_log_slope(s, xi, d0, d1, denominator), 0.0)


def _log_slope(s, xi, d0, d1, denominator):
    slope = d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2
    return 2 * jnp.log(s) + jnp.log(slope) - 2 * jnp.log(denominator)


class Coupling(AbstractBijection):
    """Transforms the second part of a vector element by element, shaped by a network of the first part and the condition.

    Args:
        element: the elementwise function.
        size: length p of the vector; its first p // 2 entries pass unchanged.
        condition_size: length of the condition.
        key, width, depth: of the network; its last layer starts small, so that the coupling starts near the identity.
    """

    element: AbstractElement
    network: MLP
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self, element: AbstractElement, size: int, condition_size: int, *, key: Key[Array, ""], width: int, depth: int
    ):
        kept = size // 2
        network = MLP(kept + condition_size, (size - kept) * element.n_raw, key=key, width=width, depth=depth)
        self.element, self.network = element, shrink_last_layer(network)
        self.shape, self.cond_shape = (size,), (condition_size,)

    def _apply(self, function, x, condition):
        kept, moved = jnp.split(x, [self.shape[0] // 2])
        raw = self.network(jnp.concatenate([kept, condition])).reshape(moved.size, -1)
        moved, log_slopes = jax.vmap(function)(moved, raw)
        return jnp.concatenate([kept, moved]), jnp.sum(log_slopes)

    def transform_and_log_det(self, x, condition=None):
        """Transformed vector (p,) and log |det| of the Jacobian."""
        return self._apply(self.element.forward, x, condition)

    def inverse_and_log_det(self, y, condition=None):
        """Inverse of `transform_and_log_det`, with its own log |det|."""
        return self._apply(self.element.inverse, y, condition)


class GaussianHead(AbstractBijection):
    """Whitens a vector by a mean and a triangular precision root that a network reads off the condition.

    z = P(c) (x - μ(c)), with P lower triangular of positive diagonal: alone before a normal base it is a Gaussian density of
    free covariance; in a flow it places and scales, so that the couplings only shape.
    """

    network: MLP
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    bound: float = eqx.field(default=6.0, static=True)

    def __init__(self, size: int, condition_size: int, *, key: Key[Array, ""], width: int, depth: int):
        network = MLP(condition_size, size + size * (size + 1) // 2, key=key, width=width, depth=depth)
        self.network = shrink_last_layer(network)
        self.shape, self.cond_shape = (size,), (condition_size,)

    def _mean_and_root(self, condition):
        size = self.shape[0]
        mean, log_diagonal, off = jnp.split(self.network(condition), [size, 2 * size])
        log_diagonal = soft_clamp(log_diagonal, self.bound)
        diagonal = jnp.exp(log_diagonal)
        root = jnp.zeros((size, size), mean.dtype).at[jnp.tril_indices(size, -1)].set(off)
        # Rows share their diagonal's scale, so that the off-diagonal numbers stay of order one however narrow the density.
        return mean, (root + jnp.eye(size)) * diagonal[:, None], jnp.sum(log_diagonal)

    def transform_and_log_det(self, x, condition=None):
        """Whitened vector (p,) and log |det| of the Jacobian."""
        mean, root, log_det = self._mean_and_root(condition)
        return root @ (x - mean), log_det

    def inverse_and_log_det(self, y, condition=None):
        """Inverse of `transform_and_log_det`, with its own log |det|."""
        mean, root, log_det = self._mean_and_root(condition)
        return mean + jax.scipy.linalg.solve_triangular(root, y, lower=True), -log_det


def soft_clamp(x: Float[Array, "*shape"], bound: float) -> Float[Array, "*shape"]:
    """Smoothly hold x inside ±bound; the identity near zero."""
    return bound * jnp.tanh(x / bound)


def shrink_last_layer(network: MLP, factor: float = 0.01) -> MLP:
    """The network with the weights of its last layer multiplied by `factor`."""
    return eqx.tree_at(lambda net: net.weights[-1], network, factor * network.weights[-1])
