"""Flat-sky fields: grids and their Fourier convention, pixel windows, Gaussian and lognormal random fields, spectra, shear."""

from fullfield.fields.catalogue import check_shear, randomly_rotated, shear_maps, ShearMaps
from fullfield.fields.counts import histogram, inner_peaks, peak_counts, peaks, pixel_distribution
from fullfield.fields.gaussian import gaussian_field, pair_indices, power_root, unrealised_fraction
from fullfield.fields.grid import ARCMIN, block_average, FlatSky
from fullfield.fields.hartley import hartley, inverse_hartley, unitary_hartley
from fullfield.fields.log_scale import LogScale
from fullfield.fields.lognormal import (
    averaged_skewness,
    gaussian_correlation,
    lognormal_field,
    lognormal_skewness,
    lognormal_white,
    shift_of_skewness,
)
from fullfield.fields.mass_map import AbstractMassMap, AbstractMassPosterior, KaiserSquires
from fullfield.fields.pixels import AbstractPixelWindow, Lattice, PixelAveraged, PointSampled
from fullfield.fields.plane import AbstractModes, GaussianModes, Plane, RealAmplitudeModes
from fullfield.fields.random import normal
from fullfield.fields.rings import ring_powers, Rings
from fullfield.fields.scattering import morlet, scattering
from fullfield.fields.shear import kaiser_squires, shear_of
from fullfield.fields.slices import crops, eightfold, slice_counts, strided
from fullfield.fields.smoothing import mosaic, smoothed
from fullfield.fields.sparse import SparseStarlet
from fullfield.fields.spectra import (
    band_moduli,
    band_powers,
    banded,
    Bands,
    correlation_coefficient,
    logarithmic_bands,
    pairs_within,
)
from fullfield.fields.starlet import starlet, starlet_l1
from fullfield.fields.tessellation import delaunay_density
from fullfield.fields.wiener import each_mode, PeriodicWiener, precision_root, root_on_plane, WienerFilter


__all__ = [
    "ARCMIN",
    "AbstractMassMap",
    "AbstractMassPosterior",
    "AbstractModes",
    "AbstractPixelWindow",
    "Bands",
    "FlatSky",
    "GaussianModes",
    "KaiserSquires",
    "Lattice",
    "LogScale",
    "PeriodicWiener",
    "PixelAveraged",
    "Plane",
    "PointSampled",
    "RealAmplitudeModes",
    "Rings",
    "ShearMaps",
    "SparseStarlet",
    "WienerFilter",
    "averaged_skewness",
    "band_moduli",
    "band_powers",
    "banded",
    "block_average",
    "check_shear",
    "correlation_coefficient",
    "crops",
    "delaunay_density",
    "each_mode",
    "eightfold",
    "gaussian_correlation",
    "gaussian_field",
    "hartley",
    "histogram",
    "inner_peaks",
    "inverse_hartley",
    "kaiser_squires",
    "logarithmic_bands",
    "lognormal_field",
    "lognormal_skewness",
    "lognormal_white",
    "morlet",
    "mosaic",
    "normal",
    "pair_indices",
    "pairs_within",
    "peak_counts",
    "peaks",
    "pixel_distribution",
    "power_root",
    "precision_root",
    "randomly_rotated",
    "ring_powers",
    "root_on_plane",
    "scattering",
    "shear_maps",
    "shear_of",
    "shift_of_skewness",
    "slice_counts",
    "smoothed",
    "starlet",
    "starlet_l1",
    "strided",
    "unitary_hartley",
    "unrealised_fraction",
]
