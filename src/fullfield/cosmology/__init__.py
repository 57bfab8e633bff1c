"""Background, growth, matter power and Limber spectra: pure differentiable functions of a frozen Cosmology."""

from fullfield.cosmology.background import expansion_rate, matter_fraction, transverse_distance
from fullfield.cosmology.baryons import baryon_fraction_suppression, ejected_gas_suppression
from fullfield.cosmology.cosmology import Cosmology, Scalar
from fullfield.cosmology.evolution import comoving_distance, growth_factor, growth_rate, History, history
from fullfield.cosmology.halofit import AbstractPower, Halofit, Linear, nonlinear_power
from fullfield.cosmology.intrinsic_alignment import NLA
from fullfield.cosmology.limber import lens_planes, lensing_spectra, LensPlanes
from fullfield.cosmology.linear import AbstractTransfer, EisensteinHu, EisensteinHuNoWiggle, linear_power, sigma
from fullfield.cosmology.redshift import RedshiftBins, smail_bins
from fullfield.cosmology.shells import even_shells, MatterShells, ShellFields


__all__ = [
    "NLA",
    "AbstractPower",
    "AbstractTransfer",
    "Cosmology",
    "EisensteinHu",
    "EisensteinHuNoWiggle",
    "Halofit",
    "History",
    "LensPlanes",
    "Linear",
    "MatterShells",
    "RedshiftBins",
    "Scalar",
    "ShellFields",
    "baryon_fraction_suppression",
    "comoving_distance",
    "ejected_gas_suppression",
    "even_shells",
    "expansion_rate",
    "growth_factor",
    "growth_rate",
    "history",
    "lens_planes",
    "lensing_spectra",
    "linear_power",
    "matter_fraction",
    "nonlinear_power",
    "sigma",
    "smail_bins",
    "transverse_distance",
]
