"""Baryons as nuisance parameters of a density field: what they are, and by what factor they change its power."""

import abc

import equinox as eqx
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield.cosmology import baryon_fraction_suppression, ejected_gas_suppression
from fullfield.parameters import Parameter


class AbstractBaryons(eqx.Module):
    """A model of what baryons do on small scales, with parameters of its own."""

    @property
    @abc.abstractmethod
    def entries(self) -> dict[str, Parameter]:
        """Its parameters."""

    @abc.abstractmethod
    def suppression(self, k: Float[Array, "*n"], values: Float[Array, " b"]) -> Float[Array, "*n"]:
        """Factor on the power at wavenumbers in h/Mpc."""


class EjectedGas(AbstractBaryons):
    """Gas thrown out of haloes below a mass, to a radius: `fullfield.cosmology.ejected_gas_suppression`."""

    @property
    def entries(self) -> dict[str, Parameter]:
        """log₁₀ of the mass in Msun/h, from no gas thrown out to more than fits to X-ray data find, and the radius."""
        return {
            "log_mass": Parameter(dist.Uniform(12.1, 15.5), r"\log_{10} M_c", fiducial=14.08),
            "ejection": Parameter(dist.Uniform(0.2, 0.9), r"\eta_b", fiducial=0.5),
        }

    def suppression(self, k: Float[Array, "*n"], values: Float[Array, " b"]) -> Float[Array, "*n"]:
        """Factor on the power at wavenumbers in h/Mpc."""
        return ejected_gas_suppression(k, values[0], values[1])


class BaryonFraction(AbstractBaryons):
    """Baryons that groups have kept: `fullfield.cosmology.baryon_fraction_suppression`."""

    @property
    def entries(self) -> dict[str, Parameter]:
        """The fraction, over the range of hydrodynamic simulations."""
        return {"fraction": Parameter(dist.Uniform(0.5, 0.9), r"\tilde f_b", fiducial=0.7)}

    def suppression(self, k: Float[Array, "*n"], values: Float[Array, " b"]) -> Float[Array, "*n"]:
        """Factor on the power at wavenumbers in h/Mpc."""
        return baryon_fraction_suppression(k, values[0])
