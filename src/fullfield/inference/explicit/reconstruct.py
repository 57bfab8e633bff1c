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

    The numbers are arcsinh((s - ⟨s⟩) / σ), linear near θ₀ and logarithmic far from it. `about` makes one.

    Args:
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb to the most probable latents.
        theta: θ₀ (p,).
        centre, scale: ⟨s⟩ and σ, each (p,).
        steps: of the climb, each a gradient.
    """

    target: Target
    preconditioner: Preconditioner
    theta: Float[Array, " p"]
    centre: Float[Array, " p"]
    scale: Float[Array, " p"]
    steps: int = eqx.field(static=True, default=20)

    @classmethod
    def unit(cls, model: AbstractForwardModel, theta: Float[Array, " p"] | None = None) -> "ReconstructedScore":
        """The same with nothing measured yet: the fiducial parameters if none are given, ⟨s⟩ = 0 and σ = 1."""
        target = Target(model, jnp.zeros(model.data_shape))
        theta = model.parameters.fiducial if theta is None else theta
        return cls(target, Preconditioner.unit(target), theta, jnp.zeros_like(theta), jnp.ones_like(theta))

    @classmethod
    def about(
        cls,
        model: AbstractForwardModel,
        *,
        key: Key[Array, ""],
        theta: Float[Array, " p"] | None = None,
        simulations: int = 64,
    ) -> "ReconstructedScore":
        """The summary about θ₀, from simulations there.

        Args:
            model: an explicit model.
            key: scalar key.
            theta: θ₀ (p,), the fiducial parameters if not given.
            simulations: for mean and deviation of the score.

        Raises:
            ConfigurationError: the model has no joint density; says which methods remain.
        """
        blank = cls.unit(model, theta)
        preconditioner = expected(blank.target, key=stream(key, "preconditioner"), theta=blank.theta)
        blank = eqx.tree_at(lambda self: self.preconditioner, blank, preconditioner)
        scores = _of_simulations(blank, jax.random.split(stream(key, "simulations"), simulations))
        return eqx.tree_at(lambda self: (self.centre, self.scale), blank, (jnp.mean(scores, axis=0), jnp.std(scores, axis=0)))

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " p"]:
        """Summarise one data set."""
        score = self.target.model.score(self.theta, self.reconstruct(data), data)
        return jnp.arcsinh((score - self.centre) / self.scale)

    def reconstruct(self, data: Float[Array, "..."]) -> dict[str, Float[Array, "..."]]:
        """The most probable latents at θ₀ given data, site by site."""
        target = self.target
        unconstrained = target.model.parameters.to_unconstrained(self.theta)

        def sites(latents):
            return target.split(jnp.concatenate([unconstrained, latents]))[1]

        def step(state, _):
            latents, value, gradient, rate = state
            new = latents + rate * self.preconditioner.each("solve", gradient)
            found = (new, *climb(new))
            better = found[1] > value  # and a number
            kept = (jnp.where(better, after, before) for after, before in zip(found, state[:3], strict=True))
            return (*kept, jnp.where(better, jnp.minimum(1.0, 1.25 * rate), 0.4 * rate)), None

        climb = jax.value_and_grad(lambda latents: -target.model.potential(unconstrained, sites(latents), data))
        start = jnp.zeros(target.size - target.parameters)
        (latents, *_), _ = jax.lax.scan(step, (start, *climb(start), jnp.asarray(0.7)), length=self.steps)
        return sites(latents)


@eqx.filter_jit
def _of_simulations(summary, keys):
    simulated = lambda key: summary.target.model.simulate_with_latents(key, summary.theta)[1]  # noqa: E731
    return jax.lax.map(lambda key: jnp.sinh(summary(simulated(key))), keys)  # as centre and scale are still zero and one
