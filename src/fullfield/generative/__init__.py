"""Generative models of maps and parameters, and networks that are trained to be statistics of their posteriors."""

from fullfield.generative.coordinates import Colour
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.hooks import as_seen, finite_numbers, left_as_drawn, the_field_itself
from fullfield.generative.joint import Layout, train_joint
from fullfield.generative.mass_map import LearntMassMap, MapLoss, Observed, train_mass_map
from fullfield.generative.posterior import DiffusionMassMap, JointPosterior
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun
from fullfield.generative.summary_emulator import SummaryEmulator, train_summary_emulator


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
    "SummaryEmulator",
    "as_seen",
    "finite_numbers",
    "left_as_drawn",
    "the_field_itself",
    "train_joint",
    "train_mass_map",
    "train_summary_emulator",
]
