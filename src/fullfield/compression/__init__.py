"""Compressors of data into summaries, one objective per file."""

from fullfield.compression.base import (
    check_alive,
    Composed,
    compress,
    Compressor,
    fixed,
    Joined,
    Projection,
    sensitivity,
    standardising,
    whitened,
    whitening,
)
from fullfield.compression.canonical import canonical, projecting
from fullfield.compression.contrastive import InfoNCE
from fullfield.compression.files import load_compressor, read_provenance, save_compressor
from fullfield.compression.gaussian import estimates, GaussianLikelihood, predicted_precision, PredictedPrecision
from fullfield.compression.imnn import FisherLoss, summary_moments, Tangents, train_imnn
from fullfield.compression.information import fisher_of_summaries, information_kept, sample_covariance, shrunk_covariance
from fullfield.compression.moments import MomentNetwork
from fullfield.compression.moped import moped, scoring
from fullfield.compression.objective import AbstractObjective, CompressionLoss, train_compressor, untrained
from fullfield.compression.probes import LARGE_SCALES, ScaledProbes, SMALL_SCALES
from fullfield.compression.regression import MeanAbsoluteError, MeanSquaredError
from fullfield.compression.self_supervised import AbstractAgreement, AgreementLoss, SimCLR, train_self_supervised, VICReg
from fullfield.compression.statistics import (
    PeakCounts,
    PixelDistributions,
    ScatteringCoefficients,
    SpectraAndMoments,
    StarletNorms,
)
from fullfield.compression.vmim import VMIM


__all__ = [
    "LARGE_SCALES",
    "SMALL_SCALES",
    "VMIM",
    "AbstractAgreement",
    "AbstractObjective",
    "AgreementLoss",
    "Composed",
    "CompressionLoss",
    "Compressor",
    "FisherLoss",
    "GaussianLikelihood",
    "InfoNCE",
    "Joined",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MomentNetwork",
    "PeakCounts",
    "PixelDistributions",
    "PredictedPrecision",
    "Projection",
    "ScaledProbes",
    "ScatteringCoefficients",
    "SimCLR",
    "SpectraAndMoments",
    "StarletNorms",
    "Tangents",
    "VICReg",
    "canonical",
    "check_alive",
    "compress",
    "estimates",
    "fisher_of_summaries",
    "fixed",
    "information_kept",
    "load_compressor",
    "moped",
    "predicted_precision",
    "projecting",
    "read_provenance",
    "sample_covariance",
    "save_compressor",
    "scoring",
    "sensitivity",
    "shrunk_covariance",
    "standardising",
    "summary_moments",
    "train_compressor",
    "train_imnn",
    "train_self_supervised",
    "untrained",
    "whitened",
    "whitening",
]
