"""Galaxies in pixels: bias, stochasticity, counts, and the shape noise that the counts leave.

    δ_g = b δʳ + ...,    N ~ Poisson[N̄ (1 + δ_g)],    κ_obs ~ Normal[κ, σ_e / √(N + 1)],

with δʳ the matter contrast whose Fourier phases are moved by s U, U uniform in [-π, π] (Kacprzak & Fluri 2022, PRX 12, 031029,
eqs. 10-13 and appendices B, E, F). The 1 beside N is that of the paper's code: a pixel without galaxies has no finite noise.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Key
from numpyro.distributions import constraints

from fullfield._core import ParameterError, ShapeError, stream
from fullfield.fields import normal


def shuffled_phases(
    contrast: Float[Array, "n n bins"], white: Float[Array, "n n bins"], spread: Float[Array, ""] | float
) -> Float[Array, "n n bins"]:
    """Maps whose Fourier phases are moved by `spread` times a uniform number in [-π, π]; their spectra stay as they are.

    The correlation coefficient with the maps as they were is sin(π spread) / (π spread) on average.

    Args:
        contrast: periodic maps.
        white: white noise, whose Fourier phases are uniform and odd in the wavevector.
        spread: s, from zero (nothing moves) to one (nothing stays).
    """
    n = contrast.shape[0]
    modes, noise = (jnp.fft.rfft2(jnp.moveaxis(maps, -1, 0)) for maps in (contrast, white))
    # Modes that are their own mirror image are real, and stay.
    own = np.zeros((n, n // 2 + 1), bool)
    own[np.ix_([0, n // 2], [0, n // 2])] = True
    turn = jnp.where(own, 0.0, spread * jnp.angle(jnp.where(own, 1.0, noise)))
    moved = jnp.fft.irfft2(modes * jax.lax.complex(jnp.cos(turn), jnp.sin(turn)), s=(n, n))
    return jnp.moveaxis(moved, 0, -1)


def published_spread(correlation: Float[Array, ""] | float) -> Float[Array, ""]:
    """Spread s = (1 - r)^(2/3) of phases for a correlation coefficient r, found by trial (eq. 12); right to .05.

    Raises:
        ParameterError: r lies outside [0, 1].
    """
    return jnp.cbrt(1 - _checked(correlation)) ** 2


def exact_spread(correlation: Float[Array, ""] | float) -> Float[Array, ""]:
    """Spread s of phases with which sin(π s) / (π s) = r.

    Raises:
        ParameterError: r lies outside [0, 1].
    """
    r = _checked(correlation)
    # Newton's steps on s², in which the function is nearly straight, from the straight line through both ends.
    square = 1 - r
    for _ in range(4):
        s = jnp.sqrt(jnp.maximum(square, 1e-6))
        value = jnp.sinc(s)
        slope = (jnp.cos(jnp.pi * s) - value) / (2 * jnp.maximum(square, 1e-6))
        square = jnp.clip(square - (value - r) / slope, 0.0, 1.0)
    return jnp.sqrt(jnp.maximum(square, 1e-12))


def _checked(correlation):
    # What is traced comes from a prior, and models refuse priors that leave [0, 1].
    if not isinstance(correlation, Tracer) and not np.all((np.asarray(correlation) >= 0) & (np.asarray(correlation) <= 1)):
        raise ParameterError("correlation", expected="r_g in [0, 1], as moved phases can have it", got=correlation)
    return jnp.asarray(correlation, float)


class AbstractBias(eqx.Module):
    """Contrast of galaxies from that of matter."""

    names: eqx.AbstractVar[tuple[str, ...]]
    """Parameters, each strength followed by the power of (1 + z) that it evolves with."""

    @abc.abstractmethod
    def __call__(
        self, contrast: Float[Array, "n n bins"], loosened: Callable[[Array], Array], *strengths: Float[Array, " bins"]
    ) -> Float[Array, "n n bins"]:
        """Contrast of galaxies.

        Args:
            contrast: of matter.
            loosened: loosens maps from matter, by stochasticity.
            strengths: of the bias, one number for every bin, in the order of `names`.
        """


class LinearBias(AbstractBias):
    """δ_g = b δʳ (eq. 10)."""

    names: tuple[str, ...] = eqx.field(static=True, default=("b_g", "eta_b"))

    def __call__(self, contrast, loosened, *strengths):
        """Contrast of galaxies."""
        (first,) = strengths
        return first * loosened(contrast)


class QuadraticBias(AbstractBias):
    """δ_g = b δʳ + b₂ (δʳ)² (eq. 13)."""

    names: tuple[str, ...] = eqx.field(static=True, default=("b_g", "eta_b", "b_2", "eta_b2"))

    def __call__(self, contrast, loosened, *strengths):
        """Contrast of galaxies."""
        first, second = strengths
        loose = loosened(contrast)
        return first * loose + second * loose**2


class SignedQuadraticBias(AbstractBias):
    """b δ + ½ b₂ sign(δ) δ² less its mean, loosened afterwards: as the paper's code has it, unlike its eq. 13."""

    names: tuple[str, ...] = eqx.field(static=True, default=("b_g", "eta_b", "b_2", "eta_b2"))

    def __call__(self, contrast, loosened, *strengths):
        """Contrast of galaxies."""
        first, second = strengths
        biased = first * contrast + 0.5 * second * contrast * jnp.abs(contrast)
        return loosened(biased - jnp.mean(biased, axis=(0, 1)))


