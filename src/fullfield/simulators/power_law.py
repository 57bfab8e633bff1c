"""Toy spectra on whose small scales baryons act: a power law that breaks."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.tasks.base import AbstractTask


class BrokenPowerLaw(AbstractTask):
    """Measured power (140,) of A k^B up to a pivot and C k^D beyond it, continuous, with the cosmic variance of one box.

    P_obs ~ N(P, 2 P² / N), N = 4π k² k_F / k_F³ modes in each bin at k = 3, 4, ..., 142 k_F. A and B stand for cosmology, D for
    baryons. Source: Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (MNRAS 527, 7459, arXiv:2308.09751), equations 11 and 12, after
    Villaescusa-Navarro et al. 2020.

    Args:
        fundamental: k_F in h/Mpc.
        pivot: where the law breaks, in h/Mpc.
    """

    parameters: ParameterSpace
    fundamental: float
    pivot: float

    def __init__(self, fundamental: float = 7e-3, pivot: float = 0.5):
        self.fundamental, self.pivot = fundamental, pivot
        self.parameters = ParameterSpace({
            "A": Parameter(dist.Uniform(0.1, 1.0), label="A"),
            "B": Parameter(dist.Uniform(-1.0, 0.0), label="B"),
            "D": Parameter(dist.Uniform(-0.5, 0.5), label="D"),
        })  # fmt: skip

    @property
    def wavenumbers(self) -> Float[np.ndarray, "140"]:
        """k of the bins in h/Mpc."""
        return self.fundamental * np.arange(3, 143)

    def power(self, theta: Float[Array, "3"]) -> Float[Array, "140"]:
        """Expected power at A, B, D."""
        k = jnp.asarray(self.wavenumbers, jnp.float32)
        amplitude, slope, beyond = theta
        return amplitude * jnp.where(k <= self.pivot, k**slope, self.pivot ** (slope - beyond) * k**beyond)

    def likelihood(self, theta: Float[Array, "3"]) -> dist.Distribution:
        """Gaussian about the power."""
        modes = 4 * np.pi * np.arange(3, 143) ** 2
        power = self.power(theta)
        return dist.Normal(power, power * jnp.asarray(np.sqrt(2 / modes), jnp.float32)).to_event(1)
