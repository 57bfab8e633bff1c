"""White latents in coordinates that data hold in place: partial centring along the few directions that data tell.

With F = Uᵀ Λ U the information of the data on the latents of a linear response at fiducial parameters, and a²(θ) the share of
it that is left or gained at others,

    x = K(θ) z,   K(θ) = 1 + Uᵀ [(1 + a²(θ) Λ)^½ − 1] U.

Where data tell much, x is what they say in units of their noise, whatever the amplitude of the field is at θ; where they tell
nothing, x = z. So the posterior of x has unit curvature at all parameters, where that of z is a funnel.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from numpyro import handlers
from numpyro.distributions import constraints

from fullfield._core import ConfigurationError, full_precision
from fullfield.fields import normal
from fullfield.inference.explicit.target import explicit
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractExplicitModel, AbstractForwardModel, Noiseless, sample_parameters


LEAST = 0.05  # information, over the prior's, of a direction that is worth its place


class PartlyCentred(AbstractExplicitModel):
    """The same model with its white latents, of one site, replaced by x = K(θ) z under the same name.

    It is the same joint density in other coordinates: whatever the directions are, they cost or save steps of a chain, and
    change no posterior.

    Args:
        model: whose data are `NoisyPixels` and whose latents are one field of `WhiteNoise`.
        site: name of the latents.
        directions: U, orthonormal rows (k, m).
        information: Λ at fiducial parameters, in units of the prior's.
        slope: d ln a² / dθ.
        reading: of data (k, ...) along the directions, in units of their noise.

    Source: Papaspiliopoulos, Roberts & Sköld 2007, Stat. Sci. 22, 59.
    """

    parameters: ParameterSpace
    model: AbstractExplicitModel
    site: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    directions: Float[Array, "k m"]
    information: Float[Array, " k"]
    slope: Float[Array, " p"]
    reading: Float[Array, "k ..."]

    @classmethod
    def of(cls, model: AbstractForwardModel) -> "PartlyCentred":
        """Coordinates from the model's response at zero latents, which costs a gradient for every pixel of 1 + 2p data sets.

        Raises:
            ConfigurationError: the model has no joint density, its data are not pixels with noise, or its latents not one site.
        """
        model, space = explicit(model), model.parameters
        latents, _ = eqx.filter_eval_shape(model.simulate_with_latents, jax.random.key(0), space.fiducial)
        if len(latents) != 1:
            raise ConfigurationError("model", expected="one site of white latents", got=sorted(latents))
        ((site, leaf),) = latents.items()
        response = eqx.filter_jit(lambda theta: _response(Noiseless(model), site, leaf.shape, theta))
        rows, noise = response(space.fiducial)
        seen, values, directions = np.linalg.svd(np.asarray(rows), full_matrices=False)
        kept = values**2 > LEAST
        directions, information = directions[kept], values[kept] ** 2
        reading = seen.T[kept].reshape(-1, *model.data_shape) / np.asarray(noise)
        centre, slope = space.to_unconstrained(space.fiducial), []
        for axis in np.eye(space.size):
            ends = [space.to_constrained(centre + sign * axis) for sign in (-1, 1)]
            told = [np.log(np.sum((np.asarray(response(theta)[0]) @ directions.T) ** 2, axis=0)) for theta in ends]
            slope.append(np.average(told[1] - told[0], weights=information) / float(jnp.sum(ends[1] - ends[0])))
        arrays = (jnp.asarray(array, float) for array in (directions, information, slope, reading))
        return cls(space, model, site, leaf.shape, *arrays)

    @property
    def whitened(self) -> bool:
        """They are."""
        return True

    def white(self, theta: Float[Array, " p"], x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The white latents z."""
        return self._prior(theta).whitened(x)

    def centred(self, theta: Float[Array, " p"], white: Float[Array, "..."]) -> Float[Array, "..."]:
        """x of white latents z; the way back."""
        return self._prior(theta).coloured(white)

    def near(self, key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "..."]) -> Float[Array, " D"]:
        """A point of `Target` for a chain to start from: the latents that data ask for in a linear model, scattered.

        From a draw of the prior, chains take most of their steps to where data let them be.

        Args:
            key: scalar key.
            theta: parameters, say a draw of the prior.
            data: one data set.
        """
        told = jnp.sum((self.reading * data).reshape(len(self.reading), -1), axis=1) @ self.directions
        x = told + normal(key, (told.size,))
        return jnp.concatenate([self.parameters.to_unconstrained(theta), x])

    def program(self) -> None:
        """Run the NumPyro program: parameters, x, and the model's own data."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        x = jnp.asarray(numpyro.sample(self.site, self._prior(theta)))
        given = self.parameters.as_dict(theta) | {self.site: self.white(theta, x)}
        handlers.block(handlers.substitute(self.model.program, data=given), hide=list(given))()

    def _prior(self, theta):
        gained = jnp.exp(jnp.sum(self.slope * (theta - self.parameters.fiducial)))
        return Coloured(jnp.sqrt(1 + gained * self.information), self.directions, self.shape)


class Coloured(dist.Distribution):
    """White noise that is stretched along some directions, one event.

    Args:
        stretch: factors (k,).
        directions: orthonormal rows (k, m).
        shape: of the field, with m elements.
    """

    pytree_data_fields = ("stretch", "directions")
    pytree_aux_fields = ("shape_",)

    def __init__(self, stretch: Float[Array, " k"], directions: Float[Array, "k m"], shape: tuple[int, ...]):
        self.stretch, self.directions, self.shape_ = stretch, directions, shape
        super().__init__(event_shape=shape)

    @property
    def support(self):
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.shape_))

    def coloured(self, white: Float[Array, "..."]) -> Float[Array, "..."]:
        """Stretch a field."""
        return self._along(white, self.stretch - 1)

    def whitened(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The way back."""
        return self._along(x, 1 / self.stretch - 1)

    @full_precision
    def _along(self, field, factors):
        flat = field.reshape(*field.shape[: field.ndim - len(self.shape_)], -1)
        return field + ((factors * (flat @ self.directions.T)) @ self.directions).reshape(field.shape)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw a field."""
        return self.coloured(normal(key, sample_shape + self.shape_))

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density, summed over the field."""
        axes = tuple(range(-len(self.shape_), 0))
        constant = math.prod(self.shape_) * math.log(2 * math.pi) / 2 + jnp.sum(jnp.log(self.stretch))
        return -0.5 * jnp.sum(self.whitened(value) ** 2, axis=axes) - constant


def _response(noiseless, site, shape, theta):
    """Derivatives (data, m) of the data, in units of their noise, by white latents about zero; and that noise."""

    def pixels(white):
        seen = noiseless.pixels(theta, {site: white})
        told = seen.loc / seen.scale
        return jnp.where(True if seen.observed is None else seen.observed, told, 0.0).ravel(), seen.scale

    prediction, pull, noise = jax.vjp(pixels, jnp.zeros(shape), has_aux=True)
    return jax.lax.map(lambda row: pull(row)[0].ravel(), jnp.eye(prediction.size)), noise
