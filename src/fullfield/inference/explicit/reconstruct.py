"""What data say about the parameters once the field behind them is reconstructed: a summary without a network.

The marginal score ∂ log p(data | θ) / ∂θ at one θ₀ is the optimal summary near it (Alsing & Wandelt 2018, MNRAS 476, L60), and
out of reach, since the latents are to be integrated out. Its integrand at the most probable latents ẑ,

    s(data) = ∂ log p(data, ẑ | θ) / ∂θ at θ₀,   ẑ = argmax_z log p(data, z | θ₀),

differs from it by little more than a constant, and costs a few dozen gradients (Millea & Seljak 2022, Phys. Rev. D 105,
103531, eq. 6). No posterior is read off it here: it is a statistic like any other, about one θ₀ or several.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, full_precision, stream
from fullfield.inference.explicit.precondition import expected, Preconditioner
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel


LINEAR = 5.0  # standard deviations up to which the numbers grow in proportion
SLACK = 5.0  # of the log density that a step may lose


class ReconstructedScore(eqx.Module):
    """Scores of the parameters at the most probable latents about one or several θ₀, compared with those of simulations there.

    The numbers are l arcsinh(R (s - ⟨s⟩) / l) with Rᵀ R = Cov(s)⁻¹ and l = 5: of unit scatter, logarithmic far from each θ₀.
    One θ₀ tells all where the posterior is Gaussian; a posterior that is wide and bent is told by several that lie along it.
    `about` makes one.

    Args:
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb to the most probable latents.
        theta: the θ₀ (k, p).
        centre: ⟨s⟩ (k, p).
        root: R (k, p, p), lower triangular.
        steps: of the climb, each a gradient.
    """

    target: Target
    preconditioner: Preconditioner
    theta: Float[Array, "k p"]
    centre: Float[Array, "k p"]
    root: Float[Array, "k p p"]
    steps: int = eqx.field(static=True, default=20)

    @classmethod
    def unit(cls, model: AbstractForwardModel, theta: Float[Array, "*k p"] | None = None) -> "ReconstructedScore":
        """The same with nothing measured yet: the fiducial parameters if none are given, ⟨s⟩ = 0 and R = 1."""
        target = Target(model, jnp.zeros(model.data_shape))
        theta = jnp.atleast_2d(model.parameters.fiducial if theta is None else theta)
        k, p = theta.shape
        return cls(target, Preconditioner.unit(target), theta, jnp.zeros((k, p)), jnp.broadcast_to(jnp.eye(p), (k, p, p)))

    @classmethod
    def about(
        cls,
        model: AbstractForwardModel,
        *,
        key: Key[Array, ""],
        theta: Float[Array, "*k p"] | None = None,
        simulations: int = 64,
    ) -> "ReconstructedScore":
        """The summary about one or several θ₀, from simulations at each.

        Args:
            model: an explicit model.
            key: scalar key.
            theta: θ₀ (p,) or (k, p), the fiducial parameters if not given.
            simulations: at each θ₀, for mean and covariance of the score.

        Raises:
            ConfigurationError: the model has no joint density; says which methods remain.
            DataError: there are too few simulations for a covariance, or it is singular or not finite at some θ₀.
        """
        blank = cls.unit(model, theta)
        if simulations < 2 * blank.theta.shape[-1]:
            needed = 2 * blank.theta.shape[-1]
            raise DataError(
                "simulations", expected=f"at least {needed} for {needed // 2} parameters", got=simulations,
                remedy="Take more simulations.",
            )  # fmt: skip
        preconditioner, _ = expected(blank.target, key=stream(key, "preconditioner"), theta=jnp.mean(blank.theta, axis=0))
        blank = eqx.tree_at(lambda self: self.preconditioner, blank, preconditioner)
        centre, root = _moments(blank, jax.random.split(stream(key, "simulations"), simulations))
        fine = np.all(np.isfinite(root), axis=(1, 2))
        if not fine.all():
            raise DataError(
                "theta", expected="finite scores of full rank", got=f"others at {np.asarray(blank.theta)[~fine].tolist()}",
                remedy="Leave these points out, or parameters that data do not depend on.",
            )  # fmt: skip
        return eqx.tree_at(lambda self: (self.centre, self.root), blank, (centre, root))

    @property
    def gradients(self) -> int:
        """Gradients of the model that one summary costs."""
        return len(self.theta) * (self.steps + 2)  # the climb's start and the score itself are one each

    @full_precision
    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """Summarise one data set in s = k p numbers."""
        white = jnp.einsum("kij,kj->ki", self.root, self.scores(data) - self.centre)
        return (LINEAR * jnp.arcsinh(white / LINEAR)).reshape(-1)

    @full_precision
    def scores(self, data: Float[Array, "..."]) -> Float[Array, "k p"]:
        """The scores themselves."""
        return jax.lax.map(lambda theta: self._score(theta, data), self.theta)

    def _score(self, theta, data):
        return self.target.model.score(theta, self.reconstruct(data, theta), data)

    def reconstruct(self, data: Float[Array, "..."], theta: Float[Array, " p"]) -> dict[str, Float[Array, "..."]]:
        """The most probable latents at parameters `theta` (p,) given data, site by site."""
        target, unconstrained = self.target, self.target.model.parameters.to_unconstrained(theta)
        latents = most_probable(target, self.preconditioner, unconstrained, data, steps=self.steps)
        return target.split(jnp.concatenate([unconstrained, latents]))[1]


@full_precision
def most_probable(
    target: Target,
    preconditioner: Preconditioner,
    unconstrained: Float[Array, " p"],
    data: Float[Array, "..."],
    *,
    start: Float[Array, " m"] | None = None,
    steps: int = 20,
) -> Float[Array, " m"]:
    """Climb to the most probable latents at fixed parameters, each step a gradient.

    Steps are as long as the curvature along the last one allows (Barzilai & Borwein 1988, IMA J. Numer. Anal. 8, 141, eq. 5),
    and may lose a little height, without which they lose their speed (Raydan 1997, SIAM J. Optim. 7, 26).

    Args:
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb.
        unconstrained: the parameters (p,).
        data: one data set.
        start: latents (m,) to start from, zero if not given.
        steps: number of steps.
    """

    def sites(latents):
        return target.split(jnp.concatenate([unconstrained, latents]))[1]

    def step(state, _):
        latents, value, gradient, rate = state
        new = latents - rate * preconditioner.each("solve", gradient)
        found = (new, *descend(new))
        better = found[1] < value + SLACK  # and a number
        change = found[2] - gradient
        scaled = preconditioner.each("solve", change)
        bent, square = jnp.vdot(new - latents, change), jnp.vdot(change, scaled)
        next_rate = jnp.clip(bent / jnp.where(square > 0, square, 1.0), 0.05, 3.0)
        kept = (jnp.where(better, after, before) for after, before in zip(found, state[:3], strict=True))
        return (*kept, jnp.where(better, next_rate, 0.3 * rate)), None

    descend = jax.value_and_grad(lambda latents: target.model.potential(unconstrained, sites(latents), data))
    first = jnp.zeros(target.size - target.parameters) if start is None else start
    (latents, *_), _ = jax.lax.scan(step, (first, *descend(first), jnp.asarray(0.5)), length=steps)
    return latents


@eqx.filter_jit
@full_precision
def _moments(summary, keys):
    def at(theta):
        simulated = lambda key: summary.target.model.simulate_with_latents(key, theta)[1]  # noqa: E731
        scores = jax.lax.map(lambda key: summary._score(theta, simulated(key)), keys)
        covariance = jnp.atleast_2d(jnp.cov(scores, rowvar=False))
        return jnp.mean(scores, axis=0), jnp.linalg.inv(jnp.linalg.cholesky(covariance))

    return jax.lax.map(at, summary.theta)
