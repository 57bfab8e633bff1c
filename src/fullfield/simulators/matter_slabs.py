"""Maps of the total mass in slabs of a small box, shaped like those of CAMELS: a stand-in where those are not at hand.

    Σ_j = Ωm ρ d exp(b_j) (1 + δ_j) / N,    Var b = Σ_{m≠0} P(2π m / L) sinc²(m / 5) / L³

with 1 + δ_j a lognormal density in slab j over its mean, b_j what modes along the line of sight make of all of it, ρ the
critical density, d = L / 5 the depth of a slab, and N such that the five slabs of each axis hold the mass of the box.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision, stream
from fullfield.fields.plane import Plane
from fullfield.parameters import ParameterSpace
from fullfield.simulators.forward import AbstractForwardModel
from fullfield.simulators.overdensity import LognormalOverdensity, matter_parameters


SIDE, SLABS, AXES = 25.0, 5, 3  # of a box in Mpc/h, of the slabs that it is cut into along each axis
OMEGA_B, HUBBLE, TILT = 0.049, 0.6711, 0.9624
"""What CAMELS keeps fixed; box, slabs and ranges are its too (Villaescusa-Navarro et al. 2022, arXiv:2109.10915)."""
CRITICAL_DENSITY = 2.775e11  # (M☉/h) / (Mpc/h)³
WAVES = np.arange(1, 21)  # along the line of sight; shorter ones leave nothing in the mean of a slab


class MatterSlabs(AbstractForwardModel):
    """Maps (15, n, n) of the total mass of a box in (M☉/h) / (Mpc/h)² at given Ωm and σ8: five slabs along three axes.

    If all slabs had the mean density, the mean of a map would tell Ωm without error. Here it varies as much as linear theory
    says of the slabs of a periodic box, by 40 % at Ωm = 0.3, σ8 = 0.8, while the slabs of an axis hold the box's mass together.
    Beyond that the slabs are independent, also those along different axes, and know neither haloes nor feedback: their
    spectrum is the linear one, in the convention of `LognormalOverdensity`.

    Args:
        pixels: on a side.
    """

    parameters: ParameterSpace
    overdensity: LognormalOverdensity

    def __init__(self, pixels: int = 256):
        self.parameters = matter_parameters((0.1, 0.5), (0.6, 1.0))
        plane = Plane(pixels, SIDE / HUBBLE)
        self.overdensity = LognormalOverdensity(plane, parameters=self.parameters, omega_b=OMEGA_B, h=HUBBLE, n_s=TILT)

    def variance(self, theta: Float[Array, "2"]) -> Float[Array, ""]:
        """Variance of b, the logarithm of a slab's mean density."""
        side = self.overdensity.plane.side
        return 2 * jnp.sum(self.overdensity.power(theta, 2 * np.pi * WAVES / side) * np.sinc(WAVES / SLABS) ** 2) / side**2

    @full_precision
    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, "2"]) -> Float[Array, "15 n n"]:
        """Maps (15, n, n), the slabs of an axis one behind the other."""
        keys = jax.random.split(stream(key, "overdensity"), AXES * SLABS)
        density = 1 + jax.vmap(self.overdensity.simulate_at, (0, None))(keys, theta)[..., 0]
        density = (density / jnp.mean(density, axis=(1, 2), keepdims=True)).reshape(AXES, SLABS, *density.shape[1:])
        white = jax.random.normal(stream(key, "mean"), (AXES, SLABS, 1, 1))
        # Five independent numbers without their mean have four fifths of their variance.
        along = jnp.sqrt(SLABS / (SLABS - 1) * self.variance(theta)) * (white - jnp.mean(white, axis=1, keepdims=True))
        density = density * jnp.exp(along)
        density = density / jnp.mean(density, axis=(1, 2, 3), keepdims=True)
        mean = theta[0] * (CRITICAL_DENSITY * SIDE / SLABS)
        return (mean * density).reshape(AXES * SLABS, *density.shape[2:])
