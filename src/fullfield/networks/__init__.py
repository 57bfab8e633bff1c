"""Architectures and conditional densities; they know neither data nor losses."""

from fullfield._core import Registry
from fullfield.networks.apply import apply_many
from fullfield.networks.branches import AbstractBranch, TransformerBranch, UNetBranch
from fullfield.networks.convolution import ConvNet
from fullfield.networks.dcgan import ImageCritic, ImageGenerator
from fullfield.networks.density import (
    AbstractDensity,
    ConditionalFlow,
    DENSITIES,
    gaussian,
    masked_autoregressive,
    mixture,
    polynomials,
    real_nvp,
    regression,
    smooth_flow,
    spline_flow,
)
from fullfield.networks.encoder import MapEncoder
from fullfield.networks.hybrid import Hybrid
from fullfield.networks.mlp import MLP, NormalisedMLP
from fullfield.networks.plain import LocalLayer, PlainNet, SeparableLayer, SpectraNet
from fullfield.networks.power import PowerNet
from fullfield.networks.ratio import RatioClassifier
from fullfield.networks.residual import ResidualMLP
from fullfield.networks.resnet import ResNet18
from fullfield.networks.standardise import moments, Standardise
from fullfield.networks.symmetric import Symmetric
from fullfield.networks.unet import Decoder, Encoder, UNet
from fullfield.networks.velocity import velocity_flow, VelocityFlow


NETWORKS = Registry("network", {"cnn": ConvNet, "mlp": MLP, "powers": PowerNet, "resnet18": ResNet18})

__all__ = [
    "DENSITIES",
    "MLP",
    "NETWORKS",
    "AbstractBranch",
    "AbstractDensity",
    "ConditionalFlow",
    "ConvNet",
    "Decoder",
    "Encoder",
    "Hybrid",
    "ImageCritic",
    "ImageGenerator",
    "LocalLayer",
    "MapEncoder",
    "NormalisedMLP",
    "PlainNet",
    "PowerNet",
    "RatioClassifier",
    "ResNet18",
    "ResidualMLP",
    "SeparableLayer",
    "SpectraNet",
    "Standardise",
    "Symmetric",
    "TransformerBranch",
    "UNet",
    "UNetBranch",
    "VelocityFlow",
    "apply_many",
    "gaussian",
    "masked_autoregressive",
    "mixture",
    "moments",
    "polynomials",
    "real_nvp",
    "regression",
    "smooth_flow",
    "spline_flow",
    "velocity_flow",
]
