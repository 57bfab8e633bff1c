"""The COSMOS field as the Hubble Space Telescope saw it: shear maps of 417 117 galaxies on 1.6 deg², and their model.

Galaxy shapes are those of Schrabback et al. 2010 (A&A 516, A63), whose analysis found σ8 (Ωm / 0.3)^0.51 = 0.75 ± 0.08. Source
and licence: `data/README.md` beside this file. Sources are one bin,

    n(z) ∝ z² exp(-(z / z_0)^1.5),   mean redshift 1.27,

a form of Smail, Ellis & Fitchett 1994 (MNRAS 270, 245) that deep surveys use. The catalogue holds no redshifts. Its mean is set
together from what is published of the two samples that make it up: faint galaxies at 1.54 ± 0.15, and bright ones, with
photometric redshifts, below one; the share of each and the form are assumptions. A factor of 1 ± 0.1 on all redshifts, a free
parameter of the model, stands for the uncertainty of all three.
"""

import importlib.resources
import math
from collections.abc import Mapping

import equinox as eqx
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float

from fullfield._core import ConfigurationError
from fullfield.cosmology import RedshiftBins, smail_bins
from fullfield.fields import FlatSky, shear_maps, ShearMaps
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.lensing import LensingModel
from fullfield.simulators.shear import ShearModel
from fullfield.simulators.shifts import PerturbativeShift
from fullfield.simulators.survey import LensingSurvey


CENTRE = (150.116, 2.2475)  # the galaxies' median position, degrees
PIXELS, SIDE = 192, 1.92  # of the maps shipped: 0.6 arcmin, and half a degree of padding
MEAN_REDSHIFT = 1.27


class Clusters(eqx.Module):
    """Clusters of galaxies.

    Args:
        ra: right ascension, degrees (c,).
        dec: declination, degrees (c,).
        redshift: of each (c,).
        mass: M500 in 10¹³ solar masses (c,).
    """

    ra: Float[np.ndarray, " c"]
    dec: Float[np.ndarray, " c"]
    redshift: Float[np.ndarray, " c"]
    mass: Float[np.ndarray, " c"]


def cosmos_maps(pixels: int = 64) -> ShearMaps:
    """Shear of the COSMOS field, one bin on 1.92 x 1.92 deg²; 64 pixels on a side are of 1.8 arcmin.

    Args:
        pixels: pixels on a side, an even divisor of 192.
    """
    with (_data() / "cosmos_shear.npz").open("rb") as handle, np.load(handle) as arrays:
        return ShearMaps.from_arrays(arrays).coarsened(_factor(pixels))


def pixelised_cosmos(catalogue: Mapping[str, np.ndarray]) -> ShearMaps:
    """Make the maps that are shipped from the catalogue of galaxies.

    Its e2 is that of an image with north up and east left. The estimates of shear reach |e| = 1.42.

    Args:
        catalogue: columns "ra", "dec", "e1", "e2" and "weight" of the catalogue that `data/README.md` names.
    """
    return shear_maps(catalogue, FlatSky(PIXELS, SIDE), CENTRE, e2_sign=-1, largest=1.5)


def cosmos_clusters() -> Clusters:
    """The 72 clusters found in X-rays in and about the field (Finoguenov et al. 2007, ApJS 172, 182, table 1)."""
    with (_data() / "cosmos_clusters.txt").open() as handle:
        return Clusters(*np.loadtxt(handle, unpack=True))


def cosmos_sources(mean: float = MEAN_REDSHIFT) -> RedshiftBins:
    """Redshift distribution of the galaxies.

    Args:
        mean: their mean redshift.
    """
    # ⟨z⟩ = z_0 Γ(4 / 1.5) / Γ(3 / 1.5). No photometric scatter, which the form includes; the bin needs edges all the same.
    return smail_bins(1, alpha=2.0, beta=1.5, z_0=mean / math.gamma(4 / 1.5), scatter=1e-3)


def cosmos_parameters() -> ParameterSpace:
    """Parameters of flat ΛCDM that shear tells of, with wide priors, and the stretch of the sources' redshifts."""
    return ParameterSpace(
        {
            "omega_c": Parameter(dist.Uniform(0.05, 0.6), r"\Omega_{\rm c}", fiducial=0.255),
            "sigma_8": Parameter(dist.Uniform(0.3, 1.4), r"\sigma_8", fiducial=0.8),
            "source_stretch": Parameter(dist.TruncatedNormal(1.0, 0.1, low=0.6, high=1.4), "s_z", fiducial=1.0),
        }
    )


def cosmos_model(pixels: int = 64, *, bias: Parameter | None = None) -> ShearModel:
    """Model of the COSMOS shear maps: lognormal convergence, flat ΛCDM, the survey's mask and noise.

    Ωb = 0.045, h = 0.7, n_s = 0.96 and w0 = -1 are fixed. The shift is that of perturbation theory at the maps' own pixels.

    Args:
        pixels: pixels on a side, an even divisor of 192.
        bias: prior of a multiplicative bias of the shear; none if not given.
    """
    maps = cosmos_maps(pixels)
    observed = maps.observed[..., 0]
    area = observed.sum() * maps.sky.pixel_arcmin**2
    scatter = float(np.median(maps.noise[observed] * np.sqrt(maps.counts[observed])))
    survey = LensingSurvey(maps.sky, cosmos_sources(), (float(maps.counts.sum() / area),), scatter, observed)
    shift = PerturbativeShift(survey.bins, survey.sky.pixel_arcmin)
    fixed = {"omega_b": 0.045, "h_0": 0.7, "n_s": 0.96, "w_0": -1.0}
    return ShearModel(LensingModel(survey, shift, parameters=cosmos_parameters(), fixed=fixed), maps.noise, bias=bias)


def _data():
    return importlib.resources.files("fullfield.simulators") / "data"


def _factor(pixels: int) -> int:
    if pixels < 4 or PIXELS % pixels or pixels % 2:
        raise ConfigurationError("pixels", expected=f"an even divisor of {PIXELS}, at least 4", got=pixels)
    return PIXELS // pixels
