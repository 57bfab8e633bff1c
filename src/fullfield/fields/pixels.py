"""What pixels do to a spectrum: windows, aliases and averages, as one matrix from C_ℓ to the power of lattice modes.

A map is a function on a lattice. Its power P at lattice mode k is the sum over the aliases K of the sky's spectrum seen
through the pixel window, P(k) = Σ_K |W(k + K)|² C(|k + K|). A lattice averaged in blocks of f x f pixels keeps
P'(k) = Σ_K |D(k + K)|² P(k + K), where D is the Dirichlet kernel of the block and the sum runs over its f² aliases. Both are
linear in C, so one matrix, made once, carries interpolation, window and aliases; a map simulated on the coarse lattice
then has exactly the spectrum of one simulated on the fine lattice and averaged.

Lattice arrays are kept on the octant 0 <= k_y, k_x <= N/2, m = N/2 + 1 on a side, which for an isotropic field is all.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.fields.grid import FlatSky


class AbstractPixelWindow(eqx.Module):
    """How a pixel value follows from the sky."""

    @abc.abstractmethod
    def power(self, wavenumber: np.ndarray, aliases: int) -> tuple[np.ndarray, np.ndarray]:
        """One-dimensional window.

        Args:
            wavenumber: lattice wavenumbers in cycles per pixel, shape (n,).
            aliases: how many aliases to each side are wanted.

        Returns:
            Wavenumbers (n, a) in cycles per pixel that fold onto the lattice wavenumber, and |W|² (n, a) at them.
        """


class PointSampled(AbstractPixelWindow):
    """The map holds the band-limited field at pixel centres: no window, no aliases (the convention of sbi_lens)."""

    def power(self, wavenumber: np.ndarray, aliases: int) -> tuple[np.ndarray, np.ndarray]:
        """Unit window at the wavenumber itself."""
        return wavenumber[:, None], np.ones((len(wavenumber), 1))


class PixelAveraged(AbstractPixelWindow):
    """The map holds the field's mean over each square pixel, as a mean of galaxy shears does."""

    def power(self, wavenumber: np.ndarray, aliases: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared sinc at the wavenumber and its aliases."""
        folded = wavenumber[:, None] + np.arange(-aliases, aliases + 1)
        return folded, np.sinc(folded) ** 2


class Lattice(eqx.Module):
    """The maps between a spectrum at fixed multipoles, lattice power and lattice correlation functions.

    Args:
        sky: the patch as it is simulated.
        window: pixel window on the fine lattice.
        oversampling: pixels of the fine lattice per simulated pixel side; the simulated map is the average of the fine one.
    """

    sky: FlatSky
    window: AbstractPixelWindow
    oversampling: int = eqx.field(static=True)
    multipoles: Float[Array, " n_ell"]
    to_power: Float[Array, "m m n_ell"]
    to_correlation: Float[Array, "n_ell m m"]
    to_block_correlation: Float[Array, "f f n_ell"]
    cosines: Float[Array, "m m"]

    ALIASES = 2
    NODES = 72

    def __init__(self, sky: FlatSky, window: AbstractPixelWindow | None = None, oversampling: int = 1):
        self.sky, self.oversampling = sky, oversampling
        self.window = PixelAveraged() if window is None else window
        fine = FlatSky(sky.pixels * oversampling, sky.side)
        index = np.arange(fine.pixels // 2 + 1)
        folded, weight = self.window.power(index / fine.pixels, self.ALIASES)
        folded = folded * fine.pixels  # to mode numbers
        largest = np.sqrt(2) * np.abs(folded).max()
        mode_nodes = np.geomspace(1, largest, self.NODES)
        fine_power = _fold(folded, weight, mode_nodes)
        power = _average(fine_power, sky.pixels, oversampling)
        cosines, block = _cosines(sky.pixels), _cosines(fine.pixels)[:oversampling]
        area = sky.side_radians**2
        with jax.ensure_compile_time_eval():
            self.multipoles = jnp.asarray(mode_nodes * sky.fundamental, jnp.float32)
            self.cosines = jnp.asarray(cosines, jnp.float32)
            self.to_power = jnp.asarray(power, jnp.float32)
            self.to_correlation = jnp.asarray(np.moveaxis(_correlation(cosines, power), -1, 0) / area, jnp.float32)
            self.to_block_correlation = jnp.asarray(_correlation(block, fine_power) / area, jnp.float32)

    def power(self, spectra: Float[Array, "pairs n_ell"]) -> Float[Array, "pairs m m"]:
        """Lattice power (sr) of spectra C_ℓ given at `multipoles`; zero at the zero mode."""
        return jnp.einsum("pn,kln->pkl", spectra, self.to_power, precision="highest")

    def correlation(self, spectra: Float[Array, "pairs n_ell"]) -> Float[Array, "pairs m m"]:
        """Correlation function at lattice separations 0 .. N/2 along each axis, of spectra C_ℓ given at `multipoles`."""
        return jnp.einsum("pn,nxy->pxy", spectra, self.to_correlation, precision="highest")

    def power_of(self, correlation: Float[Array, "pairs m m"]) -> Float[Array, "pairs m m"]:
        """Lattice power (sr) of a correlation function, its inverse transform."""
        power = _halved_sum(self.cosines, _halved_sum(self.cosines, correlation).mT).mT
        return power * self.sky.side_radians**2 / self.sky.pixels**2

    def block_correlation(self, spectra: Float[Array, "pairs n_ell"]) -> Float[Array, "pairs f f"]:
        """Correlation function of the fine lattice at the separations inside one averaged block."""
        return jnp.einsum("pn,xyn->pxy", spectra, self.to_block_correlation, precision="highest")


def _halved_sum(cosines, sequence):
    """Product `cosines` @ `sequence` by half the work: cos(2π (N/2 - k) x / N) = (-1)^x cos(2π k x / N)."""
    m = len(cosines)
    half = (m + 1) // 2
    # Reduced precision of matrix products on some accelerators would be visible in the small-scale power.
    even, odd = (jnp.matmul(cosines[:half, i::2], sequence[..., i::2, :], precision="highest") for i in (0, 1))
    return jnp.concatenate([even + odd, (even - odd)[..., m - half - 1 :: -1, :]], axis=-2)


def _cosines(pixels: int) -> np.ndarray:
    """Matrix (m, m) that sums a real, even sequence of N terms given by its first m = N/2 + 1 against cosines."""
    index = np.arange(pixels // 2 + 1)
    multiplicity = np.where((index == 0) | (index == pixels // 2), 1.0, 2.0)
    return multiplicity * np.cos(2 * np.pi * index[:, None] * index / pixels)


def _correlation(cosines: np.ndarray, power: np.ndarray) -> np.ndarray:
    return np.einsum("xk,kln,yl->xyn", cosines, power, cosines, optimize=True)


def _fold(folded: np.ndarray, weight: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Matrix (m, m, n) from a spectrum at mode numbers `nodes` to windowed, aliased lattice power."""
    m = len(folded)
    result = np.zeros((m, m, len(nodes)))
    rows, columns = np.indices((m, m))
    for row_alias in range(folded.shape[1]):
        for column_alias in range(folded.shape[1]):
            mode = np.hypot(folded[:, None, row_alias], folded[None, :, column_alias])
            share = weight[:, None, row_alias] * weight[None, :, column_alias]
            first, lagrange = _interpolation(mode, nodes)
            for offset in range(4):
                np.add.at(result, (rows, columns, first + offset), share * lagrange[offset])
    result[0, 0] = 0.0
    return result


def _interpolation(mode: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index and four weights of cubic Lagrange interpolation of ℓ^1.5 C_ℓ in log ℓ."""
    safe = np.maximum(mode, nodes[0])
    position = np.log(safe / nodes[0]) / np.log(nodes[1] / nodes[0])
    first = np.clip(np.floor(position).astype(int) - 1, 0, len(nodes) - 4)
    t = position - first
    weights = np.stack(
        [
            -(t - 1) * (t - 2) * (t - 3) / 6,
            t * (t - 2) * (t - 3) / 2,
            -t * (t - 1) * (t - 3) / 2,
            t * (t - 1) * (t - 2) / 6,
        ]
    )
    steepness = np.stack([(nodes[first + offset] / safe) ** 1.5 for offset in range(4)])
    return first, weights * steepness


def _average(power: np.ndarray, pixels: int, factor: int) -> np.ndarray:
    """Octant power (fine octant, fine octant, n) after averaging blocks of `factor` x `factor` pixels."""
    if factor == 1:
        return power
    fine = pixels * factor
    mode = np.arange(fine)
    angle = np.pi * np.minimum(mode, fine - mode) / fine
    with np.errstate(invalid="ignore"):
        dirichlet = np.where(angle == 0, 1.0, (np.sin(factor * angle) / (factor * np.sin(angle))) ** 2)
    mirrored = np.minimum(mode, fine - mode)
    half = pixels // 2 + 1
    result = np.zeros((half, half, power.shape[-1]))
    for row_alias in range(factor):
        row = np.arange(half) + row_alias * pixels
        for column_alias in range(factor):
            column = np.arange(half) + column_alias * pixels
            share = dirichlet[row][:, None] * dirichlet[column]
            result += share[..., None] * power[np.ix_(mirrored[row], mirrored[column])]
    result[0, 0] = 0.0
    return result
