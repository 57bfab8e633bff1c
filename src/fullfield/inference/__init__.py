"""Posteriors, and the ways to get them."""

from fullfield.inference.implicit import (
    Binary,
    Contrastive,
    LikelihoodPosterior,
    Multiclass,
    RatioPosterior,
    train_fmpe,
    train_nle,
    train_npe,
    train_nre,
)
from fullfield.inference.observation import check_observation
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior, FlowPosterior, sample_many


__all__ = [
    "AbstractPosterior",
    "Binary",
    "Contrastive",
    "EnsemblePosterior",
    "FlowPosterior",
    "LikelihoodPosterior",
    "Multiclass",
    "RatioPosterior",
    "check_observation",
    "sample_many",
    "train_fmpe",
    "train_nle",
    "train_npe",
    "train_nre",
]
