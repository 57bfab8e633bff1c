"""Tests of posteriors and of generated images: arrays in, a Report out.

Every verdict has a stated false-alarm probability (`Budget`): an exact posterior fails anywhere in a report with probability
0.001 at most and warns with 0.01.
"""

from fullfield.datasets.typicality import Typicality
from fullfield.diagnostics.blocks import joint_blocks, JointBlocks
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.c2st import c2st, thinned
from fullfield.diagnostics.calibration import calibrate, Calibration
from fullfield.diagnostics.chains import agreement, CONVERGED, convergence, ebfmi, ess_bulk, ess_mean, ess_tail, rhat
from fullfield.diagnostics.collapse import collapse, diversity, effective_rank
from fullfield.diagnostics.coverage import Coverage, coverage
from fullfield.diagnostics.distance_correlation import distance_correlation
from fullfield.diagnostics.energy import energy_test
from fullfield.diagnostics.field import field_curves, FieldCurves, Measured
from fullfield.diagnostics.image_tests import compare_images, image_deviations, image_tests
from fullfield.diagnostics.images import Curve, image_curves, image_ruler, ImageCurves, ImageRuler, ImageTable
from fullfield.diagnostics.information import mutual_information
from fullfield.diagnostics.joint import joint_calibration, JointCalibration
from fullfield.diagnostics.likelihood import likelihood_accuracy, LikelihoodAccuracy
from fullfield.diagnostics.memorising import Memorising, memorising
from fullfield.diagnostics.merit import figure_of_merit
from fullfield.diagnostics.mira import mira, mira_null_mean
from fullfield.diagnostics.misspecification import Misspecification, misspecification
from fullfield.diagnostics.neural_information import neural_information
from fullfield.diagnostics.overlap import Averaged, Overlap, overlap
from fullfield.diagnostics.pqmass import pqmass
from fullfield.diagnostics.predictive import Predictive, predictive
from fullfield.diagnostics.ranks import Ranks, ranks
from fullfield.diagnostics.record import judge, merge, Number, Report, Verdict
from fullfield.diagnostics.references import regress
from fullfield.diagnostics.table import joint_table, JointSample, JointTable, residual_powers
from fullfield.diagnostics.tarp import Tarp, tarp
from fullfield.diagnostics.uniformity import Curves, simultaneous_band


__all__ = [
    "CONVERGED",
    "Averaged",
    "Budget",
    "Calibration",
    "Coverage",
    "Curve",
    "Curves",
    "FieldCurves",
    "ImageCurves",
    "ImageRuler",
    "ImageTable",
    "JointBlocks",
    "JointCalibration",
    "JointSample",
    "JointTable",
    "LikelihoodAccuracy",
    "Measured",
    "Memorising",
    "Misspecification",
    "Number",
    "Overlap",
    "Predictive",
    "Ranks",
    "Report",
    "Tarp",
    "Typicality",
    "Verdict",
    "agreement",
    "c2st",
    "calibrate",
    "collapse",
    "compare_images",
    "convergence",
    "coverage",
    "distance_correlation",
    "diversity",
    "ebfmi",
    "effective_rank",
    "energy_test",
    "ess_bulk",
    "ess_mean",
    "ess_tail",
    "field_curves",
    "figure_of_merit",
    "image_curves",
    "image_deviations",
    "image_ruler",
    "image_tests",
    "joint_blocks",
    "joint_calibration",
    "joint_table",
    "judge",
    "likelihood_accuracy",
    "memorising",
    "merge",
    "mira",
    "mira_null_mean",
    "misspecification",
    "mutual_information",
    "neural_information",
    "overlap",
    "pqmass",
    "predictive",
    "ranks",
    "regress",
    "residual_powers",
    "rhat",
    "simultaneous_band",
    "tarp",
    "thinned",
]
