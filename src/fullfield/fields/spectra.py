"""Auto- and cross-spectra of maps in multipole bands."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, ShapeError
from fullfield.fields.gaussian import pair_indices
from fullfield.fields.grid import FlatSky


OTHER_PATCH = "Make the bands for the patch of these maps."


class Bands(eqx.Module):
    """Multipole bands of a patch and the modes in them.

    Args:
        sky: patch of the maps.
        edges: band edges in ℓ, increasing, shape (bands + 1,).

    Raises:
        ConfigurationError: a band holds no mode of the patch.
    """

    sky: FlatSky
    edges: tuple[float, ...] = eqx.field(static=True)

    def __check_init__(self):
        empty = np.flatnonzero(self.modes == 0)
        if len(empty):
            raise ConfigurationError(
                "edges", expected="bands that hold modes", got=f"none between ℓ = {self.edges[empty[0]]:g} and the next edge"
            )

    @property
    def membership(self) -> np.ndarray:
        """Weight (bands, n, n/2 + 1) of each mode of a real transform: two for a mode that stands for its mirror too."""
        weight = np.full(self.sky.multipoles().shape, 2.0)
        weight[:, [0, -1]] = 1.0
        return self._inside * weight

    @property
    def plane(self) -> np.ndarray:
        """Whether each mode of the full plane is in each band, (bands, n, n)."""
        mirrored = np.roll(self._inside[:, ::-1, -2:0:-1], 1, axis=1)
        return np.concatenate([self._inside, mirrored], axis=2)

    @property
    def modes(self) -> np.ndarray:
        """Number of modes in each band."""
        return self.membership.sum((1, 2))

    @property
    def centres(self) -> np.ndarray:
        """Mean multipole of the modes of each band."""
        return (self.membership * self.sky.multipoles()).sum((1, 2)) / self.modes

    @property
    def _inside(self) -> np.ndarray:
        multipoles, edges = self.sky.multipoles(), np.asarray(self.edges)
        return (multipoles >= edges[:-1, None, None]) & (multipoles < edges[1:, None, None])


def logarithmic_bands(sky: FlatSky, count: int) -> Bands:
    """Bands of equal width in log ℓ from the fundamental to the Nyquist multipole, merged until each holds modes."""
    edges = np.geomspace(0.99 * sky.fundamental, sky.nyquist, count + 1)
    counts = np.histogram(sky.multipoles().ravel(), edges)[0]
    keep = np.concatenate([counts > 0, [True]])
    return Bands(sky, tuple(float(edge) for edge in edges[keep]))


def band_powers(bands: Bands, maps: Float[Array, "n n bins"]) -> Float[Array, "pairs bands"]:
    """Measure auto- and cross-spectra (sr) of maps; no correction for pixel window, mask or noise.

    Of masked maps, zero where nothing is observed, they are powers of map times mask: lower by about the observed share of the
    patch, and smeared over bands. Compare with simulations under the same mask.

    Args:
        bands: bands of the maps' patch.
        maps: maps with axes (y, x, bin).

    Returns:
        Spectra in the pair order of `pair_indices`.

    Raises:
        ShapeError: the maps have other pixels than the bands' patch.
    """
    return _averaged(bands, jnp.real(_products(bands, maps)))


def band_moduli(bands: Bands, maps: Float[Array, "n n bins"]) -> Float[Array, "pairs bands"]:
    """The same with the modulus |a b*| of every mode in place of its real part, which changes cross-spectra.

    So the public code of Kacprzak & Fluri 2022 (PRX 12, 031029) measures spectra. For Gaussian modes of correlation r it is
    π/4 √(C_a C_b) (1 + r²/4 + ...): it hardly depends on the correlation, and not at all on its sign.

    Args:
        bands: bands of the maps' patch.
        maps: maps with axes (y, x, bin).

    Raises:
        ShapeError: the maps have other pixels than the bands' patch.
    """
    return _averaged(bands, jnp.abs(_products(bands, maps)))


def _products(bands, maps):
    """Product of the modes of every pair of maps."""
    n = bands.sky.pixels
    if maps.shape[:2] != (n, n):
        raise ShapeError("maps", expected=f"{n} x {n} pixels, as the bands' patch has", got=maps.shape, remedy=OTHER_PATCH)
    modes = jnp.fft.rfft2(maps, axes=(0, 1)) * bands.sky.side_radians / bands.sky.pixels**2
    first, second = pair_indices(maps.shape[-1])
    return modes[..., first] * jnp.conj(modes[..., second])


def _averaged(bands, products):
    weight = jnp.asarray(bands.membership / bands.modes[:, None, None], products.dtype)
    return jnp.einsum("byx,yxp->pb", weight, products, precision="highest")


def correlation_coefficient(
    bands: Bands, first: Float[Array, "k n n bins"], second: Float[Array, "k n n bins"]
) -> Float[Array, "bins bands"]:
    """Correlation r(ℓ) = ⟨X⟩ / (⟨P₁⟩ ⟨P₂⟩)^½ of two sets of maps, bin by bin, with powers averaged over the k maps of each.

    Args:
        bands: bands of the maps' patch.
        first: maps, such as contrasts of matter.
        second: maps that go with them, such as contrasts of galaxies.
    """
    bins = first.shape[-1]
    both = jnp.concatenate([first, second], axis=-1)
    powers = jnp.mean(jax.lax.map(lambda maps: band_powers(bands, maps), both), axis=0)
    number = {pair: i for i, pair in enumerate(zip(*pair_indices(2 * bins), strict=True))}
    one, other, cross = (
        powers[jnp.array([number[i + a, i + b] for i in range(bins)])] for a, b in ((0, 0), (bins, bins), (0, bins))
    )
    return cross / jnp.sqrt(one * other)


def pairs_within(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of maps, autos among them, of which both are in one group: what is left when groups are not correlated.

    Args:
        groups: numbers of the maps in each. For two probes of four bins ((0, 1, 2, 3), (4, 5, 6, 7)) leaves out lensing with
            clustering, and eight groups of one leave autos alone.
    """
    return tuple(sorted((i, j) for group in groups for i in group for j in group if i <= j))


def banded(bands: Bands, power: Float[Array, "pairs m m"]) -> Float[Array, "pairs bands"]:
    """Average lattice power on the octant over the modes of each band: what `band_powers` measures in the mean."""
    m = bands.sky.pixels // 2 + 1
    plane = jnp.concatenate([power, power[:, m - 2 : 0 : -1]], axis=1)
    weight = jnp.asarray(bands.membership / bands.modes[:, None, None], power.dtype)
    return jnp.einsum("byx,pyx->pb", weight, plane, precision="highest")
