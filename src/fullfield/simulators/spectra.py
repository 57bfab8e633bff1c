"""The classical analysis: auto- and cross-spectra of lensing maps in bands, with a Gaussian likelihood.

The mean is what `fields.band_powers` measures in the mean on maps of the lensing model, noise included. The covariance is that
of Gaussian fields, Cov(C_ij, C_kl) = (C_ik C_jl + C_il C_jk) / N with N modes in the band (Knox 1995, PRD 52, 4307; Hu & Jain
2004, PRD 70, 043009, eq. 20). The baseline of Zeghal et al. 2025 (A&A 699, A327), section 4.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, full_precision
from fullfield.fields import band_powers, banded, Bands, FlatSky, pair_indices
from fullfield.parameters import ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.lensing import LensingModel


def linear_bands(sky: FlatSky, first: float = 100.0, last: float = 5000.0, step: float = 50.0) -> Bands:
    """Bands of equal width in ℓ, as published from 100 to 5000 in steps of 50, cut at the patch's Nyquist multipole.

    Bands without a mode of the patch are joined to the next.

    Raises:
        ConfigurationError: the Nyquist multipole leaves no band.
    """
    edges = np.arange(first, min(last, sky.nyquist) + 1e-6, step)
    if len(edges) < 2:
        raise ConfigurationError(
            "sky", expected=f"a Nyquist multipole above {first + step:g}", got=f"{sky.nyquist:.4g}", remedy="Take more pixels."
        )
    counts = np.histogram(sky.multipoles().ravel(), edges)[0]
    return Bands(sky, tuple(float(edge) for edge in edges[np.concatenate([counts > 0, [True]])]))


class SpectrumModel(AbstractExplicitModel):
    """Band powers (bands, pairs) of lensing maps, Gaussian, without latents.

    Data are band powers in units of the noise power of their pair of bins, √(N_i N_j): `measure` makes them from maps.

    Args:
        lensing: model of the maps.
        bands: bands in ℓ; `linear_bands` of the maps' patch if not given.
        fixed_at: parameters at which the covariance is held fixed; if not given it follows the cosmology, with its determinant.
        modes: number of modes in each band, those of the patch if not given; `modes_of_sky` counts those of a sky fraction.

    Raises:
        ConfigurationError: the survey is masked, which couples modes; or the maps are those of another patch.
    """

    lensing: LensingModel
    bands: Bands
    parameters: ParameterSpace
    to_bands: Float[Array, "n_ell bands"]
    modes: Float[Array, " bands"]
    noise: Float[Array, " pairs"]
    fixed: Float[Array, "bands pairs pairs"] | None

    def __init__(
        self,
        lensing: LensingModel,
        bands: Bands | None = None,
        *,
        fixed_at: Float[Array, " p"] | None = None,
        modes: Float[Array | np.ndarray, " bands"] | None = None,
    ):
        sky = lensing.survey.sky
        if lensing.survey.mask is not None:
            raise ConfigurationError("lensing", expected="a survey without mask", got="one with", remedy="Masks couple modes.")
        self.lensing, self.parameters = lensing, lensing.parameters
        self.bands = linear_bands(sky) if bands is None else bands
        if self.bands.sky != sky:
            raise ConfigurationError("bands", expected=f"bands of {sky}", got=f"of {self.bands.sky}")
        self.to_bands = banded(self.bands, jnp.moveaxis(lensing.lattice.to_power, -1, 0))
        self.modes = jnp.asarray(self.bands.modes if modes is None else modes, float)
        power = lensing.survey.noise_scale**2 * (sky.side_radians / sky.pixels) ** 2
        first, second = pair_indices(len(power))
        self.noise = jnp.sqrt(power[first] * power[second])
        self.fixed = None
        self.fixed = None if fixed_at is None else self.root(self.mean(fixed_at))

    def mean(self, theta: Float[Array, " p"]) -> Float[Array, "pairs bands"]:
        """Expected band powers, noise included, in units of the noise power."""
        signal = jnp.matmul(self.lensing.spectra(theta), self.to_bands, precision="highest") / self.noise[:, None]
        first, second = pair_indices(self.lensing.survey.bins.size)
        return signal + (first == second)[:, None]

    def root(self, powers: Float[Array, "pairs bands"]) -> Float[Array, "bands pairs pairs"]:
        """Lower Cholesky factor of the covariance of band powers whose expectation is `powers`."""
        first, second = pair_indices(self.lensing.survey.bins.size)
        matrix = jnp.zeros((len(self.modes), second.max() + 1, second.max() + 1))
        matrix = matrix.at[:, first, second].set(powers.T).at[:, second, first].set(powers.T)
        straight = matrix[:, first[:, None], first] * matrix[:, second[:, None], second]
        crossed = matrix[:, first[:, None], second] * matrix[:, second[:, None], first]
        return jnp.linalg.cholesky((straight + crossed) / self.modes[:, None, None])

    @full_precision
    def program(self) -> None:
        """Run the NumPyro program: parameters, then band powers."""
        mean = self.mean(self.parameters.as_vector(sample_parameters(self.parameters)))
        root = self.root(mean) if self.fixed is None else self.fixed
        numpyro.sample(DATA, dist.MultivariateNormal(mean.T, scale_tril=root).to_event(1))

    def measure(self, maps: Float[Array | np.ndarray, "n n bins"]) -> Float[Array, "bands pairs"]:
        """Data of this model from noisy maps (n, n, bins)."""
        return (band_powers(self.bands, jnp.asarray(maps)) / self.noise[:, None]).T


def modes_of_sky(bands: Bands, fraction: float) -> np.ndarray:
    """Number of modes Σ (2 ℓ + 1) f_sky of each band on a fraction of the sky, as the published baseline counts them."""
    edges = np.asarray(bands.edges)
    return fraction * np.diff(edges**2)
