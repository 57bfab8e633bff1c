"""Forward models: NumPyro programs over a ParameterSpace."""

from fullfield.simulators.forward import (
    AbstractExplicitModel,
    AbstractForwardModel,
    BlackBoxModel,
    NumPyroModel,
    sample_parameters,
    Simulations,
)


__all__ = [
    "AbstractExplicitModel",
    "AbstractForwardModel",
    "BlackBoxModel",
    "NumPyroModel",
    "Simulations",
    "sample_parameters",
]
