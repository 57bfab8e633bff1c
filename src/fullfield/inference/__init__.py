"""Posteriors, and the ways to get them."""

from fullfield.inference.implicit import train_npe
from fullfield.inference.observation import check_observation
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior, FlowPosterior, sample_many


__all__ = ["AbstractPosterior", "EnsemblePosterior", "FlowPosterior", "check_observation", "sample_many", "train_npe"]
