"""Lognormal maps of the matter overdensity from the linear spectrum: non-Gaussian maps whose information is known.

    δ = exp(g - ½ v) - 1,    F_ab = ½ Σ_k ν_k (∂ ln P(k) / ∂a) (∂ ln P(k) / ∂b)

with g of the linear spectrum of Eisenstein & Hu, v the variance of this map of g, and ν the degrees of freedom of the power in
a mode. The map of g can be had back from that of δ, so that both hold the same information (equations 7 and 8 of
Akhmetzhanova, Mishra-Sharma & Dvorkin 2024, MNRAS 527, 7459, arXiv:2308.09751).
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision
from fullfield.cosmology import Cosmology, EisensteinHu
from fullfield.cosmology.linear import linear_spectrum
from fullfield.fields.plane import AbstractModes, GaussianModes, Plane
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.baryons import AbstractBaryons
from fullfield.simulators.forward import AbstractForwardModel


OMEGA_B, HUBBLE, TILT = 0.05, 0.7, 0.96
"""What the paper keeps fixed (its section 3.1.1)."""


def matter_parameters(
    omega_m: tuple[float, float] = (0.15, 0.45), sigma_8: tuple[float, float] = (0.65, 0.95)
) -> ParameterSpace:
    """Ωm and σ8, uniform within ranges; the paper's if not given."""
    entries = {
        "omega_m": Parameter(dist.Uniform(*omega_m), r"\Omega_m"),
        "sigma_8": Parameter(dist.Uniform(*sigma_8), r"\sigma_8"),
    }
    return ParameterSpace(entries)


class LognormalOverdensity(AbstractForwardModel):
    """Overdensity maps (n, n, 1) of a periodic plane at given Ωm and σ8.

    The plane's spectrum is P(k) / L, P that of space and L the side of the plane, as if it were a slab of a cube (the paper's
    convention, not a projection). The mean of g is zero and v is the variance of the map itself: were it that of the ensemble,
    the mean of ln(1 + δ) would tell it without noise.

    Args:
        plane: pixels, and side in Mpc (not Mpc/h); the paper's if not given.
        modes: how modes are drawn; `RealAmplitudeModes` for results of the paper, which are of such.
        parameters: Ωm and σ8 with their priors; `matter_parameters()` if not given.
        baryons: what suppresses the power of g on small scales, with nuisance parameters that come behind Ωm and σ8. It acts on
            g and not on δ, so that no density falls below zero and the likelihood is known.
        omega_b, h, n_s: baryon density, Hubble constant and tilt, which stay fixed.
    """

    parameters: ParameterSpace
    plane: Plane
    modes: AbstractModes
    baryons: AbstractBaryons | None
    omega_b: float
    h: float
    n_s: float

    def __init__(
        self,
        plane: Plane | None = None,
        modes: AbstractModes | None = None,
        parameters: ParameterSpace | None = None,
        *,
        baryons: AbstractBaryons | None = None,
        omega_b: float = OMEGA_B,
        h: float = HUBBLE,
        n_s: float = TILT,
    ):
        self.plane, self.modes, self.baryons = plane or Plane(100, 1000.0), modes or GaussianModes(), baryons
        matter = parameters or matter_parameters()
        entries = dict(zip(matter.names, matter.entries, strict=True))
        self.parameters = ParameterSpace(entries | (baryons.entries if baryons else {}))
        self.omega_b, self.h, self.n_s = omega_b, h, n_s

    @full_precision
    def power(self, theta: Float[Array, " p"], k: Float[np.ndarray, "*n"]) -> Float[Array, "*n"]:
        """Power of g in Mpc², at wavenumbers in 1/Mpc."""
        omega_m, sigma_8 = theta[:2]
        cosmology = Cosmology(omega_c=omega_m - self.omega_b, omega_b=self.omega_b, h=self.h, n_s=self.n_s, sigma_8=sigma_8)
        spectrum = linear_spectrum(cosmology, EisensteinHu())
        linear = spectrum(jnp.asarray(np.log(k / self.h), float)) / (self.h**3 * self.plane.side)
        if self.baryons is None:
            return linear
        return linear * self.baryons.suppression(jnp.asarray(k / self.h, float), theta[2:])

    def _plane_power(self, theta):
        # Many modes have the same wavenumber. The mean of the field is none of them.
        k, place = np.unique(np.round(self.plane.wavenumbers, 12), return_inverse=True)
        power = jnp.concatenate([jnp.zeros(1), self.power(theta, k[1:])])
        return power[place.reshape(self.plane.wavenumbers.shape)]

    @full_precision
    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "n n 1"]:
        """Overdensity (n, n, 1), greater than minus one."""
        gaussian = self.plane.field(self.modes.draw(key, self.plane.pixels), self._plane_power(theta))
        return (jnp.exp(gaussian - 0.5 * jnp.var(gaussian)) - 1)[..., None]

    @full_precision
    def log_likelihood(self, theta: Float[Array, " p"], data: Float[Array, "n n 1"]) -> Float[Array, ""]:
        """log p(data | theta) up to a constant, -½ Σ ν (|mode|² / P + ln P), with the power P that a mode of this kind has.

        Of `GaussianModes` it is exact, and of `RealAmplitudeModes` but for rows at the Nyquist frequency, whose power it knows
        but not its law: slopes have no bias.
        """
        pixels = self.plane.pixels
        power = self._plane_power(theta) * jnp.asarray(self.modes.share(pixels), float)
        freedom = jnp.asarray(self.modes.freedom(pixels), float)
        safe = jnp.where(freedom > 0, power, 1.0)
        return -0.5 * jnp.sum(freedom * (self.plane.power(jnp.log1p(data[..., 0])) / safe + jnp.log(safe)))

    @full_precision
    def fisher(self, theta: Float[Array, " p"]) -> Float[Array, "p p"]:
        """Fisher matrix of a map (p, p), the prior not included."""
        freedom = jnp.asarray(self.modes.freedom(self.plane.pixels).ravel(), float)
        safe = jnp.where(freedom > 0, 1.0, 0.0)
        slopes = jax.jacfwd(lambda t: jnp.log(jnp.where(safe > 0, self._plane_power(t).ravel(), 1.0)))(theta)
        return 0.5 * (slopes.T * freedom) @ slopes
