"""Posteriors, and the ways to get them."""

from fullfield.inference.explicit import (
    Chains,
    find_map,
    fisher,
    laplace,
    MAMS,
    MCLMC,
    NUTS,
    sample_density,
    sample_field,
)
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
from fullfield.inference.observation import check_observation, OutsideSimulationsWarning
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior, FlowPosterior, sample_many


__all__ = [
    "MAMS",
    "MCLMC",
    "NUTS",
    "AbstractPosterior",
    "Binary",
    "Chains",
    "Contrastive",
    "EnsemblePosterior",
    "FlowPosterior",
    "LikelihoodPosterior",
    "Multiclass",
    "OutsideSimulationsWarning",
    "RatioPosterior",
    "check_observation",
    "find_map",
    "fisher",
    "laplace",
    "sample_density",
    "sample_field",
    "sample_many",
    "train_fmpe",
    "train_nle",
    "train_npe",
    "train_nre",
]
