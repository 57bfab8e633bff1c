"""The cosmic web in two dimensions: particles of a plane under gravity, and their density by Delaunay tessellation.

A universe in which nothing varies along the third axis, with the variance per ln k that three dimensions have. Filaments and
haloes are as sharp in one image as slices of a far larger simulation show them (Ullmo, Decelle & Aghanim 2021, A&A 651, A46,
section 2, who had such images from the code of Hidding 2020, zenodo.4158731, of settings that are not published: ours are the
arguments below).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology
from fullfield.fields import delaunay_density, normal
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractForwardModel
from fullfield.simulators.gravity import Box, linear_modes, ParticleMesh, perturbed


OMEGA_B, HUBBLE, TILT = 0.049, 0.68, 0.967
"""With Ωm = .31: Planck 2018 (arXiv:1807.06209), as the paper has it where it says."""
SCALE_FACTORS = tuple(np.linspace(0.04, 1.0, 97).tolist())
"""Ends of the steps, by .01 as in ParticleMesh_2D of Aragon-Calvo, whose tessellation the paper takes."""


class CosmicWeb(AbstractForwardModel):
    """Density over its mean (pixels, pixels), today, of a periodic plane, at given Ωm and σ8.

    Args:
        particles: along each side, even.
        side: of the plane, Mpc/h.
        pixels: on a side of the map.
        scale_factors: ends of the steps of the particle mesh.

    Raises:
        ConfigurationError: there are more pixels than particles on a side, or steps that `ParticleMesh` refuses.
    """

    mesh: ParticleMesh
    pixels: int = eqx.field(static=True)
    parameters: ParameterSpace

    def __init__(
        self, particles: int = 512, side: float = 100.0, pixels: int = 256, scale_factors: tuple[float, ...] = SCALE_FACTORS
    ):
        if not 0 < pixels <= particles:
            raise ConfigurationError("pixels", expected=f"between 1 and the {particles} particles on a side", got=pixels)
        self.mesh, self.pixels = ParticleMesh(Box((particles, particles), side / particles), scale_factors), pixels
        self.parameters = ParameterSpace(
            {
                "omega_m": Parameter(dist.Uniform(0.1, 0.5), r"\Omega_m", fiducial=0.31),
                "sigma_8": Parameter(dist.Uniform(0.6, 1.0), r"\sigma_8", fiducial=0.81),
            }
        )

    @property
    def side(self) -> float:
        """Length of the plane, Mpc/h."""
        return self.mesh.box.sides[0]

    @property
    def data_shape(self) -> tuple[int, ...]:
        """(pixels, pixels)."""
        return (self.pixels, self.pixels)

    @property
    def batch_size(self) -> int:
        """One, as the tessellation is of the host."""
        return 1

    def positions(self, key: Key[Array, ""], theta: Float[Array, " 2"]) -> Float[Array, "n 2"]:
        """Comoving positions (n, 2) of the particles today, Mpc/h, not wrapped into the plane."""
        omega_m, sigma_8 = theta
        cosmology = Cosmology(omega_c=omega_m - OMEGA_B, omega_b=OMEGA_B, h=HUBBLE, n_s=TILT, sigma_8=sigma_8)
        box = self.mesh.box
        modes = linear_modes(box, cosmology, normal(key, box.shape))
        start = perturbed(box, cosmology, modes, self.mesh.scale_factors[0])
        lattice = jnp.stack(jnp.meshgrid(*(jnp.arange(points) * box.cell for points in box.shape), indexing="ij"))
        return (lattice + self.mesh.evolve(cosmology, start).displacement).reshape(2, -1).T

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " 2"]) -> Float[Array, "n n"]:
        """Density over its mean at Ωm and σ8."""

        def tessellated(positions):
            return delaunay_density(np.asarray(positions), self.side, self.pixels)

        result = jax.ShapeDtypeStruct(self.data_shape, jnp.float32)
        return jax.pure_callback(tessellated, result, self.positions(key, theta), vmap_method="sequential")
