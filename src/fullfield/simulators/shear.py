"""Shear maps of a weak-lensing survey: the data of real surveys, with a mask and noise that varies over the field.

The shear of the model's convergence (`fullfield.fields.shear_of`) is seen under the noise of the galaxies' shapes,

    d_a(x) = (1 + m) γ_a(x) + σ(x) n_a(x),   a = 1, 2,

with m the multiplicative bias of the shear estimate. The shear is that of the periodic patch, so that a survey should be padded
with unobserved pixels; reduced shear, γ / (1 - κ), is taken for shear.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import check_shear, shear_of, ShearMaps
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.lensing import LensingModel
from fullfield.simulators.sites import NoisyPixels, WhiteNoise


class ShearModel(AbstractExplicitModel):
    """Forward model of noisy tomographic shear maps (n, n, bins, 2), unobserved pixels zero.

    Parameters and the latent site "white" (bins, n, n) are those of the convergence model, and "shear_bias" m where it has a
    prior.

    Args:
        lensing: model of the convergence.
        noise: standard deviation of the noise of either shear component (n, n, bins), infinite where unobserved. That of the
            survey if not given: σ_e is the convergence estimate's and each component's alike, since Kaiser-Squires keeps white
            noise as it is. Pixels outside the survey's mask are unobserved in any case.
        bias: prior of the multiplicative bias m; none if not given.

    Raises:
        ShapeError: the noise is not (n, n, bins).
        DataError: noise is NaN, zero or negative, or no pixel is observed.
    """

    lensing: LensingModel
    noise: Float[Array, "n n bins"]
    parameters: ParameterSpace
    biased: bool = eqx.field(static=True)

    def __init__(
        self,
        lensing: LensingModel,
        noise: Float[np.ndarray | Array, "..."] | None = None,
        *,
        bias: Parameter | None = None,
    ):
        survey = lensing.survey
        noise = np.broadcast_to(survey.noise_scale, survey.data_shape) if noise is None else np.asarray(noise, float)
        if noise.shape != survey.data_shape:
            raise ShapeError("noise", expected=f"{survey.data_shape}, axes (y, x, bin)", got=noise.shape)
        if not np.all(noise > 0):
            got = f"{(~(noise > 0)).sum()} pixels that are not"
            raise DataError("noise", expected="positive numbers", got=got, remedy="Infinite noise marks unobserved pixels.")
        noise = noise if survey.mask is None else np.where(np.asarray(survey.mask)[..., None], noise, np.inf)
        if not np.isfinite(noise).any():
            raise DataError("noise", expected="at least one observed pixel", got="none", remedy="Give those a finite noise.")
        self.lensing, self.noise, self.biased = lensing, jnp.asarray(noise, jnp.float32), bias is not None
        entries = dict(zip(lensing.parameters.names, lensing.parameters.entries, strict=True))
        self.parameters = lensing.parameters if bias is None else ParameterSpace({**entries, "shear_bias": bias})

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape (n, n, bins, 2) of the data."""
        return (*self.noise.shape, 2)

    @property
    def hartley(self) -> tuple[str, ...]:
        """The white latents are Hartley coefficients."""
        return self.lensing.hartley

    def convergence(self, theta: Float[Array, " p"], white: Float[Array, "bins n n"]) -> Float[Array, "n n bins"]:
        """Noiseless convergence maps (n, n, bins) from parameters and white latents."""
        return self.lensing.convergence(theta[: self.lensing.parameters.size], white)

    def shear(self, theta: Float[Array, " p"], white: Float[Array, "bins n n"]) -> Float[Array, "n n bins 2"]:
        """Noiseless shear maps (n, n, bins, 2) as the survey measures them, its bias included, before the mask."""
        calibration = 1 + theta[-1] if self.biased else 1.0
        return calibration * shear_of(self.convergence(theta, white))

    def residual(self, data: Float[Array, "n n bins 2"], convergence: Float[Array, "n n bins"]) -> Float[Array, "n n bins 2"]:
        """(data - shear) / noise of a convergence map, zero where unobserved; the shear is taken without bias."""
        return (data - shear_of(convergence)) / self.noise[..., None] * jnp.isfinite(self.noise)[..., None]

    def program(self) -> None:
        """Run the NumPyro program: parameters, white latents, noisy maps."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        n, _, bins = self.noise.shape
        white = jnp.asarray(numpyro.sample("white", WhiteNoise((bins, n, n))))
        observed = jnp.isfinite(self.noise)
        # Infinite noise would be NaN in the gradient.
        scale = jnp.where(observed, self.noise, 1.0)
        numpyro.sample(DATA, NoisyPixels(self.shear(theta, white), scale[..., None], observed[..., None]))

    def prepare(self, maps: ShearMaps | np.ndarray | Float[Array, "..."]) -> np.ndarray:
        """Check observed shear and set unobserved pixels, whatever they hold, to zero as the model does.

        Args:
            maps: shear (n, n, bins, 2), or shear maps, whose patch and noise must then be the model's.

        Raises:
            ConfigurationError: the maps are those of another survey; says which setting differs.
            ShapeError: not (n, n, bins, 2).
            DataError: an observed pixel is NaN or infinite, or |γ| ≥ 1.
        """
        if isinstance(maps, ShearMaps):
            self._check_survey(maps)
            maps = maps.shear
        maps = np.asarray(maps)
        if maps.shape != self.data_shape:
            remedy = "Axes are (y, x, bin, component); two components of one bin have shape (n, n, 1, 2)."
            raise ShapeError("maps", expected=str(self.data_shape), got=maps.shape, remedy=remedy)
        observed = np.isfinite(np.asarray(self.noise))
        check_shear(maps, observed)
        return np.where(observed[..., None], maps, 0.0).astype(np.float32)

    def _check_survey(self, maps):
        sky, bins = self.lensing.survey.sky, self.noise.shape[-1]
        settings = {
            "pixels": (sky.pixels, maps.sky.pixels),
            "side": (sky.side, maps.sky.side),
            "bins": (bins, maps.noise.shape[-1]),
        }
        for name, (own, other) in settings.items():
            if own != other:
                remedy = "Make the model for the survey of the maps, or the maps with the patch and bins of the model."
                raise ConfigurationError(
                    "maps", expected=f"{name} = {own}, as the model", got=f"{name} = {other}", remedy=remedy
                )
        own = np.asarray(self.noise)
        differ = ~np.isclose(own, maps.noise, rtol=1e-3)
        if differ.any():
            raise ConfigurationError(
                "maps", expected="the model's noise map", got=f"another in {differ.sum()} of {differ.size} pixels",
                remedy="Make the model with ShearModel(lensing, maps.noise), or the maps with its mask.",
            )  # fmt: skip
