"""Wiener filter and constrained realisations of Gaussian convergence fields given shear.

With κ = G z, z white and G Gᵀ = S the covariance of all bins, the posterior of z given γ = H G z + noise is normal with

    A = 1 + Gᵀ Hᵀ N⁻¹ H G,    ⟨z⟩ = A⁻¹ Gᵀ Hᵀ N⁻¹ γ,    Cov(z) = A⁻¹,

and ⟨κ⟩ = G ⟨z⟩ = (S⁻¹ + Hᵀ N⁻¹ H)⁻¹ Hᵀ N⁻¹ γ. Where the noise of each bin is the same in all pixels, A is one matrix of bins by
bins per mode. Elsewhere A z = b is solved by conjugate gradients, with these matrices for the mean 1/σ² as preconditioner.

No eigenvalue of A is below one, so that a residual r = b - A z bounds the error e of z in units of the posterior's own width:
eᵀ A e = rᵀ A⁻¹ r <= rᵀ r. Its root mean square over the latents is what is iterated down and reported.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import full_precision, ShapeError, stream
from fullfield.fields.gaussian import bins_of, gaussian_field, pair_indices, places, power_root
from fullfield.fields.grid import FlatSky
from fullfield.fields.mass_map import AbstractMassPosterior, check_observed, inverse_variance, weighted
from fullfield.fields.random import normal
from fullfield.fields.shear import kaiser_squires, shear_of


class PeriodicWiener(AbstractMassPosterior):
    """Wiener filter of a periodic patch without mask and of noise that is the same in all pixels: direct, mode by mode.

    Args:
        sky: patch of the maps.
        power: spectra of the convergence (pairs, m, m) in sr, on the octant and in the order of `pair_indices`.
        noise: deviation of each shear component in a pixel, bin by bin.

    Raises:
        ShapeError: the noise is not one number per bin.
    """

    sky: FlatSky
    root: Float[Array, "pairs m m"]
    inverse_variance: Float[Array, " bins"]
    covariance_root: Float[Array, "bins bins n n"]

    def __init__(self, sky: FlatSky, power: Float[Array, "pairs m m"], noise: Float[Array | np.ndarray, " bins"]):
        if noise.ndim != 1:
            raise ShapeError(
                "noise", expected="one deviation per bin, the same in all pixels", got=f"shape {noise.shape}",
                remedy="WienerFilter takes maps (n, n, bins) of the noise, and masks.",
            )  # fmt: skip
        self.sky, self.root = sky, power_root(power)
        self.inverse_variance = inverse_variance(noise[None, None])[0, 0]
        self.covariance_root = _covariance_root(sky, self.root, self.inverse_variance)

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Posterior mean."""
        self._check(shear)
        return self._estimate(shear)

    def sample(self, key: Key[Array, ""], shear: Float[Array, "n n bins 2"], n: int) -> Float[Array, "draws n n bins"]:
        """Draw `n` independent sets of maps."""
        self._check(shear)
        return self._draws(key, shear, n)

    def _check(self, shear):
        check_observed(shear, np.ones((self.sky.pixels, self.sky.pixels, len(self.inverse_variance)), bool))

    @eqx.filter_jit
    def _estimate(self, shear):
        return _coloured(self.sky, self.root, self._mean(shear))

    @eqx.filter_jit
    def _draws(self, key, shear, n):
        mean = self._mean(shear)

        def draw(key):
            return _coloured(self.sky, self.root, mean + each_mode(self.covariance_root, normal(key, mean.shape)))

        return jax.lax.map(draw, jax.random.split(key, n), batch_size=_side_by_side(mean.size))

    def _mean(self, shear):
        return _both(self.covariance_root, _adjoint(self.sky, self.root, self.inverse_variance[:, None] * shear))


class Solution(eqx.Module):
    """What conjugate gradients came to.

    Args:
        white: the latents z.
        residual: root mean square of b - A z over the latents, computed anew at the end: a bound on the error of z in standard
            deviations of the posterior.
        steps: iterations made.
    """

    white: Float[Array, "bins n n"]
    residual: Float[Array, ""]
    steps: Int[Array, ""]


