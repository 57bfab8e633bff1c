"""Mass maps that are sparse in starlets.

The map is a sum of starlet atoms, κ = Wᵀ α, bin by bin, with W the transform of `fullfield.fields.starlet`, and

    α = argmin ½ (γ - H Wᵀ α)ᵀ N⁻¹ (γ - H Wᵀ α) + k Σ_j ν_j Σ_x |α_j(x)|.

ν_j is the deviation of the noise's share of (W Hᵀ N⁻¹ γ)_j where the data are best, so that atoms of pure noise stay zero but
for those beyond k deviations. It is the same all over the map, as the sky is: a hole is filled by atoms that reach in from
around it, and would be filled by noise if atoms were cheaper where nothing contradicts them. The smooth plane is not
thresholded. The minimum is found by FISTA (Beck & Teboulle 2009, SIAM J. Imaging Sci. 2, 183), and then twice again with
thresholds that give way to what was found (Candes, Wakin & Boyd 2008, J. Fourier Anal. Appl. 14, 877),

    k ν_j / (1 + |(W κ)_j(x)| / (k σ_j)),    σ_j = |ψ_j|² / ν_j,

with σ_j the noise of a coefficient and |ψ_j| the norm of an atom: a peak keeps its height. Mass maps by reweighted sparsity:
Lanusse et al. 2016 (A&A 591, A2).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError
from fullfield.fields.mass_map import AbstractMassMap, check_observed, inverse_variance, weighted
from fullfield.fields.shear import kaiser_squires, shear_of
from fullfield.fields.starlet import starlet


ROUNDS = 3


class SparseStarlet(AbstractMassMap):
    """Sparse reconstruction of each bin by itself.

    Args:
        noise: deviation of each shear component, infinite where nothing was observed.
        scales: J, as of `starlet`.
        threshold: k, in standard deviations of the noise.
        steps: of each of the three descents.
    """

    inverse_variance: Float[Array, "n n bins"]
    deviation: Float[Array, "bins planes"]
    scales: int = eqx.field(static=True)
    threshold: float
    steps: int = eqx.field(static=True)

    def __init__(
        self, noise: Float[Array | np.ndarray, "n n bins"], *, scales: int = 4, threshold: float = 1.5, steps: int = 50
    ):
        if threshold <= 0:
            raise ConfigurationError("threshold", expected="a positive number of standard deviations", got=threshold)
        self.inverse_variance, self.scales, self.threshold, self.steps = inverse_variance(noise), scales, threshold, steps
        self.deviation = jnp.max(gradient_deviation(self.inverse_variance, scales), axis=(2, 3))

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Sum of the atoms found."""
        check_observed(shear, self.inverse_variance > 0)
        return self._all(shear)

    @eqx.filter_jit
    def _all(self, shear):
        return jax.vmap(self._bin, in_axes=(2, 2, 0), out_axes=2)(shear, self.inverse_variance, self.deviation)

    def _bin(self, shear, weight, deviation):
        def descent(coefficients):
            return self._analyse(weighted(weight, shear - shear_of(self._map(coefficients))))

        # No starlet plane's response to a mode is above one, nor the sum of their squares; H keeps lengths.
        rate = 1 / jnp.max(weight)
        threshold = (self.threshold * deviation).at[-1].set(0.0)[:, None, None]
        noise = (jnp.sum(_atoms(len(weight), self.scales) ** 2, axis=(1, 2)) / deviation)[:, None, None]
        field = jnp.zeros(weight.shape)
        for _ in range(ROUNDS):
            relative = jnp.abs(starlet(field, self.scales)) / (self.threshold * noise)
            field = self._map(_fista(descent, threshold / (1 + relative), rate, self.steps))
        return field

    def _analyse(self, shear):
        return starlet(kaiser_squires(shear)[..., 0], self.scales)

    def _map(self, coefficients):
        blank = jax.ShapeDtypeStruct(coefficients.shape[1:], coefficients.dtype)
        return jax.linear_transpose(lambda field: starlet(field, self.scales), blank)(coefficients)[0]


def gradient_deviation(weight: Float[Array, "n n bins"], scales: int) -> Float[Array, "bins planes n n"]:
    """ν_j(x): deviation of the starlet coefficients of Hᵀ N⁻¹ times noise of inverse variance `weight`.

    The variance at x is the sum over pixels of 1/σ² times the squared response of the coefficient to the pixel's shear.
    """
    n = weight.shape[0]
    response = jnp.sum(shear_of(jnp.moveaxis(_atoms(n, scales), 0, -1)) ** 2, axis=-1)
    modes = jnp.fft.rfft2(response, axes=(0, 1))[..., None, :] * jnp.fft.rfft2(weight, axes=(0, 1))[..., None]
    variance = jnp.fft.irfft2(modes, s=(n, n), axes=(0, 1))
    return jnp.sqrt(jnp.maximum(jnp.transpose(variance, (2, 3, 0, 1)), 0.0))


def _atoms(n, scales):
    return starlet(jnp.zeros((n, n)).at[0, 0].set(1.0), scales)


def _fista(descent, penalty, rate, steps):
    """Minimise a quadratic with minus its gradient given, plus a weighted sum of absolute values, from zero."""

    def step(state, _):
        x, ahead, t = state
        new = ahead + rate * descent(ahead)
        new = jnp.sign(new) * jnp.maximum(jnp.abs(new) - rate * penalty, 0.0)
        t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return (new, new + (t - 1) / t_new * (new - x), t_new), None

    blank = jnp.zeros_like(penalty)
    (x, *_), _ = jax.lax.scan(step, (blank, blank, jnp.ones(())), length=steps)
    return x
