"""The score at each data set's own estimate of the parameters: what data say, wherever in the prior they lie.

A score about one θ₀ is the optimal summary near it and a poor one far away. About an estimate θ̂(data) it is as good for all
data: θ̂ says where in the prior the data lie, and the score there what is left to say, as in the one-step estimator, θ̂ plus the
inverse Fisher matrix times the score (van der Vaart 1998, Asymptotic Statistics, section 5.7). A network that is given both
needs little more than to weigh them.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, full_precision, stream
from fullfield.inference.explicit.precondition import expected, Preconditioner
from fullfield.inference.explicit.reconstruct import most_probable
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel, even_batch


REACH = 4.0  # unconstrained parameters have about unit scatter; no estimate is further out
LEAST = 100  # simulations for a median


class ScoreAtEstimate(eqx.Module):
    """An estimate of the parameters, and the score there given the most probable latents.

    The numbers are the unconstrained estimate û and the derivatives by û of the log posterior of parameters and latents, seen
    as arcsinh((x - m) / d) with m and d median and median deviation over simulations of the prior, since scores differ by
    orders of magnitude from one end of the prior to the other. `fitted` makes one. What is trained on one of them to estimate
    the parameters is the better estimate for the next.

    Args:
        estimate: data to û (p,), such as a compressor trained by `MeanSquaredError`.
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb to the most probable latents.
        centre: m (s,).
        scale: d (s,).
        steps: of the climb, each a gradient.
    """

    estimate: Callable
    target: Target
    preconditioner: Preconditioner
    centre: Float[Array, " s"]
    scale: Float[Array, " s"]
    steps: int = eqx.field(static=True)

    @classmethod
    def unit(cls, model: AbstractForwardModel, estimate: Callable, *, steps: int = 20) -> "ScoreAtEstimate":
        """The same with nothing measured yet: m = 0 and d = 1."""
        target = Target(model, jnp.zeros(model.data_shape))
        blank = cls(estimate, target, Preconditioner.unit(target), jnp.zeros(0), jnp.ones(0), steps)
        (size,) = eqx.filter_eval_shape(blank.raw, target.data).shape
        return eqx.tree_at(lambda self: (self.centre, self.scale), blank, (jnp.zeros(size), jnp.ones(size)))

    @classmethod
    def fitted(
        cls,
        model: AbstractForwardModel,
        estimate: Callable,
        *,
        key: Key[Array, ""],
        simulations: int = 500,
        steps: int = 20,
    ) -> "ScoreAtEstimate":
        """The summary with its medians and deviations over simulations of the prior.

        Args:
            model: an explicit model.
            estimate: data to unconstrained parameters (p,).
            key: scalar key.
            simulations: for medians and deviations.
            steps: of the climb.

        Raises:
            ConfigurationError: the model has no joint density; says which methods remain.
            DataError: there are too few simulations for medians, or a number is not finite.
        """
        if simulations < LEAST:
            raise DataError("simulations", expected=f"at least {LEAST} for medians", got=simulations)
        blank = cls.unit(model, estimate, steps=steps)
        preconditioner, _ = expected(blank.target, key=stream(key, "preconditioner"), theta=model.parameters.fiducial)
        blank = eqx.tree_at(lambda self: self.preconditioner, blank, preconditioner)
        theta = model.parameters.sample(stream(key, "prior"), (simulations,))
        rows = np.asarray(_simulated(blank, jax.random.split(stream(key, "simulations"), simulations), theta), np.float64)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise DataError(
                "model", expected="finite scores", got=f"others in {bad.sum()} of {simulations} simulations",
                remedy="Narrow the prior to where the model and its derivatives are finite.",
            )  # fmt: skip
        centre = np.median(rows, axis=0)
        scale = np.median(np.abs(rows - centre), axis=0)
        measured = (jnp.asarray(centre, jnp.float32), jnp.asarray(np.where(scale > 0, scale, 1.0), jnp.float32))
        return eqx.tree_at(lambda self: (self.centre, self.scale), blank, measured)

    @property
    def gradients(self) -> int:
        """Gradients of the model that one summary costs."""
        return self.steps + 2  # the climb's start and the score itself are one each

    def __call__(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """Summarise one data set."""
        return self.with_latents(data)[0]

    def with_latents(self, data: Float[Array, "..."]) -> tuple[Float[Array, " s"], dict[str, Float[Array, "..."]]]:
        """The summary, and the most probable latents at the estimate, by site."""
        numbers, latents = self._found(data)
        return jnp.arcsinh((numbers - self.centre) / self.scale), latents

    def raw(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """The numbers themselves."""
        return self._found(data)[0]

    @full_precision
    def _found(self, data):
        target = self.target
        # Lying further out, no field could be told from noise, or from numbers that overflow.
        unconstrained = jnp.clip(self.estimate(data), -REACH, REACH)
        latents = most_probable(target, self.preconditioner, unconstrained, data, steps=self.steps)
        _, sites = target.split(jnp.concatenate([unconstrained, latents]))
        score = -jax.grad(target.model.potential)(unconstrained, sites, data)
        return jnp.concatenate([unconstrained, score]), sites


@eqx.filter_jit
def _simulated(summary, keys, theta):
    one = lambda pair: summary.raw(summary.target.model.simulate_at(*pair))  # noqa: E731
    return jax.lax.map(one, (keys, theta), batch_size=even_batch(len(theta), 10))
