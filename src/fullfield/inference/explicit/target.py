"""The posterior of parameters and latents together, as a density over one flat vector."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.inference.observation import check_observation
from fullfield.simulators import AbstractExplicitModel, AbstractForwardModel


OUTERMOST = 1.5  # of starting points; unconstrained parameters have about unit scatter


class Target(eqx.Module):
    """Log posterior of parameters and latents given data, up to a constant.

    A point is one vector (D,): unconstrained parameters, then the latents of every site.

    Args:
        model: the forward model.
        data: the observation.

    Raises:
        ConfigurationError: the model has no tractable joint density; says which methods remain.
        ShapeError: the data have another shape than the model's.
        DataError: the data hold NaN or infinity.
    """

    model: AbstractExplicitModel
    data: Float[Array, "..."]
    sites: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)

    def __init__(self, model: AbstractForwardModel, data: Float[Array | np.ndarray, "..."]):
        self.model = explicit(model)
        check_observation(data, model.data_shape)
        self.data = jnp.asarray(data, float)
        latents, _ = eqx.filter_eval_shape(self.model.simulate_with_latents, jax.random.key(0), model.parameters.fiducial)
        self.sites = tuple((name, tuple(latents[name].shape)) for name in sorted(latents))

    @property
    def parameters(self) -> int:
        """Number of parameters p."""
        return self.model.parameters.size

    @property
    def size(self) -> int:
        """Number of dimensions D."""
        return self.parameters + sum(math.prod(shape) for _, shape in self.sites)

    def __call__(self, position: Float[Array, " D"]) -> Float[Array, ""]:
        """Log density at a point, the Jacobian of the unconstrained parameters included."""
        unconstrained, latents = self.split(position)
        return -self.model.potential(unconstrained, latents, self.data)

    def theta(self, position: Float[Array, " D"]) -> Float[Array, " p"]:
        """Parameters of a point, inside their prior's support."""
        return self.model.parameters.to_constrained(position[: self.parameters])

    def split(self, position: Float[Array, " D"]) -> tuple[Float[Array, " p"], dict[str, Float[Array, "..."]]]:
        """Unconstrained parameters and latents of a point."""
        latents, start = {}, self.parameters
        for name, shape in self.sites:
            latents[name] = position[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        return position[: self.parameters], latents

    def join(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, " D"]:
        """Point of parameters and latents; the inverse of `split` after `theta`."""
        parts = [self.model.parameters.to_unconstrained(theta), *(latents[name].ravel() for name, _ in self.sites)]
        return jnp.concatenate(parts)

    def at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, " D"]:
        """Point with the given parameters and latents drawn from their prior."""
        return self.join(theta, self.model.simulate_with_latents(key, theta)[0])

    def simulated(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> tuple[Float[Array, "..."], Float[Array, " D"]]:
        """Data simulated at `theta`, and the point that made them.

        One draw from the joint density of data, latents and parameters is one from their posterior given those data.
        """
        latents, data = self.model.simulate_with_latents(key, theta)
        return data, self.join(theta, latents)

    def dispersed(self, key: Key[Array, ""], chains: int) -> Float[Array, "chains D"]:
        """Starting points drawn from the prior of parameters and latents: wider than a posterior that is worth sampling.

        Parameters further out than 1.5 deviations are moved there: from a corner of the prior in which there is hardly any
        signal, thousands of latents do not find back.
        """
        space = self.model.parameters
        drawn = space.to_unconstrained(space.sample(stream(key, "parameters"), (chains,)))
        thetas = space.to_constrained(jnp.clip(drawn, -OUTERMOST, OUTERMOST))
        return jax.lax.map(lambda pair: self.at(*pair), (jax.random.split(stream(key, "latents"), chains), thetas))


def explicit(model: Any) -> AbstractExplicitModel:
    """Return the model if its joint density of data, latents and parameters is known.

    Raises:
        ConfigurationError: it is not; says which methods remain.
    """
    if isinstance(model, AbstractExplicitModel):
        return model
    raise ConfigurationError(
        "model",
        expected="an AbstractExplicitModel, whose joint density of data, latents and parameters is known",
        got=f"a {type(model).__name__}, which can only simulate",
        remedy="NPE, NLE, NRE and FMPE remain, amortised or in sequential rounds (fullfield.inference.implicit): they need "
        "simulations alone. Or write the model as a NumPyro program (NumPyroModel).",
    )
