"""Compressors of data into summaries, one objective per file."""

from fullfield.compression.base import compress, Compressor, standardising
from fullfield.compression.canonical import canonical, projecting
from fullfield.compression.statistics import SpectraAndMoments
from fullfield.compression.vmim import train_vmim, VMIM, VMIMLoss


__all__ = [
    "VMIM",
    "Compressor",
    "SpectraAndMoments",
    "VMIMLoss",
    "canonical",
    "compress",
    "projecting",
    "standardising",
    "train_vmim",
]
