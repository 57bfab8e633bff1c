"""The exact joint posterior of field and spectrum of `GaussianField`.

    p(θ, κ | y) = p(θ | y) p(κ | θ, y),    κ(ℓ) | θ, y ~ N(W y(ℓ), W N),    W = C(ℓ; θ) / (C(ℓ; θ) + N),

the first factor on a grid from the likelihood with the field integrated out, the second a Wiener filter and independent noise
for each real mode (Wandelt, Larson & Lakshminarayanan 2004, PRD 70, 083511, section II). Every joint sampler and every
joint test can be held against it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import full_precision, stream
from fullfield.fields import hartley, inverse_hartley, normal
from fullfield.simulators.gaussian_field import GaussianField


CELLS, REACH = 128, 5.0  # cells of 0.08 prior deviations on each axis


class GaussianPosterior(eqx.Module):
    """Exact posterior of (θ, κ) given a map, parameters on a grid of 128 x 128 cells within 5 deviations of their priors.

    Inside a cell the density is taken as constant, which widens a posterior of deviation σ by the square of 0.023 prior
    deviations, added to σ².

    Args:
        model: the forward model.
    """

    model: GaussianField
    grid: Float[Array, "g p"]
    cell: Float[Array, " p"]
    ring: Int[np.ndarray, "n n"]
    inverse: Float[Array, "g r"]
    constant: Float[Array, " g"]

    def __init__(self, model: GaussianField):
        self.model = model
        centre, width = jnp.array(model.parameters.loc), jnp.array(model.parameters.scale)
        steps = REACH * ((jnp.arange(CELLS) + 0.5) * 2 / CELLS - 1)
        self.grid = centre + width * jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        self.cell = width * 2 * REACH / CELLS
        # Modes of one |ℓ| have one power: they enter the likelihood as a sum.
        squares = np.fft.fftfreq(model.sky.pixels, 1 / model.sky.pixels) ** 2
        _, first, ring, counts = np.unique(
            squares[:, None] + squares, return_index=True, return_inverse=True, return_counts=True
        )
        self.ring = ring.reshape(model.sky.pixels, -1)
        power = jax.lax.map(lambda theta: model.power(theta).ravel()[first], self.grid, batch_size=256)
        self.inverse = 1 / power
        prior = jax.vmap(model.parameters.log_prob)(self.grid)
        self.constant = prior - 0.5 * jnp.log(power) @ jnp.asarray(counts, jnp.float32)

    @eqx.filter_jit
    @full_precision
    def log_weights(self, data: Float[Array, "n n bins"]) -> Float[Array, " g"]:
        """Log posterior of the parameters at the cells of the grid, up to a constant."""
        sums = jnp.zeros(self.inverse.shape[1]).at[self.ring].add(self.model.modes(data))
        return self.constant - 0.5 * self.inverse @ sums

    @eqx.filter_jit
    def sample(
        self, key: Key[Array, ""], data: Float[Array, "n n bins"], draws: int
    ) -> tuple[Float[Array, "s p"], Float[Array, "s n n bins"]]:
        """Draw parameters (s, p) and fields (s, n, n, 1), in units of the noise of a pixel."""
        below = jnp.cumsum(jax.nn.softmax(self.log_weights(data)))
        cells = jnp.searchsorted(below, below[-1] * jax.random.uniform(stream(key, "cell"), (draws,)), side="right")
        inside = jax.random.uniform(stream(key, "place"), (draws, 2), minval=-0.5, maxval=0.5)
        theta = self.grid[cells] + self.cell * inside
        gain = self._gain(theta)
        noise = normal(stream(key, "field"), gain.shape) * self._noise
        sky = self.model.sky
        return theta, inverse_hartley(sky, gain * hartley(sky, data) + jnp.sqrt(gain) * noise)

    @eqx.filter_jit
    def wiener(self, data: Float[Array, "n n bins"], theta: Float[Array, " p"]) -> Float[Array, "n n bins"]:
        """Mean field (n, n, 1) at given parameters."""
        sky = self.model.sky
        return inverse_hartley(sky, self._gain(theta[None])[0] * hartley(sky, data))

    def _gain(self, theta):
        return (1 - 1 / jax.vmap(self.model.power)(theta))[..., None]

    @property
    def _noise(self):
        # Deviation of a coefficient of unit noise per pixel.
        return self.model.sky.side_radians / self.model.sky.pixels
