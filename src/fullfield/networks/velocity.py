"""Flow matching: a density given by a velocity field that carries Gaussian noise to data along time 0 to 1."""

import jax
import jax.numpy as jnp
from flowjax.distributions import AbstractDistribution
from jaxtyping import Array, Float, Key

from fullfield.networks.density import ConditionalFlow, unfitted
from fullfield.networks.residual import ResidualMLP


class VelocityFlow(AbstractDistribution):
    """Distribution of z(1) where dz/dt = v(t, z, c) and z(0) is standard normal, in flowjax's interface.

    v is what the straight paths z_t = (1 - t) ε + t z ask for if z is standard normal, plus a network. The equation is
    solved by `steps` Runge-Kutta steps of fourth order that shorten towards t = 1, where narrow densities make v steep. Log
    densities integrate the exact divergence: log q(z) = log N(z(0)) - ∫ tr ∂v/∂z dt.

    Source: Lipman et al. 2023 (arXiv:2210.02747, section 4.1); for posteriors Wildberger et al. 2023 (arXiv:2305.17161).

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key, width, blocks: of the network.
        frequencies: how many sines and cosines of time the network sees.
        steps: of the solver.
    """

    network: ResidualMLP
    shape: tuple[int, ...]
    cond_shape: tuple[int, ...] | None
    frequencies: int
    steps: int

    def __init__(
        self, size: int, condition_size: int, *, key: Key[Array, ""], width: int, blocks: int, frequencies: int, steps: int
    ):
        inputs = 2 * size + condition_size + 2 * frequencies
        self.network = ResidualMLP(inputs, size, key=key, width=width, blocks=blocks)
        self.shape, self.cond_shape, self.frequencies, self.steps = (size,), (condition_size,), frequencies, steps

    def velocity(
        self, time: Float[Array, ""], z: Float[Array, " p"], condition: Float[Array, " s"] | None
    ) -> Float[Array, " p"]:
        """Velocity (p,) at a time in [0, 1]."""
        assert condition is not None
        angles = jnp.pi * time * jnp.arange(1, self.frequencies + 1)
        # E[z - ε | z_t] of a standard normal z: what is left for the network is how the density differs from that.
        variance = time**2 + (1 - time) ** 2
        scaled = z / jnp.sqrt(variance)
        features = jnp.concatenate([z, scaled, condition, jnp.cos(angles), jnp.sin(angles)])
        return (2 * time - 1) / variance * z + self.network(features)

    def _solve(self, rate, start, *, backwards):
        """Integrate rate(t, state) from noise to data, or back."""
        grid = 1 - (1 - jnp.linspace(0.0, 1.0, self.steps + 1)) ** 1.5
        times = grid[::-1] if backwards else grid

        def step(state, ends):
            time, h = ends[0], ends[1] - ends[0]
            add = lambda state, slope, h: jax.tree.map(lambda a, b: a + h * b, state, slope)  # noqa: E731
            k1 = rate(time, state)
            k2 = rate(time + h / 2, add(state, k1, h / 2))
            k3 = rate(time + h / 2, add(state, k2, h / 2))
            k4 = rate(time + h, add(state, k3, h))
            slope = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
            return add(state, slope, h), None

        return jax.lax.scan(step, start, jnp.stack([times[:-1], times[1:]], axis=1))[0]

    def _sample(self, key, condition=None):
        noise = jax.random.normal(key, self.shape)
        return self._solve(lambda time, z: self.velocity(time, z, condition), noise, backwards=False)

    def _log_prob(self, x, condition=None):
        def rate(time, state):
            z, _ = state
            value, jacobian = self.velocity(time, z, condition), jax.jacfwd(self.velocity, argnums=1)(time, z, condition)
            return value, jnp.trace(jacobian)

        noise, growth = self._solve(rate, (x, jnp.zeros((), x.dtype)), backwards=True)
        return jnp.sum(jax.scipy.stats.norm.logpdf(noise)) + growth


def velocity_flow(
    size: int,
    condition_size: int,
    *,
    key: Key[Array, ""],
    width: int = 128,
    blocks: int = 3,
    frequencies: int = 5,
    steps: int = 15,
) -> ConditionalFlow:
    """Density that flow matching trains (`fullfield.inference.train_fmpe`), behind a linear regression.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        key: key of the initial weights.
        width: hidden units.
        blocks: residual blocks of the network.
        frequencies: how many sines and cosines of time the network sees.
        steps: Runge-Kutta steps of a draw; with fifteen log densities are right to a hundredth, draws to .002 deviations.
    """
    flow = VelocityFlow(size, condition_size, key=key, width=width, blocks=blocks, frequencies=frequencies, steps=steps)
    return unfitted(size, condition_size, flow)
