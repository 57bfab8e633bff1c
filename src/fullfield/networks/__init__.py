"""Architectures and conditional densities; they know neither data nor losses."""

from fullfield._core import Registry
from fullfield.networks.apply import apply_many
from fullfield.networks.convolution import ConvNet
from fullfield.networks.density import AbstractDensity, ConditionalFlow, DENSITIES, gaussian, real_nvp, spline_flow
from fullfield.networks.hybrid import Hybrid
from fullfield.networks.mlp import MLP
from fullfield.networks.resnet import ResNet18
from fullfield.networks.standardise import moments, Standardise


NETWORKS = Registry("network", {"cnn": ConvNet, "mlp": MLP, "resnet18": ResNet18})

__all__ = [
    "DENSITIES",
    "MLP",
    "NETWORKS",
    "AbstractDensity",
    "ConditionalFlow",
    "ConvNet",
    "Hybrid",
    "ResNet18",
    "Standardise",
    "apply_many",
    "gaussian",
    "moments",
    "real_nvp",
    "spline_flow",
]
