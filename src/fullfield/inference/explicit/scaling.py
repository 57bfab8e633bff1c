"""Linear maps that give latents unit curvature: diagonal, dense, or one small matrix per scale of a field."""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision


SMALL = 256  # latents for which a dense matrix costs nothing


class AbstractScaling(eqx.Module):
    """A root S of the inverse curvature of some latents, S Sᵀ ≈ H⁻¹."""

    @abc.abstractmethod
    def __call__(self, white: Float[Array, " m"]) -> Float[Array, " m"]:
        """S times a vector."""

    @abc.abstractmethod
    def inverse(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """S⁻¹ times a vector."""

    @abc.abstractmethod
    def probes(self, random: np.random.Generator) -> Float[np.ndarray, "probes m"]:
        """Directions along which the curvature must be known."""

    @abc.abstractmethod
    def fitted(self, probes: Float[np.ndarray, "probes m"], curvature: Float[np.ndarray, "probes m"]) -> "AbstractScaling":
        """Scaling of the curvature H whose products with the probes are given."""

    def solve(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """H⁻¹ = S Sᵀ times a vector."""
        return self(self.transposed(latents))

    @abc.abstractmethod
    def transposed(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Sᵀ times a vector."""


class Unit(AbstractScaling):
    """No scaling, of latents whose curvature is about one already.

    Args:
        size: number of latents.
    """

    size: int = eqx.field(static=True)

    def __call__(self, white: Float[Array, " m"]) -> Float[Array, " m"]:
        """The same."""
        return white

    def inverse(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """The same."""
        return latents

    def transposed(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """The same."""
        return latents

    def probes(self, random: np.random.Generator) -> Float[np.ndarray, "probes m"]:
        """None."""
        return np.zeros((0, self.size))

    def fitted(self, probes: Float[np.ndarray, "probes m"], curvature: Float[np.ndarray, "probes m"]) -> "Unit":
        """The same."""
        return self


class Diagonal(AbstractScaling):
    """One scale per latent, from Hutchinson's estimate of the diagonal of the curvature.

    Args:
        scale: standard deviations (m,).

    Source: Bekas, Kokiopoulou & Saad 2007, Applied Numerical Mathematics 57, 1214.
    """

    scale: Float[Array, " m"]

    def __call__(self, white: Float[Array, " m"]) -> Float[Array, " m"]:
        """Scale each latent."""
        return self.scale * white

    def inverse(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Divide by the scales."""
        return latents / self.scale

    def transposed(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Scale each latent."""
        return self.scale * latents

    def probes(self, random: np.random.Generator) -> Float[np.ndarray, "probes m"]:
        """Sixteen vectors of random signs."""
        return random.choice([-1.0, 1.0], (16, self.scale.size))

    def fitted(self, probes: Float[np.ndarray, "probes m"], curvature: Float[np.ndarray, "probes m"]) -> "Diagonal":
        """Inverse root of the diagonal, which the prior of a white latent keeps above one."""
        return Diagonal(jnp.asarray(np.maximum(np.mean(probes * curvature, axis=0), 1.0) ** -0.5, self.scale.dtype))


class Dense(AbstractScaling):
    """A full matrix, for a few latents.

    Args:
        root: S (m, m), lower triangular.
    """

    root: Float[Array, "m m"]

    @full_precision
    def __call__(self, white: Float[Array, " m"]) -> Float[Array, " m"]:
        """Matrix product."""
        return self.root @ white

    def inverse(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Solve the triangular system."""
        return jnp.linalg.solve(self.root, latents)

    @full_precision
    def transposed(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Matrix product with the transpose."""
        return self.root.T @ latents

    def probes(self, random: np.random.Generator) -> Float[np.ndarray, "probes m"]:
        """Every axis."""
        return np.eye(len(self.root))

    def fitted(self, probes: Float[np.ndarray, "probes m"], curvature: Float[np.ndarray, "probes m"]) -> "Dense":
        """Inverse root of the curvature, eigenvalues below one set to one."""
        return Dense(jnp.asarray(inverse_root(curvature), self.root.dtype))


class Modes(AbstractScaling):
    """One lower-triangular matrix between the bins per |k| of a square field whose latents are Hartley coefficients.

    In a statistically isotropic field the curvature depends on |k| alone, so that averages over rings need few probes.

    Args:
        root: elements S_ij, j <= i, of each mode's matrix (pairs, n, n), row after row; latents have shape (bins, n, n).
        bins: number of bins.
    """

    root: Float[Array, "pairs n n"]
    bins: int = eqx.field(static=True)

    @classmethod
    def unit(cls, bins: int, pixels: int) -> "Modes":
        """No scaling."""
        row, column = np.tril_indices(bins)
        return cls(jnp.broadcast_to(jnp.asarray(row == column, float)[:, None, None], (len(row), pixels, pixels)), bins)

    def _unstacked(self, latents):
        # Sums over bins are written out, element by element: a batched product of small matrices is many times slower.
        places = [(i, j) for i in range(self.bins) for j in range(i + 1)]
        elements = dict(zip(places, jnp.unstack(self.root), strict=True))
        return elements, jnp.unstack(latents.reshape(self.bins, *self.root.shape[1:]))

    def __call__(self, white: Float[Array, " m"]) -> Float[Array, " m"]:
        """Mix the bins of each mode."""
        root, fields = self._unstacked(white)
        return jnp.stack([sum(root[i, j] * fields[j] for j in range(i + 1)) for i in range(self.bins)]).ravel()

    def inverse(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Unmix the bins of each mode, by substitution."""
        root, fields = self._unstacked(latents)
        found: list[Array] = []
        for i in range(self.bins):
            found.append((fields[i] - sum(root[i, j] * found[j] for j in range(i))) / root[i, i])
        return jnp.stack(found).ravel()

    def transposed(self, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Mix with the transposed matrices."""
        root, fields = self._unstacked(latents)
        return jnp.stack([sum(root[i, j] * fields[i] for i in range(j, self.bins)) for j in range(self.bins)]).ravel()

    def probes(self, random: np.random.Generator) -> Float[np.ndarray, "probes m"]:
        """Random signs in one bin at a time."""
        bins, n = self.bins, self.root.shape[-1]
        signs = random.choice([-1.0, 1.0], (bins, n, n))
        return np.stack([signs * (np.arange(bins) == bin_)[:, None, None] for bin_ in range(bins)]).reshape(bins, -1)

    def fitted(self, probes: Float[np.ndarray, "probes m"], curvature: Float[np.ndarray, "probes m"]) -> "Modes":
        """Inverse root of the curvature averaged over rings, eigenvalues below one set to one."""
        bins, n = self.bins, self.root.shape[-1]
        signs = probes.reshape(-1, bins, bins, n, n).sum(2)[:, :, None]
        products = (signs * curvature.reshape(-1, bins, bins, n, n)).mean(0).reshape(bins, bins, -1)
        ring = _rings(n).ravel()
        counts = np.bincount(ring)
        mean = np.stack([[np.bincount(ring, weights=row) / counts for row in rows] for rows in products])
        roots = np.stack([inverse_root(matrix)[np.tril_indices(bins)] for matrix in np.moveaxis(mean, -1, 0)], axis=1)
        return Modes(jnp.asarray(roots[:, _rings(n)], self.root.dtype), bins)


def inverse_root(curvature: Float[np.ndarray, "m m"], least: float = 1.0) -> Float[np.ndarray, "m m"]:
    """Lower-triangular S with S Sᵀ = H⁻¹, where eigenvalues of H below `least` count as `least`."""
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.linalg.cholesky((vectors / np.maximum(values, least)) @ vectors.T)


def _rings(pixels: int) -> np.ndarray:
    """Rounded |k| of each Hartley coefficient, (n, n)."""
    wavenumber = np.fft.fftfreq(pixels, 1 / pixels)
    return np.rint(np.hypot(wavenumber[:, None], wavenumber)).astype(int)
