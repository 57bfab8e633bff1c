"""A Gaussian random field with a power-law spectrum under white noise: maps whose information is known in closed form.

    C(ℓ) = A (ℓ / ℓ₀)⁻ⁿ,    P(ℓ) = C(ℓ) + N,    F_ab = ½ Σ_modes (∂ ln P / ∂a) (∂ ln P / ∂b)

(Tegmark, Taylor & Heavens 1997, ApJ 480, 22, eq. 15), a sum over as many independent real modes as pixels. What a compressor
of maps keeps can be held against the truth here.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import full_precision, ParameterError
from fullfield.fields import FlatSky, gaussian_field
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.sites import NoisyPixels, WhiteNoise


class GaussianField(AbstractExplicitModel):
    """Maps (n, n, 1) of a Gaussian field, in units of the noise of a pixel.

    Parameters are "log_amplitude", ln A in units of the noise's power N, at the pivot ℓ₀, and "slope", n. Latent site "white"
    (1, n, n): Hartley coefficients of the field.

    Args:
        sky: the patch.
        pivot: ℓ₀ in units of the patch's fundamental multipole.
        width: standard deviation of the normal priors about ln A = 1 and n = 2.
    """

    parameters: ParameterSpace
    sky: FlatSky
    pivot: float = eqx.field(static=True)

    def __init__(self, sky: FlatSky | None = None, *, pivot: float = 4.0, width: float = 0.5):
        if pivot <= 0:
            raise ParameterError("pivot", expected="a positive multiple of the fundamental multipole", got=pivot)
        self.sky, self.pivot = FlatSky(16, 5.0) if sky is None else sky, pivot
        self.parameters = ParameterSpace(
            {
                "log_amplitude": Parameter(dist.Normal(1.0, width), r"\ln A"),
                "slope": Parameter(dist.Normal(2.0, width), "n"),
            }
        )

    def root(self, theta: Float[Array, " p"]) -> Float[Array, "m m"]:
        """√(C(ℓ) / N) on the octant of modes (m, m), zero at ℓ = 0."""
        log_amplitude, slope = theta
        m = self.sky.pixels // 2 + 1
        relative = jnp.asarray(self.sky.multipoles()[:m] / (self.pivot * self.sky.fundamental), jnp.float32)
        safe = jnp.where(relative > 0, relative, 1.0)
        return jnp.where(relative > 0, jnp.exp(0.5 * (log_amplitude - slope * jnp.log(safe))), 0.0)

    @full_precision
    def program(self) -> None:
        """Run the NumPyro program: parameters, white field, maps."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        n = self.sky.pixels
        white = jnp.asarray(numpyro.sample("white", WhiteNoise((1, n, n))))
        numpyro.sample(DATA, NoisyPixels(self.field(theta, white), jnp.ones(1)))

    @full_precision
    def field(self, theta: Float[Array, " p"], white: Float[Array, "1 n n"]) -> Float[Array, "n n 1"]:
        """Noiseless map (n, n, 1) from parameters and white latents."""
        # Unit noise per pixel has the power (L / N)².
        root = self.root(theta) * (self.sky.side_radians / self.sky.pixels)
        return jnp.moveaxis(gaussian_field(self.sky, root[None], white), 0, -1)

    def modes(self, data: Float[Array, "n n bins"]) -> Float[Array, "n n"]:
        """|mode|² of a map in units of the noise's power, on the full plane."""
        return jnp.abs(jnp.fft.fft2(data[..., 0])) ** 2 / self.sky.pixels**2

    def power(self, theta: Float[Array, " p"]) -> Float[Array, "n n"]:
        """P(ℓ) / N on the full plane."""
        octant = 1 + self.root(theta) ** 2
        m = len(octant)
        half = jnp.concatenate([octant, octant[m - 2 : 0 : -1]])
        return jnp.concatenate([half, half[:, m - 2 : 0 : -1]], axis=1)

    @full_precision
    def log_likelihood(self, theta: Float[Array, " p"], data: Float[Array, "n n bins"]) -> Float[Array, ""]:
        """log p(data | theta), the field integrated out, up to a constant: -½ Σ (|mode|² / P + ln P)."""
        power = self.power(theta)
        return -0.5 * jnp.sum(self.modes(data) / power + jnp.log(power))

    @full_precision
    def fisher(self, theta: Float[Array, " p"]) -> Float[Array, "p p"]:
        """Fisher matrix (p, p) of a map, the prior not included."""
        slopes = jax.jacfwd(lambda t: jnp.log(self.power(t)).ravel())(theta)
        return 0.5 * slopes.T @ slopes
