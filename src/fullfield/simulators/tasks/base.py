"""Benchmark tasks whose likelihood is known: a distribution of the data at given parameters."""

import abc

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters


class AbstractTask(AbstractExplicitModel):
    """An explicit model without latents, defined by its prior and by the distribution of the data.

    What the published simulators draw and discard on the way (an angle, a mixture index, a spike train) is integrated out in
    closed form, so that `score(theta, {}, data)` is the marginal score ∂ log p(data | theta) / ∂ theta.
    """

    @abc.abstractmethod
    def likelihood(self, theta: Float[Array, " p"]) -> dist.Distribution:
        """Distribution of one data vector (d,) at parameters `theta` (p,)."""

    def program(self) -> None:
        """Run the NumPyro program: parameters, then data (d,)."""
        numpyro.sample(DATA, self.likelihood(self.parameters.as_vector(sample_parameters(self.parameters))))

    @full_precision
    def log_likelihood(self, theta: Float[Array, " p"], data: Float[Array, " d"]) -> Float[Array, ""]:
        """Log p(data | theta), normalised; of counts it is a probability, not a density."""
        return jnp.asarray(self.likelihood(theta).log_prob(data))


def numbered(size: int, prior: dist.Distribution) -> ParameterSpace:
    """Parameters θ_1 to θ_size that share one prior."""
    return ParameterSpace({f"theta_{i}": Parameter(prior, label=rf"\theta_{{{i}}}") for i in range(1, size + 1)})
