"""Background, growth, matter power and Limber spectra: pure differentiable functions of a frozen Cosmology."""

from fullfield.cosmology.background import comoving_distance, expansion_rate, matter_fraction, transverse_distance
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.growth import growth, growth_factor, growth_rate
from fullfield.cosmology.halofit import AbstractPower, Halofit, Linear, nonlinear_power
from fullfield.cosmology.intrinsic_alignment import NLA
from fullfield.cosmology.limber import lensing_spectra
from fullfield.cosmology.linear_power import AbstractTransfer, EisensteinHu, EisensteinHuNoWiggle, linear_power, sigma
from fullfield.cosmology.redshift import RedshiftBins, smail_bins, tabulated_bins


__all__ = [
    "NLA",
    "AbstractPower",
    "AbstractTransfer",
    "Cosmology",
    "EisensteinHu",
    "EisensteinHuNoWiggle",
    "Halofit",
    "Linear",
    "RedshiftBins",
    "comoving_distance",
    "expansion_rate",
    "growth",
    "growth_factor",
    "growth_rate",
    "lensing_spectra",
    "linear_power",
    "matter_fraction",
    "nonlinear_power",
    "sigma",
    "smail_bins",
    "tabulated_bins",
    "transverse_distance",
]
