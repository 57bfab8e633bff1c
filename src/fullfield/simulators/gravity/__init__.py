"""Formation of structure: from white noise by Lagrangian perturbation theory and a particle mesh to light cones and lensing."""

from fullfield.simulators.gravity.born import convergence, galaxy_weights, lensing_weights, seen
from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.dynamics import AbstractDynamics, Perturbed
from fullfield.simulators.gravity.force import MeshForce
from fullfield.simulators.gravity.growth import growth_steps, second_order_growth, SecondOrder, Steps
from fullfield.simulators.gravity.integrate import AbstractObserver, integrate, Unobserved
from fullfield.simulators.gravity.lightcone import enough_copies, LightCone
from fullfield.simulators.gravity.lpt import (
    first_order_displacement,
    linear_modes,
    Particles,
    peculiar_velocity,
    perturbed,
    second_order_displacement,
)
from fullfield.simulators.gravity.mesh import paint, read
from fullfield.simulators.gravity.solver import density, ParticleMesh


__all__ = [
    "AbstractDynamics",
    "AbstractObserver",
    "Box",
    "LightCone",
    "MeshForce",
    "ParticleMesh",
    "Particles",
    "Perturbed",
    "SecondOrder",
    "Steps",
    "Unobserved",
    "convergence",
    "density",
    "enough_copies",
    "first_order_displacement",
    "galaxy_weights",
    "growth_steps",
    "integrate",
    "lensing_weights",
    "linear_modes",
    "paint",
    "peculiar_velocity",
    "perturbed",
    "read",
    "second_order_displacement",
    "second_order_growth",
    "seen",
]