def galaxy_rate(contrast: Float[Array, "n n bins"], mean: Float[Array, " bins"]) -> Float[Array, "n n bins"]:
    """Expected galaxies in each pixel, none negative, whose sum is that of the mean (appendix E).

    Args:
        contrast: of galaxies, below -1 in places where bias makes it so.
        mean: galaxies per pixel of each bin.
    """
    # A little above nothing, so that a galaxy where none is expected is improbable and not impossible.
    rate = jnp.maximum(1 + contrast, LEAST_RATE)
    return mean * rate * jnp.mean(1 + contrast, axis=(0, 1)) / jnp.mean(rate, axis=(0, 1))


LEAST_RATE = 1e-3  # of the mean


class AbstractCounts(eqx.Module):
    """How many galaxies a pixel holds of which so many are expected."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Draw numbers of galaxies."""

    @abc.abstractmethod
    def log_prob(self, counts: Float[Array, "*shape"], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Log probability of each number."""


class PoissonCounts(AbstractCounts):
    """Poisson's law."""

    def sample(self, key: Key[Array, ""], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Draw whole numbers of galaxies."""
        return jax.random.poisson(key, rate).astype(rate.dtype)

    def log_prob(self, counts: Float[Array, "*shape"], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Log probability of each number."""
        return counts * jnp.log(rate) - rate - jax.scipy.special.gammaln(counts + 1)


class QuantileCounts(PoissonCounts):
    """Poisson's law by its quantile function at normal numbers: several times faster, and one galaxy off at most now and then.

    Where less than four are expected the distribution function is summed; elsewhere its inverse is expanded in 1/√λ, and rounds
    to another number in .0016 of the draws at λ = 4, .0005 at 10, 3e-5 at 55 (Giles 2016, ACM Trans. Math. Softw. 42, 7).
    """

    def sample(self, key: Key[Array, ""], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Draw whole numbers of galaxies."""
        w, many = normal(key, rate.shape), jnp.maximum(rate, FEW)
        root = jnp.sqrt(many)
        odd, even = -w / 36 - w**3 / 72, -8 / 405 + 7 / 810 * w**2 + w**4 / 270
        expanded = jnp.floor(many + root * w + 1 / 3 + w**2 / 6 + odd / root + even / many)
        share, few = jax.scipy.special.ndtr(w), jnp.minimum(rate, FEW)
        term = below = jnp.exp(-few)
        summed = jnp.zeros_like(rate)
        for number in range(1, 18):
            summed = summed + (share > below)
            term = term * few / number
            below = below + term
        return jnp.where(rate < FEW, summed, jnp.maximum(expanded, 0.0))


FEW = 4.0


class AnscombeCounts(PoissonCounts):
    """Poisson's law by the inverse of Anscombe's transform of a normal number (appendix F): faster, and not quite the same.

    z ~ Normal[2 √(λ + 3/8) - 1 / (4 √λ), 1], and N the nearest whole number to Mäkitalo and Foi's closed-form inverse of it
    (2011, IEEE Trans. Image Process. 20, 99), none where z < 1. It holds a quarter of a galaxy too many: the inverse is one of
    means, and of a normal number of unit variance z² / 4 has that more.
    """

    def sample(self, key: Key[Array, ""], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Draw whole numbers of galaxies."""
        z = 2 * jnp.sqrt(rate + 3 / 8) - 1 / (4 * jnp.sqrt(rate)) + normal(key, rate.shape)
        inverse = 1 / jnp.maximum(z, 1.0)
        root = np.sqrt(1.5)
        count = z**2 / 4 - 1 / 8 + inverse * (root / 4 + inverse * (-11 / 8 + inverse * 5 / 8 * root))
        return jnp.where(z < 1, 0.0, jnp.round(jnp.maximum(count, 0.0)))


class RelaxedCounts(AbstractCounts):
    """Normal numbers of the mean and variance of Poisson's law: what is drawn has derivatives by the rate."""

    def sample(self, key: Key[Array, ""], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Draw numbers of galaxies, real and now and then negative."""
        return rate + jnp.sqrt(rate) * normal(key, rate.shape)

    def log_prob(self, counts: Float[Array, "*shape"], rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Log density of each number."""
        return jax.scipy.stats.norm.logpdf(counts, rate, jnp.sqrt(rate))


class LensedGalaxies(dist.Distribution):
    """Observed convergence and numbers of galaxies (n, n, 2 bins) of one patch; one event.

    Args:
        convergence: of the galaxies, intrinsic alignment included (n, n, bins).
        rate: expected galaxies in each pixel (n, n, bins), positive.
        counts: their law.
        ellipticity_scatter: σ_e of the convergence estimate of one galaxy.
        observed: True where a pixel is observed (n, n), None for all. The others read zero, without galaxies, and say nothing.

    Raises:
        ShapeError: convergence and rate have unequal shapes.
    """

    pytree_data_fields = ("convergence", "rate", "counts", "observed")
    pytree_aux_fields = ("ellipticity_scatter",)

    def __init__(
        self,
        convergence: Float[Array, "n n bins"],
        rate: Float[Array, "..."],
        counts: AbstractCounts,
        ellipticity_scatter: float,
        observed: Bool[Array, "n n"] | None = None,
    ):
        if jnp.shape(convergence) != jnp.shape(rate):
            raise ShapeError("rate", expected=f"{jnp.shape(convergence)}, as the convergence", got=jnp.shape(rate))
        self.convergence, self.rate, self.counts, self.ellipticity_scatter = convergence, rate, counts, ellipticity_scatter
        self.observed = None if observed is None else observed[..., None]
        n, _, bins = jnp.shape(convergence)
        super().__init__(event_shape=(n, n, 2 * bins))

    @property
    def support(self):
        """Real arrays."""
        return constraints.independent(constraints.real, 3)

    def _masked(self, value, other=0.0):
        return value if self.observed is None else jnp.where(self.observed, value, other)

    def noise(self, counts: Float[Array, "*batch n n bins"]) -> Float[Array, "*batch n n bins"]:
        """Standard deviation of the convergence in pixels with so many galaxies."""
        return self.ellipticity_scatter / jnp.sqrt(jnp.maximum(counts, 0.0) + 1)

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw convergence and counts."""
        rate = jnp.broadcast_to(self.rate, (*sample_shape, *self.rate.shape))
        counts = self.counts.sample(stream(key, "counts"), rate)
        shapes = normal(stream(key, "shapes"), rate.shape)
        return self._masked(jnp.concatenate([self.convergence + self.noise(counts) * shapes, counts], axis=-1))

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density of convergence and counts, summed over the patch."""
        # Masked pixels are replaced before the arithmetic: a NaN there would pass through `where` into the gradient.
        convergence, counts = jnp.split(self._masked(value), 2, axis=-1)
        shapes = jax.scipy.stats.norm.logpdf(convergence, self._masked(self.convergence), self.noise(counts))
        numbers = self.counts.log_prob(counts, self._masked(self.rate, 1.0))
        return jnp.sum(self._masked(shapes + numbers), axis=(-3, -2, -1))
