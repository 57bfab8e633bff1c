"""Implicit inference: learned from simulations alone."""

from fullfield.inference.implicit.fmpe import train_fmpe
from fullfield.inference.implicit.nle import train_nle
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.implicit.nre import Binary, Contrastive, Multiclass, train_nre
from fullfield.inference.implicit.sampled import LikelihoodPosterior, RatioPosterior


__all__ = [
    "Binary",
    "Contrastive",
    "LikelihoodPosterior",
    "Multiclass",
    "RatioPosterior",
    "train_fmpe",
    "train_nle",
    "train_npe",
    "train_nre",
]
