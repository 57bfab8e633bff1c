"""Generative models of maps and parameters, and networks that are trained to be statistics of their posteriors."""

from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.joint import Layout, train_joint
from fullfield.generative.mass_map import LearntMassMap, MapLoss, Observed, train_mass_map
from fullfield.generative.posterior import DiffusionMassMap, JointPosterior
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun


__all__ = [
    "AbstractSolver",
    "Adams",
    "Condition",
    "DPMSolver",
    "DiffusionMassMap",
    "Heun",
    "JointDenoiser",
    "JointPosterior",
    "Layout",
    "LearntMassMap",
    "MapLoss",
    "Observed",
    "train_joint",
    "train_mass_map",
]
