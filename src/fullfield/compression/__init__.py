"""Compressors of data into summaries, one objective per file."""

from fullfield._core import Registry
from fullfield.compression.base import compress, Compressor, standardising
from fullfield.compression.statistics import SpectraAndMoments
from fullfield.compression.vmim import train_vmim, VMIM, VMIMLoss


COMPRESSORS = Registry("compressor", {"vmim": train_vmim})

__all__ = ["COMPRESSORS", "VMIM", "Compressor", "SpectraAndMoments", "VMIMLoss", "compress", "standardising", "train_vmim"]