class WienerFilter(AbstractMassPosterior):
    """Wiener filter with any mask and noise that varies from pixel to pixel.

    Args:
        sky: patch of the maps.
        power: spectra of the convergence (pairs, m, m) in sr, on the octant and in the order of `pair_indices`.
        noise: deviation of each shear component, infinite where nothing was observed.
        tolerance: largest root-mean-square error of the latents in standard deviations of their posterior.
        steps: most iterations; if they do not suffice, an error is raised.
    """

    sky: FlatSky
    root: Float[Array, "pairs m m"]
    inverse_variance: Float[Array, "n n bins"]
    preconditioner: Float[Array, "bins bins n n"]
    tolerance: float
    steps: int

    def __init__(
        self,
        sky: FlatSky,
        power: Float[Array, "pairs m m"],
        noise: Float[Array | np.ndarray, "n n bins"],
        *,
        tolerance: float = 1e-3,
        steps: int = 500,
    ):
        self.sky, self.root, self.tolerance, self.steps = sky, power_root(power), tolerance, steps
        self.inverse_variance = inverse_variance(noise)
        self.preconditioner = _covariance_root(sky, self.root, jnp.mean(self.inverse_variance, axis=(0, 1)))

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Posterior mean."""
        check_observed(shear, self.inverse_variance > 0)
        return self._estimate(shear)

    def sample(self, key: Key[Array, ""], shear: Float[Array, "n n bins 2"], n: int) -> Float[Array, "draws n n bins"]:
        """Draw `n` constrained realisations: a field and its noise from the prior, moved by the filtered difference of data.

        Source: Hoffman & Ribak 1991 (ApJ 380, L5).
        """
        check_observed(shear, self.inverse_variance > 0)
        return self._draws(key, shear, n)

    @eqx.filter_jit
    def _estimate(self, shear):
        return _coloured(self.sky, self.root, self._converged(shear))

    @eqx.filter_jit
    def _draws(self, key, shear, n):
        deviation = jnp.where(self.inverse_variance > 0, jax.lax.rsqrt(self.inverse_variance), 0.0)[..., None]

        def draw(key):
            white = normal(stream(key, "field"), (shear.shape[2], *shear.shape[:2]))
            mock = shear_of(_coloured(self.sky, self.root, white)) + deviation * normal(stream(key, "noise"), shear.shape)
            return _coloured(self.sky, self.root, white + self._converged(shear - mock))

        return jax.lax.map(draw, jax.random.split(key, n), batch_size=_side_by_side(shear.size))

    def solve(self, shear: Float[Array, "n n bins 2"]) -> Solution:
        """Solve for the posterior mean of the white latents, and say how well.

        Raises:
            ShapeError: the shear has other pixels or bins than the noise.
            DataError: an observed shear is not finite or |γ| ≥ 1; looked at only outside `jit` and `vmap`.
        """
        check_observed(shear, self.inverse_variance > 0)
        weight = self.inverse_variance[..., None]

        def operator(white):
            return white + _adjoint(self.sky, self.root, weight * shear_of(_coloured(self.sky, self.root, white)))

        start = _adjoint(self.sky, self.root, weighted(self.inverse_variance, shear))
        white, steps = _conjugate_gradients(
            operator, lambda r: _both(self.preconditioner, r), start, self.tolerance, self.steps
        )
        return Solution(white, _rms(start - operator(white)), steps)

    def _converged(self, shear):
        found = self.solve(shear)
        # Half as much again for what rounding leaves between the residual iterated and the true one. Shear that is NaN makes
        # this NaN, which no comparison holds for.
        return eqx.error_if(
            found.white,
            ~(found.residual <= 1.5 * self.tolerance),
            "tolerance: expected to be reached within `steps` iterations, got a larger residual, or NaN for shear that is none "
            "in an observed pixel. Allow more steps, or less "
            "accuracy: single precision reaches 1e-3 where no mode has more than about 10^4 times the power of its noise.",
        )


def _coloured(sky, root, white):
    return jnp.moveaxis(gaussian_field(sky, root, white), 0, -1)


def _adjoint(sky, root, shear):
    """Gᵀ Hᵀ: the transpose of H is its own inverse's E mode."""
    modes = jnp.moveaxis(kaiser_squires(shear)[..., 0], -1, 0)
    return jax.linear_transpose(lambda white: gaussian_field(sky, root, white), modes)(modes)[0]


