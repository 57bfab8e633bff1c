"""A monotonic function without a kink in any derivative, for densities whose scores are fitted too."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.networks.bijections import AbstractElement, soft_clamp


class RampElement(AbstractElement):
    """Sum of a straight line and of sigmoid ramps: y = e^a x + b + Σ_k h_k tanh((x - m_k) / w_k), with h_k, w_k > 0.

    It is infinitely differentiable and its slope lies between e^a and e^a + Σ_k h_k / w_k, where a rational-quadratic spline
    has jumps in its second derivative: scores ∂ log q of flows built on it are smooth, so that simulator scores can be
    fitted. The inverse is bisected between (y - b ± Σ_k h_k) / e^a; one Newton step ends it and carries the gradient.

    Source: the mixtures of smooth ramps of Köhler, Krämer & Noé 2021 (arXiv:2110.00351, section 3), here on the whole line.

    Args:
        ramps: number of ramps.
        interval: their centres start evenly between ± this.
    """

    ramps: int = eqx.field(default=12, static=True)
    interval: float = eqx.field(default=4.0, static=True)

    @property
    def n_raw(self) -> int:
        """Height, place and width of each ramp; slope and shift of the line."""
        return 3 * self.ramps + 2

    def _parts(self, raw):
        heights, places, widths = raw[2:].reshape(3, self.ramps)
        spacing = 2 * self.interval / self.ramps
        centres = spacing * (jnp.arange(self.ramps) - (self.ramps - 1) / 2)
        width = spacing * jnp.exp(soft_clamp(widths, 4.0))
        # All zeros: ramps as tall as the line's missing part, hence nearly the identity wherever a Gaussian has draws.
        height = 0.5 * START * spacing * jnp.exp(soft_clamp(heights, 6.0))
        log_slope = jnp.log1p(-START) + soft_clamp(raw[0], 6.0)
        return log_slope, raw[1], height, centres + places, width

    def forward(self, x: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Value and log derivative at `x`."""
        log_slope, shift, height, centre, width = self._parts(raw)
        tanh = jnp.tanh((x - centre) / width)
        y = jnp.exp(log_slope) * x + shift + jnp.sum(height * tanh)
        return y, jnp.log(jnp.exp(log_slope) + jnp.sum(height / width * (1 - tanh**2)))

    def inverse(self, y: Float[Array, ""], raw: Float[Array, " r"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The x with value `y`, and the log derivative of the inverse there."""
        log_slope, shift, height, _, _ = self._parts(raw)
        middle, reach = (y - shift) * jnp.exp(-log_slope), jnp.sum(height) * jnp.exp(-log_slope)

        def halve(_, ends):
            low, high = ends
            x = 0.5 * (low + high)
            below = self.forward(x, raw)[0] < y
            return jnp.where(below, x, low), jnp.where(below, high, x)

        ends = jax.lax.stop_gradient((middle - reach, middle + reach))
        steps = 40 if y.dtype == jnp.float32 else 70
        low, high = jax.lax.fori_loop(0, steps, halve, jax.lax.stop_gradient(ends))
        x = jax.lax.stop_gradient(0.5 * (low + high))
        value, log_derivative = self.forward(x, raw)
        x = x - (value - y) * jnp.exp(-jax.lax.stop_gradient(log_derivative))
        return x, -self.forward(x, raw)[1]


START = 0.8  # fraction of the slope that the ramps make up when all numbers are zero
