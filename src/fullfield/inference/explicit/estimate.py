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
from fullfield.fields import pair_indices
from fullfield.inference.explicit.precondition import expected, Preconditioner
from fullfield.inference.explicit.reconstruct import most_probable
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel, even_batch, LensingModel


REACH = 4.0  # unconstrained parameters have about unit scatter; no estimate is further out
LEAST = 100  # simulations for a median


class ScoreAtEstimate(eqx.Module):
    """A first estimate of the parameters, the score there given the most probable latents, and the power of these.

    The numbers are the unconstrained estimate û; the derivatives of the log posterior of parameters and latents by û; and, for
    lensing maps, the power of the latents in rings of |k| for every pair of bins, as far as the data determine it. All are
    seen as arcsinh((x - m) / d) with m and d median and median deviation over simulations of the prior, since scores differ by
    orders of magnitude from one end of the prior to the other. `fitted` makes one.

    Args:
        estimate: data to û (p,), such as a compressor trained by `MeanSquaredError`.
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb to the most probable latents.
        centre: m (s,).
        scale: d (s,).
        rings: number of rings, evenly spaced in log |k|.
        steps: of the climb, each a gradient.
    """

    estimate: Callable
    target: Target
    preconditioner: Preconditioner
    centre: Float[Array, " s"]
    scale: Float[Array, " s"]
    rings: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    @classmethod
    def unit(cls, model: AbstractForwardModel, estimate: Callable, *, rings: int = 10, steps: int = 12) -> "ScoreAtEstimate":
        """The same with nothing measured yet: m = 0 and d = 1."""
        target = Target(model, jnp.zeros(model.data_shape))
        blank = cls(estimate, target, Preconditioner.unit(target), jnp.zeros(0), jnp.ones(0), rings, steps)
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
        rings: int = 10,
        steps: int = 12,
    ) -> "ScoreAtEstimate":
        """The summary with its medians and deviations over simulations of the prior.

        Args:
            model: an explicit model.
            estimate: data to unconstrained parameters (p,).
            key: scalar key.
            simulations: for medians and deviations.
            rings: number of rings.
            steps: of the climb.

        Raises:
            ConfigurationError: the model has no joint density; says which methods remain.
            DataError: there are too few simulations for medians, or a number is not finite.
        """
        if simulations < LEAST:
            raise DataError("simulations", expected=f"at least {LEAST} for medians", got=simulations)
        blank = cls.unit(model, estimate, rings=rings, steps=steps)
        preconditioner, _ = expected(blank.target, key=stream(key, "preconditioner"), theta=model.parameters.fiducial)
        blank = eqx.tree_at(lambda self: self.preconditioner, blank, preconditioner)
        theta = model.parameters.sample(stream(key, "prior"), (simulations,))
        rows = np.asarray(_simulated(blank, jax.random.split(stream(key, "simulations"), simulations), theta), np.float64)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise DataError("model", expected="finite scores", got=f"others in {bad.sum()} of {simulations} simulations")
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
        return jnp.arcsinh((self.raw(data) - self.centre) / self.scale)

    @full_precision
    def raw(self, data: Float[Array, "..."]) -> Float[Array, " s"]:
        """The numbers themselves."""
        target = self.target
        # Lying further out, no field could be told from noise, or from numbers that overflow.
        unconstrained = jnp.clip(self.estimate(data), -REACH, REACH)
        latents = most_probable(target, self.preconditioner, unconstrained, data, steps=self.steps)
        _, sites = target.split(jnp.concatenate([unconstrained, latents]))
        score = -jax.grad(target.model.potential)(unconstrained, sites, data)
        return jnp.concatenate([unconstrained, score, *self._powers(sites)])

    def _powers(self, sites):
        if not isinstance(self.target.model, LensingModel):
            return []
        white = sites["white"]
        first, second = pair_indices(len(white))
        weights = jnp.asarray(_rings(white.shape[-1], self.rings), white.dtype)
        return [jnp.einsum("pyx,ryx->pr", white[first] * white[second], weights).ravel()]


def _rings(pixels: int, count: int) -> Float[np.ndarray, "rings n n"]:
    """Weights of the mean over each ring of Hartley coefficients up to the Nyquist mode; rings without one are left out."""
    wavenumber = np.fft.fftfreq(pixels, 1 / pixels)
    ring = np.digitize(np.hypot(wavenumber[:, None], wavenumber), np.geomspace(1, pixels / 2 + 1, count + 1)) - 1
    members = np.stack([ring == number for number in range(count)])
    counts = members.sum(axis=(1, 2))
    return (members / np.maximum(counts, 1)[:, None, None])[counts > 0]


@eqx.filter_jit
def _simulated(summary, keys, theta):
    one = lambda pair: summary.raw(summary.target.model.simulate_at(*pair))  # noqa: E731
    return jax.lax.map(one, (keys, theta), batch_size=even_batch(len(theta), 10))