@full_precision
def precision_root(
    sky: FlatSky, root: Float[Array, "pairs m m"], weight: Float[Array, " bins"]
) -> Float[Array, "bins bins n n"]:
    """Lower triangular K of each mode, K Kᵀ = 1 + Lᵀ N⁻¹ L the precision of its white latents given shear.

    Args:
        sky: patch of the maps.
        root: L from `power_root`, in sr^½.
        weight: 1/σ² of each shear component in a pixel, bin by bin.
    """
    return _on_plane(sky, _octant_precision_root(sky, root, weight))


@full_precision
def _covariance_root(sky, root, weight):
    """R of each mode on the full plane (bins, bins, n, n), R Rᵀ = (1 + Lᵀ N⁻¹ L)⁻¹ with L the root of the power."""
    lower = _octant_precision_root(sky, root, weight)
    inverse = jax.scipy.linalg.solve_triangular(lower, jnp.broadcast_to(jnp.eye(len(weight)), lower.shape), lower=True)
    return _on_plane(sky, inverse.mT)


def _octant_precision_root(sky, root, weight):
    bins, weight = len(weight), weight / (sky.side_radians / sky.pixels) ** 2
    place, lower, found = places(bins), jnp.unstack(root), [jnp.zeros(())] * len(root)
    # Written out, since XLA's CPU factors very small matrices one by one. No pivot of one plus a covariance is below one.
    for j in range(bins):
        for i in range(j, bins):
            element = sum((weight[k] * lower[place[i, k]] * lower[place[j, k]] for k in range(i, bins)), float(i == j))
            remainder = element - sum(found[place[k, i]] * found[place[k, j]] for k in range(j))
            new = jnp.sqrt(jnp.maximum(remainder, 1.0)) if i == j else remainder / found[place[j, j]]
            found[place[j, i]] = new
    return _lower(jnp.stack(found))


def root_on_plane(sky: FlatSky, root: Float[Array, "pairs m m"]) -> Float[Array, "bins bins n n"]:
    """L of each mode as a lower triangular matrix.

    Args:
        sky: patch of the maps.
        root: from `power_root`, in sr^½.
    """
    return _on_plane(sky, _lower(root))


def _lower(root):
    bins = bins_of(len(root))
    first, second = pair_indices(bins)
    return jnp.zeros((*root.shape[1:], bins, bins)).at[..., second, first].set(jnp.moveaxis(root, 0, -1))


def _on_plane(sky, matrices):
    index = np.arange(sky.pixels)
    folded = np.minimum(index, sky.pixels - index)
    return jnp.moveaxis(matrices[folded][:, folded], (2, 3), (0, 1))


def each_mode(matrix: Float[Array, "bins bins n n"], white: Float[Array, "bins n n"]) -> Float[Array, "bins n n"]:
    """Product of each mode's matrix and vector."""
    # As sums of products: XLA's CPU makes very small batched products one by one, and sums over an axis slowly.
    return jnp.asarray(sum(matrix[:, j] * white[j] for j in range(len(white))))


def _both(root, white):
    """Root times its transpose."""
    return each_mode(root, each_mode(jnp.swapaxes(root, 0, 1), white))


def _rms(r):
    return jnp.sqrt(jnp.mean(r**2))


def _side_by_side(numbers: int) -> int:
    """How many draws are made at once: on a CPU no more than its caches hold."""
    return max(1, (2**15 if jax.default_backend() == "cpu" else 2**23) // numbers)


def _conjugate_gradients(operator, precondition, right, tolerance, steps):
    """Solve operator(x) = right from zero; a preconditioned residual is orthogonal to all before it."""

    def going(state):
        _, residual, _, _, step = state
        return (_rms(residual) > tolerance) & (step < steps)

    def advance(state):
        x, residual, direction, height, step = state
        image = operator(direction)
        length = height / jnp.vdot(direction, image)
        x, residual = x + length * direction, residual - length * image
        scaled = precondition(residual)
        new = jnp.vdot(residual, scaled)
        return x, residual, scaled + new / height * direction, new, step + 1

    direction = precondition(right)
    start = jnp.zeros_like(right), right, direction, jnp.vdot(right, direction), jnp.zeros((), jnp.int32)
    x, *_, step = jax.lax.while_loop(going, advance, start)
    return x, step
