"""What data say about the parameters once the field behind them is reconstructed: a summary without a network.

The marginal score ∂ log p(data | θ) / ∂θ at one θ₀ is the optimal summary near it (Alsing & Wandelt 2018, MNRAS 476, L60), and
out of reach, since the latents are to be integrated out. Its integrand at the most probable latents ẑ,

    s(data) = ∂ log p(data, ẑ | θ) / ∂θ at θ₀,   ẑ = argmax_z log p(data, z | θ₀),

differs from it by little more than a constant, and costs a few dozen gradients (Millea & Seljak 2022, Phys. Rev. D 105,
103531, eq. 6). No posterior is read off it here: it is a statistic like any other, for a network to learn from.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.inference.explicit.precondition import expected, Preconditioner
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel


class ReconstructedScore(eqx.Module):
    """Score of the parameters at the most probable latents, compared with that of simulations at θ₀.

    The numbers are arcsinh((s - ⟨s⟩) / σ), linear near θ₀ and logarithmic far from it.

    Args:
        model: an explicit model.
        key: scalar key, for simulations at θ₀.
        theta: θ₀ (p,), the fiducial parameters if not given.
        simulations: at θ₀, for mean and deviation of the score.
        steps: of the climb to the most probable latents, each a gradient.

    Raises:
        ConfigurationError: the model has no joint density; says which methods remain.
    """

    target: Target
    preconditioner: Preconditioner
    theta: Float[Array, " p"]
    centre: Float[Array, " p"]
    scale: Float[Array, " p"]
    steps: int = eqx.field(static=True)

    def __init__(
        self,
        model: AbstractForwardModel,
        *,
        key: Key[Array, ""],
        theta: Float[Array, " p"] | None = None,
        simulations: int = 64,
        steps: int = 20,
    ):
        self.target = Target(model, jnp.zeros(model.data_shape))
        self.theta = model.parameters.fiducial if theta is None else theta
        self.preconditioner = expected(self.target, key=stream(key, "preconditioner"), theta=self.theta)
        self.steps = steps
        keys = jax.random.split(stream(key, "simulations"), simulations)
        scores = _scores_of_simulations(self.target, self.preconditioner, self.theta, keys, steps)
        self.centre, self.scale = jnp.mean(scores, axis=0), jnp.std(scores, axis=0)

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " p"]:
        """Summarise one data set."""
        score = _score(self.target, self.preconditioner, self.theta, data, self.steps)
        return jnp.arcsinh((score - self.centre) / self.scale)


@eqx.filter_jit
def _scores_of_simulations(target, preconditioner, theta, keys, steps):
    simulated = lambda key: target.model.simulate_with_latents(key, theta)[1]  # noqa: E731
    return jax.lax.map(lambda key: _score(target, preconditioner, theta, simulated(key), steps), keys)


def _score(target, preconditioner, theta, data, steps):
    model, unconstrained = target.model, target.model.parameters.to_unconstrained(theta)

    def log_density(latents):
        _, sites = target.split(jnp.concatenate([unconstrained, latents]))
        return -model.potential(unconstrained, sites, data)

    climb = jax.value_and_grad(log_density)
    start = jnp.zeros(target.size - target.parameters)

    def step(state, _):
        latents, value, gradient, rate = state
        new = latents + rate * preconditioner.each("solve", gradient)
        found = (new, *climb(new))
        better = found[1] > value  # and a finite number
        latents, value, gradient = (jnp.where(better, after, before) for after, before in zip(found, state[:3], strict=True))
        return (latents, value, gradient, jnp.where(better, jnp.minimum(1.0, 1.25 * rate), 0.4 * rate)), None

    (latents, *_), _ = jax.lax.scan(step, (start, *climb(start), jnp.asarray(0.7)), length=steps)
    return model.score(theta, target.split(jnp.concatenate([unconstrained, latents]))[1], data)
