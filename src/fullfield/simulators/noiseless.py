"""What a model would observe without noise: the maps that emulators learn."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError
from fullfield.parameters import ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, AbstractForwardModel, DATA
from fullfield.simulators.sites import NoisyPixels


class Noiseless(AbstractForwardModel):
    """A forward model of the noiseless maps of another one.

    Args:
        model: whose data are `NoisyPixels`.

    Raises:
        ConfigurationError: its data are others.
    """

    parameters: ParameterSpace
    model: AbstractExplicitModel

    def __init__(self, model: AbstractExplicitModel):
        self.model, self.parameters = model, model.parameters
        eqx.filter_eval_shape(self.simulate_at, jax.random.key(0), model.parameters.fiducial)

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "..."]:
        """Maps at parameters (p,): those that the model's data of this key have beneath their noise."""
        return self._pixels(key, theta, None).loc

    def of_latents(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, "..."]:
        """Maps at parameters (p,) and latents."""
        return self.pixels(theta, latents).loc

    def pixels(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> NoisyPixels:
        """The same maps beneath their noise."""
        return self._pixels(jax.random.key(0), theta, latents)

    def _pixels(self, key, theta, latents):
        return noisy_pixels(self.model._trace(theta, key, latents)[DATA]["fn"])


def noisy_pixels(distribution: Any) -> NoisyPixels:
    """The distribution of a model's data, if it is pixels with noise.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(distribution, NoisyPixels):
        return distribution
    raise ConfigurationError(
        "model", expected="one whose data are NoisyPixels, noise apart from maps", got=type(distribution).__name__,
        remedy='Let its program end in numpyro.sample("data", NoisyPixels(maps, scale)).',
    )  # fmt: skip
