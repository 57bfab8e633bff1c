"""Tomographic lognormal convergence maps of a weak-lensing survey, from six cosmological parameters.

The model of Zeghal et al. 2025 (A&A 699, A327), section 3, with its errors mended: the shift table is read along its own axes,
no power is replaced by its absolute value, spectra are normalised to the σ8 asked for, and pixels average what they cover.
"""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, ParameterError
from fullfield.cosmology import Cosmology, lensing_spectra, NLA, RedshiftBins, Scalar
from fullfield.fields import (
    AbstractPixelWindow,
    averaged_skewness,
    Lattice,
    lognormal_field,
    lognormal_white,
    pair_indices,
    PixelAveraged,
    PointSampled,
    shift_of_skewness,
)
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.shifts import AbstractShift, LegacyTabulatedShift, TabulatedShift
from fullfield.simulators.sites import NoisyPixels, WhiteNoise
from fullfield.simulators.survey import LensingSurvey, lsst_y10


def wcdm_parameters() -> ParameterSpace:
    """Six parameters of flat wCDM with the priors of sbi_lens (Zeghal et al. 2025, table 1)."""
    normal, truncated = dist.Normal, dist.TruncatedNormal
    return ParameterSpace(
        {
            "omega_c": Parameter(truncated(0.2664, 0.2, low=0.0), r"\Omega_{\rm c}", fiducial=0.2664),
            "omega_b": Parameter(normal(0.0492, 0.006), r"\Omega_{\rm b}", fiducial=0.0492),
            "sigma_8": Parameter(normal(0.831, 0.14), r"\sigma_8", fiducial=0.831),
            "h_0": Parameter(normal(0.6727, 0.063), "h", unit="100 km/s/Mpc", fiducial=0.6727),
            "n_s": Parameter(normal(0.9645, 0.08), r"n_{\rm s}", fiducial=0.9645),
            "w_0": Parameter(truncated(-1.0, 0.9, low=-2.0, high=-0.3), "w_0", fiducial=-1.0),
        }
    )


def wcdm(values: Mapping[str, Scalar]) -> Cosmology:
    """Flat wCDM of values by the names of `wcdm_parameters`; others are ignored."""
    return Cosmology(
        omega_c=values["omega_c"],
        omega_b=values["omega_b"],
        h=values["h_0"],
        n_s=values["n_s"],
        sigma_8=values["sigma_8"],
        w_0=values["w_0"],
    )


