"""Generative models of maps and parameters."""

from fullfield.generative.solvers import AbstractSolver, Adams, DPMSolver, Heun


__all__ = ["AbstractSolver", "Adams", "DPMSolver", "Heun"]
