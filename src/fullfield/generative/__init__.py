"""Generative models of maps and parameters, networks that are statistics of their posteriors, transport between simulators."""

from fullfield.generative.coordinates import Colour
from fullfield.generative.coupled import CoupledSimulations
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.emulated import EmulatedModel, EmulatedSimulator
from fullfield.generative.gan import Adversarial, GAN, train_gan
from fullfield.generative.hooks import as_seen, finite_numbers, left_as_drawn, the_field_itself
from fullfield.generative.image_autoencoder import FeatureDistance, ImageAutoencoder, LatentDistance, train_autoencoder
from fullfield.generative.image_flow import ImageFlow, ImageFlowMatching, train_image_flow
from fullfield.generative.integrators import AbstractIntegrator, Euler, Midpoint, RungeKutta
from fullfield.generative.joint import Layout, train_joint
from fullfield.generative.likeness import Likeness
from fullfield.generative.mass_map import LearntMassMap, MapLoss, Observed, train_mass_map
from fullfield.generative.pairing import (
    AbstractCoupling,
    AbstractPlanner,
    Assignment,
    EqualSeeds,
    Independent,
    MapsAlone,
    PairingQuality,
    Sinkhorn,
    Triangular,
)
from fullfield.generative.posterior import DiffusionMassMap, JointPosterior
from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun
from fullfield.generative.summary_emulator import SummaryEmulator, train_summary_emulator
from fullfield.generative.transfer import TransferFunction
from fullfield.generative.transport import FlowMatchingLoss, train_transport, Transport


__all__ = [
    "GAN",
    "AbstractCoupling",
    "AbstractIntegrator",
    "AbstractPlanner",
    "AbstractSolver",
    "Adams",
    "Adversarial",
    "Assignment",
    "Colour",
    "Condition",
    "CoupledSimulations",
    "DPMSolver",
    "DiffusionMassMap",
    "EmulatedModel",
    "EmulatedSimulator",
    "EqualSeeds",
    "Euler",
    "FeatureDistance",
    "FlowMatchingLoss",
    "Heun",
    "ImageAutoencoder",
    "ImageFlow",
    "ImageFlowMatching",
    "Independent",
    "JointDenoiser",
    "JointPosterior",
    "LatentDistance",
    "Layout",
    "LearntMassMap",
    "Likeness",
    "MapLoss",
    "MapsAlone",
    "Midpoint",
    "Observed",
    "PairingQuality",
    "RungeKutta",
    "Sinkhorn",
    "SummaryEmulator",
    "TransferFunction",
    "Transport",
    "Triangular",
    "as_seen",
    "finite_numbers",
    "left_as_drawn",
    "the_field_itself",
    "train_autoencoder",
    "train_gan",
    "train_image_flow",
    "train_joint",
    "train_mass_map",
    "train_summary_emulator",
    "train_transport",
]
