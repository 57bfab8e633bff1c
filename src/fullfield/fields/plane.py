"""A periodic plane of a box, and two ways of drawing Gaussian-like fields on it, of which only one is Gaussian.

With N pixels of side Δ on a side L = N Δ, δ(k) = Δ² Σ_x δ(x) exp(-i k·x) and ⟨|δ(k)|²⟩ = L² P(k). Lengths are in the unit of L.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Key

from fullfield._core import ConfigurationError


class Plane(eqx.Module):
    """Square periodic plane.

    Args:
        pixels: number N of pixels on a side, even.
        side: length L of a side.
    """

    pixels: int = eqx.field(static=True)
    side: float = eqx.field(static=True)

    def __check_init__(self):
        if self.pixels < 4 or self.pixels % 2:
            raise ConfigurationError("pixels", expected="an even number of at least 4", got=self.pixels)
        if not self.side > 0:
            raise ConfigurationError("side", expected="a positive length", got=self.side)

    @property
    def wavenumbers(self) -> Float[np.ndarray, "n n"]:
        """|k| of each mode of the full plane, rows and columns in the order of `numpy.fft.fftfreq`."""
        axis = 2 * np.pi * np.fft.fftfreq(self.pixels, self.side / self.pixels)
        return np.hypot(axis[:, None], axis)

    def field(self, modes: Complex[Array, "n n"], power: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """Field of modes of unit power, coloured by P(k) on the full plane; only their Hermitian part is seen."""
        # The root of zero, which is the power of the mean, has no derivative.
        root = jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1.0)), 0.0)
        return jnp.fft.ifft2(modes * root).real * (self.pixels**2 / self.side)

    def power(self, field: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """|δ(k)|² / L² on the full plane, the estimate of P(k) in every mode."""
        return jnp.abs(jnp.fft.fft2(field)) ** 2 * (self.side / self.pixels**2) ** 2


class AbstractModes(eqx.Module):
    """How modes of unit power are drawn."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], pixels: int) -> Complex[Array, "n n"]:
        """Modes of the full plane in the order of `numpy.fft.fftfreq`."""

    @abc.abstractmethod
    def freedom(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """Degrees of freedom of |mode|² on the full plane, those that k and -k share halved; zero at k = 0."""

    @abc.abstractmethod
    def share(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """Mean of |mode|² of the field on the full plane: the share of P(k) that a mode has."""


class GaussianModes(AbstractModes):
    """A Gaussian random field: real and imaginary part of a mode are independent normals."""

    def draw(self, key: Key[Array, ""], pixels: int) -> Complex[Array, "n n"]:
        """Transform of white noise."""
        return jnp.fft.fft2(jax.random.normal(key, (pixels, pixels))) / pixels

    def freedom(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """One for every mode of the full plane."""
        weights = np.ones((pixels, pixels))
        weights[0, 0] = 0
        return weights

    def share(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """All of it."""
        return np.ones((pixels, pixels))


class RealAmplitudeModes(AbstractModes):
    """A real normal amplitude at a random phase, as the powerbox package draws modes: of the right power, but not Gaussian.

    |mode|² has one degree of freedom where a Gaussian field has two, so that such maps hold half its information; and rows at
    the Nyquist frequency have half the power. Published results on fields of that package (`gauss_hermitian`, Murray 2018, JOSS
    3, 850) belong to it.
    """

    def draw(self, key: Key[Array, ""], pixels: int) -> Complex[Array, "n n"]:
        """Amplitudes even and phases odd in k, on a plane of one more row and column, which are then cut off."""
        size = (pixels + 1, pixels + 1)
        amplitude = jax.random.normal(jax.random.fold_in(key, 0), size)
        phase = jax.random.uniform(jax.random.fold_in(key, 1), size, maxval=2 * np.pi)
        amplitude, phase = (amplitude + amplitude[::-1, ::-1]) / np.sqrt(2), (phase - phase[::-1, ::-1]) / 2
        return jnp.fft.ifftshift((amplitude * jnp.exp(1j * phase))[:-1, :-1])

    def freedom(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """Half for every mode but those that are their own partners."""
        weights = np.full((pixels, pixels), 0.5)
        half = pixels // 2
        weights[[0, half, half], [half, 0, half]] = 1
        weights[0, 0] = 0
        return weights

    def share(self, pixels: int) -> Float[np.ndarray, "n n"]:
        """Half at the Nyquist frequency, where the partner of a mode is cut off and the field has the mean of two strangers."""
        shares = np.ones((pixels, pixels))
        shares[pixels // 2], shares[:, pixels // 2] = 0.5, 0.5
        return shares
