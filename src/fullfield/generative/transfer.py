"""A transfer function: maps rescaled mode by mode, so that a cheap suite's spectra become a costly one's at every cosmology.

    κ'(ℓ) = [P₁(ℓ, θ) / P₀(ℓ, θ)]^½ κ(ℓ),    ln P_s(ℓ, θ) a quadratic polynomial of θ,

bin by bin and for each ring of the Fourier plane. Between stationary Gaussian fields of one bin it is the optimal transport
itself; of other fields it mends the spectrum and keeps all phases.

The polynomials maximise the likelihood of measured powers that scatter in proportion to their mean, -Σ [P̂/P + ln P], which is
right on the mean whatever the field: a fit of ln P̂ would be low by the scatter of few modes, and otherwise in another suite.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float

from fullfield._core import DataError, ShapeError
from fullfield.generative.coordinates import FLOOR, ring_numbers
from fullfield.generative.denoiser import filtered
from fullfield.networks import moments, Standardise
from fullfield.networks.density import polynomials
from fullfield.simulators import Simulations


DEGREE = 2
SCORINGS = 50  # of the likelihood's maximum; from the start taken here it needs ten


class TransferFunction(eqx.Module):
    """Ratio of two suites' spectra as a function of parameters, for maps (n, n, bins).

    Args:
        scale: of the parameters.
        coefficients: of ln P₀ and ln P₁ in each ring and bin (2, r, b, f).
        pixels: n on a side of the maps.
    """

    scale: Standardise
    coefficients: paramax.NonTrainable | Float[Array, "2 r b f"]
    pixels: int = eqx.field(static=True)

    def __init__(self, scale: Standardise, coefficients: Float[Array, "2 r b f"], pixels: int):
        self.scale, self.coefficients, self.pixels = scale, paramax.NonTrainable(coefficients), pixels

    @classmethod
    def of_suites(cls, cheap: Simulations, costly: Simulations) -> "TransferFunction":
        """Measured on suites (n, ...) and (m, ...), which need have neither parameters nor seeds in common.

        Raises:
            DataError: a suite has fewer simulations than three times the polynomial's coefficients.
        """
        scale = moments(jnp.concatenate([cheap.theta, costly.theta]))
        fits = [_log_powers(name, scale, suite) for name, suite in (("cheap", cheap), ("costly", costly))]
        return cls(scale, jnp.asarray(np.stack(fits), jnp.float32), cheap.data.shape[1])

    def check(self, maps: Float[Array, "n n b"]) -> None:
        """Refuse maps of other pixels or bins than those measured.

        Raises:
            ShapeError: they are such.
        """
        expected = (self.pixels, self.pixels, paramax.unwrap(self.coefficients).shape[2])
        if maps.shape != expected:
            remedy = "A transport is of the pixels and bins that it was learnt from."
            raise ShapeError("maps", expected=f"{expected}, axes (y, x, bin)", got=maps.shape, remedy=remedy)

    def roots(self, theta: Float[Array, " p"]) -> Float[Array, "2 r b"]:
        """√P₀ and √P₁ at parameters (p,), of the unitary Fourier transform; those of next to no power are held at a floor."""
        features = polynomials(self.scale(theta), DEGREE)
        power = jnp.exp(paramax.unwrap(self.coefficients) @ jnp.concatenate([jnp.ones(1), features]))
        return jnp.sqrt(jnp.maximum(power, FLOOR * jnp.max(power, axis=1, keepdims=True)))

    def __call__(self, theta: Float[Array, " p"], maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Rescaled maps at parameters (p,)."""
        self.check(maps)
        return filtered(maps, self._ratio(theta))

    def inverse(self, theta: Float[Array, " p"], maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """The way back."""
        return filtered(maps, 1 / self._ratio(theta))

    def log_det(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """ln |∂κ'/∂κ|, ½ ln(P₁/P₀) summed over all modes."""
        weight = jnp.asarray(mode_weights(self.pixels), jnp.float32)
        return jnp.sum(weight[..., None] * jnp.log(self._ratio(theta)))

    def _ratio(self, theta):
        cheap, costly = self.roots(theta)
        return (costly / cheap)[ring_numbers(self.pixels)]


def ring_powers(maps: Float[Array, "n n b"]) -> Float[Array, "r b"]:
    """Mean |mode|² in each ring of the Fourier plane, of the unitary transform: one for white maps of unit variance."""
    return ring_means(jnp.abs(jnp.fft.rfft2(maps, axes=(0, 1), norm="ortho")) ** 2)


def ring_means(values: Float[Array, "n m b"]) -> Float[Array, "r b"]:
    """Mean in each ring of values on the half-plane of a real transform."""
    numbers, weight = ring_numbers(len(values)), mode_weights(len(values))
    counts = np.bincount(numbers.ravel(), weight.ravel())
    flat = (jnp.asarray(weight, jnp.float32)[..., None] * values).reshape(-1, values.shape[-1])
    return jax.ops.segment_sum(flat, jnp.asarray(numbers.ravel()), len(counts)) / jnp.asarray(counts, jnp.float32)[:, None]


def mode_weights(pixels: int) -> Float[np.ndarray, "n m"]:
    """How many modes of the full plane each one of a real transform stands for."""
    weight = np.full((pixels, pixels // 2 + 1), 2.0)
    weight[:, [0, pixels // 2]] = 1.0
    return weight


@eqx.filter_jit
def _many_powers(maps):
    return jax.lax.map(ring_powers, maps, batch_size=min(64, len(maps)))


def _log_powers(name: str, scale: Standardise, suite: Simulations) -> np.ndarray:
    """Coefficients (r, b, f) of ln P by Fisher's scoring."""
    theta = jax.vmap(lambda one: polynomials(scale(one), DEGREE))(jnp.asarray(suite.theta, jnp.float32))
    features = np.concatenate([np.ones((len(theta), 1)), np.asarray(theta, float)], axis=1)
    if len(features) < 3 * features.shape[1]:
        raise DataError(
            name, expected=f"at least {3 * features.shape[1]} simulations for spectra as functions of parameters",
            got=len(features), remedy="Simulate more.",
        )  # fmt: skip
    measured = np.asarray(_many_powers(jnp.asarray(suite.data, jnp.float32)), float)
    shape, measured = measured.shape[1:], measured.reshape(len(measured), -1)
    measured = np.maximum(measured, 1e-3 * FLOOR * max(measured.mean(), np.finfo(float).tiny))
    solve = np.linalg.pinv(features)
    found = solve @ np.log(measured)
    found[0] += np.log(np.mean(measured / np.exp(features @ found), axis=0))
    for _ in range(SCORINGS):
        found += solve @ (measured / np.exp(features @ found) - 1)
    return np.moveaxis(found.reshape(-1, *shape), 0, -1)
