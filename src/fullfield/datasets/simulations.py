"""Where training examples come from: the interface that every loss sees, and simulations drawn on the fly."""

import abc
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Shaped

from fullfield._core import ConfigurationError, digest, ShapeError, stream
from fullfield.simulators import AbstractForwardModel


class AbstractShard(eqx.Module):
    """The part of an epoch that lies on the device at once; batches are drawn from it inside the compiled step."""

    steps: eqx.AbstractVar[Int[Array, ""]]

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Float[Array, "b p"], Shaped[Array, "b ..."]]:
        """Parameters (b, p) and data (b, ...) of batch number `step`, 0 <= step < steps."""


class AbstractSimulations(eqx.Module):
    """Simulated examples in batches, from wherever they come; what `fullfield.training.fit` trains on."""

    batch_size: eqx.AbstractVar[int]
    steps_per_epoch: eqx.AbstractVar[int]

    @abc.abstractmethod
    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Go through one epoch, whose order and noise depend on `key` alone; all shards have equal shapes."""

    @abc.abstractmethod
    def cost(self, epochs: int) -> int:
        """Number of distinct simulations that `epochs` epochs use."""

    @property
    @abc.abstractmethod
    def identity(self) -> str:
        """Digest that differs when the examples or their batches differ."""


class OnlineSimulations(AbstractSimulations):
    """Fresh simulations in every step, drawn from the prior inside the compiled step; no example is ever repeated.

    Args:
        model: the forward model.
        batch_size: simulations per step.
        steps_per_epoch: steps that make what is called an epoch.
        augment: optional `(key, theta, data) -> data`, applied to each example.

    Raises:
        ConfigurationError: a size is not positive.
    """

    model: AbstractForwardModel
    batch_size: int
    steps_per_epoch: int
    augment: Callable | None = None

    def __check_init__(self):
        check_positive(batch_size=self.batch_size, steps_per_epoch=self.steps_per_epoch)

    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Yield the one shard of an epoch: the model itself."""
        yield _OnlineShard(jnp.asarray(self.steps_per_epoch, jnp.int32), self.model, self.augment, self.batch_size)

    def cost(self, epochs: int) -> int:
        """Number of simulations that `epochs` epochs draw."""
        return epochs * self.steps_per_epoch * self.batch_size

    @property
    def identity(self) -> str:
        """Digest of the model and the batches."""
        return digest("online", self.model, self.augment, self.batch_size, self.steps_per_epoch)


class _OnlineShard(AbstractShard):
    steps: Int[Array, ""]
    model: AbstractForwardModel
    augment: Callable | None
    batch_size: int = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Float[Array, "b p"], Shaped[Array, "b ..."]]:
        theta = self.model.parameters.sample(stream(key, "prior"), (self.batch_size,))
        keys = jax.random.split(stream(key, "simulations"), self.batch_size)
        data = jax.vmap(self.model.simulate_at)(keys, theta)
        return theta, augmented(self.augment, key, theta, data)


def augmented(
    augment: Callable | None, key: Key[Array, ""], theta: Float[Array, "b p"], data: Shaped[Array, "b ..."]
) -> Shaped[Array, "b ..."]:
    """Apply `augment(key, theta, data)` to each example of a batch, each with a key of its own.

    Raises:
        ShapeError: it is not for data of this shape, say a turn for maps that are not square.
    """
    if augment is None:
        return data
    keys = jax.random.split(stream(key, "augment"), theta.shape[0])
    try:
        return jax.vmap(augment)(keys, theta, data)
    except (TypeError, ValueError) as error:
        name = getattr(augment, "__name__", type(augment).__name__)
        raise ShapeError("augment", expected=f"one for data of shape {data.shape[1:]}", got=f"{name}, which is not") from error


def check_positive(**sizes: int) -> None:
    """Refuse sizes below one.

    Raises:
        ConfigurationError: names the first such size.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ConfigurationError(name, expected="a positive number", got=size)
