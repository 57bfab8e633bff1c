"""Intrinsic alignment of galaxies with the tidal field."""

import equinox as eqx
from jaxtyping import Array, Float

from fullfield.cosmology.constants import ALIGNMENT_DENSITY
from fullfield.cosmology.cosmology import Cosmology, Scalar


class NLA(eqx.Module):
    """Non-linear linear alignment model; Bridle & King 2007 (NJP 9, 444) in the form of Joachimi et al. 2011 (A&A 527, A26).

    Args:
        amplitude: A; positive aligns galaxies with the tidal field.
        slope: power of (1+z)/(1+pivot).
        pivot: redshift at which the amplitude is given.
    """

    amplitude: Scalar
    slope: Scalar = 0.0
    pivot: float = 0.62

    def __call__(self, cosmology: Cosmology, z: Float[Array, "*n"], growth: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Ratio of intrinsic convergence to matter density, F(z) = −A C1 ρ_crit Ωm/D(z) [(1+z)/(1+pivot)]^slope.

        Args:
            cosmology: the universe.
            z: redshift.
            growth: growth factor D, one today, at `z`.
        """
        evolution = ((1 + z) / (1 + self.pivot)) ** self.slope
        return -self.amplitude * ALIGNMENT_DENSITY * cosmology.omega_m / growth * evolution
