"""Generative models of maps and parameters, and networks that are trained to be statistics of their posteriors."""

from fullfield.generative.coordinates import Colour
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.joint import Layout, train_joint
from fullfield.generative.mass_map import LearntMassMap, MapLoss, Observed, train_mass_map
from fullfield.generative.posterior import as_seen, DiffusionMassMap, JointPosterior, left_as_drawn, the_field_itself
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun


__all__ = [
    "AbstractSolver",
    "Adams",
    "Colour",
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
    "as_seen",
    "left_as_drawn",
    "the_field_itself",
    "train_joint",
    "train_mass_map",
]
