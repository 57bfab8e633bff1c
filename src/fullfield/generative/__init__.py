"""Generative models of maps and parameters: joint diffusion and the solvers of its flow."""

from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.joint import JointPosterior, Layout, train_joint
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun


__all__ = [
    "AbstractSolver",
    "Adams",
    "Condition",
    "DPMSolver",
    "Heun",
    "JointDenoiser",
    "JointPosterior",
    "Layout",
    "train_joint",
]
