"""Emulated forward models: a cheap simulator behind a learnt transport, where a costly one would stand.

    θ, z ~ prior,    x₀ = cheap(θ, z),    x₁ = T(θ, x₀),    data = x₁ + noise.

The latents are those of the cheap model, and all is differentiable in them and in θ, so that scores, explicit chains and
simulations for implicit inference come from it as from any other forward model.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from numpyro.primitives import Messenger

from fullfield._core import ShapeError
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractExplicitModel, AbstractForwardModel, DATA, Noiseless, noisy_pixels, NoisyPixels


Carry = Callable[[Float[Array, " p"], Float[Array, "n n b"]], Float[Array, "n n b"]]
"""`(theta, cheap maps) -> costly maps`: a `Transport`, a `TransferFunction`, or any module like them."""


class EmulatedModel(AbstractExplicitModel):
    """An explicit model whose noiseless maps are carried before the noise comes.

    Args:
        base: the cheap model; its data must be `NoisyPixels` of maps like those that were learnt from.
        transport: carries its noiseless maps.

    Raises:
        ConfigurationError: the base's data are not such.
        ShapeError: the transport is one of other maps.
    """

    parameters: ParameterSpace
    base: AbstractExplicitModel
    transport: Carry

    def __init__(self, base: AbstractExplicitModel, transport: Carry):
        self.base, self.transport, self.parameters = base, transport, base.parameters
        _check_shape(Noiseless(base), transport)

    @property
    def hartley(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.hartley

    def convergence(self, theta: Float[Array, " p"], white: Float[Array, "b n n"]) -> Float[Array, "n n b"]:
        """Noiseless maps (n, n, bins) of parameters and of the latents called "white"."""
        return Noiseless(self).of_latents(theta, {"white": white})

    def program(self) -> None:
        """Run the base's program, with its maps carried at the data site."""
        with _Carried(self.parameters, self.transport):
            self.base.program()


class EmulatedSimulator(AbstractForwardModel):
    """A simulator of noiseless maps with a transport behind it; noise is a matter of training data, such as `FreshNoise`.

    Suites are made faster by `apply_many(transport, theta, maps, batch_size=...)`, outside compiled loops.

    Args:
        base: the cheap simulator, of maps like those that were learnt from.
        transport: carries its maps.

    Raises:
        ShapeError: the transport is one of other maps.
    """

    parameters: ParameterSpace
    base: AbstractForwardModel
    transport: Carry

    def __init__(self, base: AbstractForwardModel, transport: Carry):
        self.base, self.transport, self.parameters = base, transport, base.parameters
        _check_shape(base, transport)

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "n n b"]:
        """Carried maps at parameters (p,)."""
        return self.transport(theta, self.base.simulate_at(key, theta))


class _Carried(Messenger):
    """Effect handler that hears the parameters as they are drawn, and carries the maps where data are."""

    def __init__(self, parameters: ParameterSpace, transport: Carry):
        self.parameters, self.transport, self.values = parameters, transport, {}
        super().__init__(None)

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["name"] == DATA:
            pixels = noisy_pixels(msg["fn"])
            theta = self.parameters.as_vector(self.values)
            msg["fn"] = NoisyPixels(self.transport(theta, pixels.loc), pixels.scale, pixels.observed)

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["name"] in self.parameters.names:
            self.values[msg["name"]] = msg["value"]


def _check_shape(base, transport):
    pixels = base.data_shape
    carried = eqx.filter_eval_shape(transport, base.parameters.fiducial, jax.ShapeDtypeStruct(pixels, jnp.float32)).shape
    if carried != pixels:
        raise ShapeError("transport", expected=f"maps {pixels} as the base has", got=carried)
