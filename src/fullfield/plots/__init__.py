"""Pictures: arrays in, matplotlib figures out."""

from fullfield.plots.accuracy import accuracy_curves, accuracy_rows
from fullfield.plots.calibration import coverage_curve, rank_curves
from fullfield.plots.corner import corner
from fullfield.plots.correlation import stochasticity_curves
from fullfield.plots.dependence import dependence_curves, recovered
from fullfield.plots.field import scale_curves
from fullfield.plots.gains import gains
from fullfield.plots.maps import data_vector, map_row
from fullfield.plots.predictive import spectra_triangle
from fullfield.plots.ratio import spectrum_ratios
from fullfield.plots.sensitivity import sensitivity_maps
from fullfield.plots.style import save_figure, style
from fullfield.plots.training import loss_curves


__all__ = [
    "accuracy_curves",
    "accuracy_rows",
    "corner",
    "coverage_curve",
    "data_vector",
    "dependence_curves",
    "gains",
    "loss_curves",
    "map_row",
    "rank_curves",
    "recovered",
    "save_figure",
    "scale_curves",
    "sensitivity_maps",
    "spectra_triangle",
    "spectrum_ratios",
    "stochasticity_curves",
    "style",
]
