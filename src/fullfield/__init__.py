"""Field-level inference for cosmology: one differentiable forward model, every way of inferring from it."""

__version__ = "0.1.0"
