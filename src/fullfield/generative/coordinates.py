"""White coordinates of parameters and field given an observation, in which a joint diffusion has little left to learn.

    u = R (z - W s - m),    v(ℓ) = Λ^-½ Uᵀ [(κ - κ_y) / σ](ℓ),

with z the unconstrained parameters, s a summary of the observation and R, W, m of their regression on it; κ_y the field that a
Gaussian would expect of the observation, σ the deviation of what it misses, pixel by pixel and larger behind a mask, U Λ Uᵀ the
covariance of that between the bins, ring by ring in ℓ, measured on simulations. Were all Gaussian and the observation of the
same depth everywhere, u and v would be white noise, which every mode of a diffusion sees alike. Without an observation κ_y = 0,
and σ² Λ is the power of the field itself.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float, Int

from fullfield._core import full_precision
from fullfield.fields import each_mode, unitary_hartley
from fullfield.networks import ConditionalFlow, regression


FLOOR = 1e-6  # of the largest eigenvalue


class Rings(eqx.Module):
    """Covariance of maps between bins, ring by ring of the Fourier plane: one for each multiple of the fundamental multipole.

    Args:
        basis: U (r, b, b).
        scale: Λ^½ (r, b).
        pixels: n on a side of the maps.
    """

    basis: paramax.NonTrainable | Float[Array, "r b b"]
    scale: paramax.NonTrainable | Float[Array, "r b"]
    pixels: int = eqx.field(static=True)

    def __init__(self, basis: Float[Array, "r b b"], scale: Float[Array, "r b"], pixels: int):
        self.basis, self.scale, self.pixels = paramax.NonTrainable(basis), paramax.NonTrainable(scale), pixels

    @classmethod
    def blank(cls, pixels: int, bins: int) -> "Rings":
        """Nothing measured yet."""
        rings = int(ring_numbers(pixels).max()) + 1
        return cls(jnp.broadcast_to(jnp.eye(bins), (rings, bins, bins)), jnp.ones((rings, bins)), pixels)

    @full_precision
    def fitted_to(self, maps: Float[Array, "m n n b"]) -> "Rings":
        """The same, measured on maps."""
        modes = jnp.fft.fft2(maps, axes=(1, 2), norm="ortho")
        products = jnp.einsum("myxi,myxj->yxij", modes, jnp.conj(modes)).real / len(maps)
        n, numbers = self.pixels, ring_numbers(self.pixels)
        full = np.concatenate([numbers, numbers[:, n // 2 - 1 : 0 : -1]], axis=1)
        counts = np.bincount(full.ravel())
        member = jnp.asarray((np.arange(len(counts))[:, None] == full.ravel()) / counts[:, None], jnp.float32)
        bins = maps.shape[-1]
        covariance = (member @ products.reshape(n * n, bins * bins)).reshape(-1, bins, bins)
        values, basis = jnp.linalg.eigh(covariance)
        return Rings(basis, jnp.sqrt(jnp.maximum(values, FLOOR * jnp.max(values))), n)

    def white(self, maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Λ^-½ Uᵀ, as maps."""
        basis, scale = paramax.unwrap((self.basis, self.scale))
        return self._each(maps, jnp.swapaxes(basis / scale[:, None, :], 1, 2))

    def coloured(self, maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """U Λ^½, the way back."""
        basis, scale = paramax.unwrap((self.basis, self.scale))
        return self._each(maps, basis * scale[:, None, :])

    @full_precision
    def _each(self, maps, matrices):
        modes = jnp.fft.rfft2(maps, axes=(0, 1))
        turned = jnp.einsum("yxij,yxj->yxi", matrices[ring_numbers(self.pixels)], modes)
        return jnp.fft.irfft2(turned, s=(self.pixels, self.pixels), axes=(0, 1))


def ring_numbers(pixels: int) -> Int[np.ndarray, "n m"]:
    """Number of the ring of each mode of a real transform, the multipole in units of the fundamental one."""
    return np.rint(np.hypot(np.fft.fftfreq(pixels, 1 / pixels)[:, None], np.arange(pixels // 2 + 1))).astype(int)


class Colour(eqx.Module):
    """A linear map of fields, mode by mode, such as from white latents to the field they stand for.

    Args:
        matrices: of each Hartley mode (b, b, n, n), the same at ℓ and -ℓ.
    """

    matrices: paramax.NonTrainable | Float[Array, "b b n n"]

    def __init__(self, matrices: Float[Array, "b b n n"]):
        self.matrices = paramax.NonTrainable(matrices)

    def __call__(self, maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Fields of white maps."""
        return self._each(maps, paramax.unwrap(self.matrices))

    def transposed(self, maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """The transpose, by which slopes by the field become slopes by white maps."""
        return self._each(maps, jnp.swapaxes(paramax.unwrap(self.matrices), 0, 1))

    @full_precision
    def _each(self, maps, matrices):
        return jnp.moveaxis(_hartley(each_mode(matrices, _hartley(jnp.moveaxis(maps, -1, 0)))), 0, -1)


def _hartley(maps):
    return unitary_hartley(maps[..., None])[..., 0]


class Coordinates(eqx.Module):
    """White coordinates of unconstrained parameters and field, given what an observation says of them.

    Args:
        regression: of the parameters on the summary.
        deviation: σ (n, n, b).
        rings: covariance of what the expected field misses, in units of σ.
    """

    regression: ConditionalFlow
    deviation: paramax.NonTrainable | Float[Array, "n n b"]
    rings: Rings

    @classmethod
    def blank(cls, parameters: int, summary: int, pixels: int, bins: int) -> "Coordinates":
        """Nothing measured yet."""
        deviation = paramax.NonTrainable(jnp.ones((pixels, pixels, bins)))
        return cls(regression(parameters, summary, degree=1), deviation, Rings.blank(pixels, bins))

    def fitted_to(
        self,
        unconstrained: Float[Array, "m p"],
        field: Float[Array, "m n n b"],
        expected: Float[Array, "m n n b"],
        summary: Float[Array, "m s"],
    ) -> "Coordinates":
        """The same, measured on simulations.

        Raises:
            DataError: there are too few of them for the regression.
        """
        missed = field - expected
        deviation = jnp.sqrt(jnp.mean(missed**2, axis=0))
        deviation = jnp.maximum(deviation, FLOOR * jnp.max(deviation))
        fitted = self.regression.fitted_to(unconstrained, summary)
        return Coordinates(fitted, paramax.NonTrainable(deviation), self.rings.fitted_to(missed / deviation))

    def white(self, maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Λ^-½ Uᵀ (maps / σ)."""
        return self.rings.white(maps / paramax.unwrap(self.deviation))

    def coloured(self, white: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """The way back."""
        return paramax.unwrap(self.deviation) * self.rings.coloured(white)