class LensingModel(AbstractExplicitModel):
    """Forward model of noisy tomographic convergence maps (n, n, bins).

    Latent site "white" (bins, n, n): Hartley coefficients of the Gaussian field behind the lognormal one.

    Args:
        survey: bins, noise, patch and mask.
        shift: λ of the fine pixels as a function of cosmology.
        window: how the fine pixels see the sky.
        oversampling: fine pixels per side of a map pixel. The map then stands for the average of a fine map, simulated at the
            cost of the coarse one: its spectra are exactly those of the average, and its shift gives it the average's skewness.
        parameters: priors; the six of flat wCDM if not given. Names are those of `wcdm_parameters`, and "source_stretch": the
            sources' redshifts over those of the survey's table.
        alignment: intrinsic alignment of the sources with the tidal field, none if not given.
        fixed: values of the parameters that are not free; the stretch is one if not given.

    Raises:
        ConfigurationError: the shift does not describe the fine pixels, or not the stretched sources.
        ParameterError: a parameter is missing, or free and fixed, or the model does not know it.
    """

    survey: LensingSurvey
    shift: AbstractShift
    lattice: Lattice
    parameters: ParameterSpace
    alignment: NLA | None
    fixed: tuple[tuple[str, float], ...] = eqx.field(static=True)

    def __init__(
        self,
        survey: LensingSurvey,
        shift: AbstractShift,
        *,
        window: AbstractPixelWindow | None = None,
        oversampling: int = 1,
        parameters: ParameterSpace | None = None,
        alignment: NLA | None = None,
        fixed: Mapping[str, float] | None = None,
    ):
        fine = survey.sky.pixel_arcmin / oversampling
        if not shift.valid_for(fine):
            raise ConfigurationError(
                "shift",
                expected=f"a shift for pixels of {fine:.3g} arcmin",
                got=f"{type(shift).__name__}, which is not",
                remedy="Choose `oversampling` so that the fine pixel is the table's, or use PerturbativeShift.",
            )
        self.survey, self.shift = survey, shift
        self.lattice = Lattice(survey.sky, PixelAveraged() if window is None else window, oversampling)
        self.parameters = wcdm_parameters() if parameters is None else parameters
        self.fixed = tuple((fixed or {}).items())
        self.alignment = alignment
        check_wcdm(self.parameters.names, self.fixed, also=("source_stretch",))
        if self.stretchable:
            shift.of_sources(survey.bins)  # refuses a table's shift

    @property
    def hartley(self) -> tuple[str, ...]:
        """The white latents are Hartley coefficients."""
        return ("white",)

    @property
    def stretchable(self) -> bool:
        """Whether the sources' redshifts are stretched."""
        return "source_stretch" in (*self.parameters.names, *dict(self.fixed))

    def values(self, theta: Float[Array, " p"]) -> dict[str, Scalar]:
        """Parameters by name, free and fixed."""
        return {**self.parameters.as_dict(theta), **dict(self.fixed)}

    def sources(self, theta: Float[Array, " p"]) -> RedshiftBins:
        """Redshift distributions of the sources."""
        bins = self.survey.bins
        return bins.stretched(self.values(theta)["source_stretch"]) if self.stretchable else bins

    def cosmology(self, theta: Float[Array, " p"]) -> Cosmology:
        """Cosmology at a parameter vector."""
        return wcdm(self.values(theta))

    def spectra(self, theta: Float[Array, " p"]) -> Float[Array, "pairs n_ell"]:
        """Convergence spectra C_ℓ (sr) at the lattice's multipoles, no window and no noise."""
        return lensing_spectra(self.cosmology(theta), self.sources(theta), self.lattice.multipoles, alignment=self.alignment)

    def pixel_shift(self, theta: Float[Array, " p"], spectra: Float[Array, "pairs n_ell"]) -> Float[Array, " bins"]:
        """Shift λ (bins,) of the map's pixels."""
        shift = self.shift.of_sources(self.sources(theta)) if self.stretchable else self.shift
        fine = shift(self.cosmology(theta))
        if self.lattice.oversampling == 1:
            return fine
        first, second = pair_indices(len(fine))
        variance, skewness = averaged_skewness(self.lattice.block_correlation(spectra[first == second]), fine)
        return shift_of_skewness(variance, skewness)

    def convergence(self, theta: Float[Array, " p"], white: Float[Array, "bins n n"]) -> Float[Array, "n n bins"]:
        """Noiseless convergence maps (n, n, bins) from parameters and white latents."""
        spectra = self.spectra(theta)
        return lognormal_field(self.lattice, spectra, self.pixel_shift(theta, spectra), white)

    def latents(self, theta: Float[Array, " p"], convergence: Float[Array, "n n bins"]) -> Float[Array, "bins n n"]:
        """White latents (bins, n, n) of convergence maps at given parameters, the inverse of `convergence`."""
        spectra = self.spectra(theta)
        return lognormal_white(self.lattice, spectra, self.pixel_shift(theta, spectra), convergence)

    def program(self) -> None:
        """Run the NumPyro program: parameters, white latents, noisy maps."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        n, _, bins = self.survey.data_shape
        white = jnp.asarray(numpyro.sample("white", WhiteNoise((bins, n, n))))
        observed = None if self.survey.mask is None else self.survey.mask[..., None]
        numpyro.sample(DATA, NoisyPixels(self.convergence(theta, white), self.survey.noise_scale, observed))


def check_wcdm(free: tuple[str, ...], fixed: tuple[tuple[str, float], ...], also: tuple[str, ...] = ()) -> None:
    """Refuse parameters of which one is both free and fixed, missing or unknown.

    Args:
        free: names of those with a prior.
        fixed: names and values of the others.
        also: names beside the six of flat wCDM that may be among them.

    Raises:
        ParameterError: see above.
    """
    twice = [name for name, _ in fixed if name in free]
    if twice:
        raise ParameterError("fixed", expected="parameters that are not free", got=", ".join(twice))
    cosmological = [name for name in (*free, *dict(fixed)) if name not in also]
    wcdm_parameters().as_vector(dict.fromkeys(cosmological, jnp.zeros(())))  # refuses other names, and misses the missing


def lsst_y10_model(pixels: int = 256) -> LensingModel:
    """LSST-Y10-like model with lognormal physics set on 2.34 arcmin pixels, on maps of 256 / k pixels on a side.

    Args:
        pixels: pixels on a side, a divisor of 256; coarser maps stand for averages of the 256 x 256 ones.
    """
    return LensingModel(lsst_y10(pixels), TabulatedShift(), oversampling=_fine_per_side(pixels))


def sbi_lens_model(pixels: int = 256) -> LensingModel:
    """The same survey as sbi_lens simulates it: faulty lookup of the shift, point-sampled pixels.

    For maps made with that code, such as the published LSST-Y10 mock, and for comparison with results made with it.

    Args:
        pixels: pixels on a side, a divisor of 256; coarser maps stand for averages of the 256 x 256 ones.
    """
    survey = lsst_y10(pixels)
    return LensingModel(survey, LegacyTabulatedShift(), window=PointSampled(), oversampling=_fine_per_side(pixels))


def _fine_per_side(pixels: int) -> int:
    if pixels < 4 or 256 % pixels:
        raise ConfigurationError("pixels", expected="a divisor of 256, at least 4", got=pixels)
    return 256 // pixels
