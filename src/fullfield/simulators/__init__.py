"""Forward models: NumPyro programs over a ParameterSpace."""

from fullfield.simulators.forward import (
    AbstractExplicitModel,
    AbstractForwardModel,
    BlackBoxModel,
    NumPyroModel,
    sample_parameters,
    Simulations,
)
from fullfield.simulators.linear_gaussian import LinearGaussian


__all__ = [
    "AbstractExplicitModel",
    "AbstractForwardModel",
    "BlackBoxModel",
    "LinearGaussian",
    "NumPyroModel",
    "Simulations",
    "sample_parameters",
]
