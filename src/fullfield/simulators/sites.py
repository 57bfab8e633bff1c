"""Sites of field-level models: white latents and noisy pixels, drawn with the fast generator."""

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Key
from numpyro.distributions import constraints

from fullfield.fields import normal


class WhiteNoise(dist.Distribution):
    """Independent standard normals of a given shape, one event.

    Args:
        shape: shape of the field.
    """

    pytree_aux_fields = ("shape_",)

    def __init__(self, shape: tuple[int, ...]):
        self.shape_ = shape
        super().__init__(event_shape=shape)

    @property
    def support(self):
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.shape_))

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw a field."""
        return normal(key, sample_shape + self.shape_)

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density, summed over the field."""
        axes = tuple(range(-len(self.shape_), 0))
        return jnp.sum(-0.5 * value**2 - _LOG_ROOT_2PI, axis=axes)


class NoisyPixels(dist.Distribution):
    """Pixels with independent Gaussian noise; masked pixels read zero and say nothing.

    Args:
        loc: noiseless maps, say (n, n, bins) of convergence or (n, n, bins, 2) of shear; one event.
        scale: noise standard deviation, of a shape that broadcasts to the maps'; finite where masked, too.
        observed: True where a pixel is observed, of a shape that broadcasts to the maps'; None for all.
    """

    pytree_data_fields = ("loc", "scale", "observed")

    def __init__(self, loc: Float[Array, "*maps"], scale: Float[Array, "..."], observed: Bool[Array, "..."] | None = None):
        self.loc, self.scale, self.observed = loc, scale, observed
        super().__init__(event_shape=jnp.shape(loc))

    @property
    def support(self):
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def _masked(self, value):
        return value if self.observed is None else jnp.where(self.observed, value, 0.0)

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw noisy maps."""
        return self._masked(self.loc + self.scale * normal(key, sample_shape + self.event_shape))

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density, summed over the observed pixels."""
        # Masked pixels are replaced before the arithmetic: a NaN there would pass through `where` into the gradient.
        pull = (self._masked(value) - self._masked(self.loc)) / self.scale
        axes = tuple(range(-len(self.event_shape), 0))
        return jnp.sum(self._masked(-0.5 * pull**2 - jnp.log(self.scale) - _LOG_ROOT_2PI), axis=axes)


_LOG_ROOT_2PI = 0.9189385332046727
