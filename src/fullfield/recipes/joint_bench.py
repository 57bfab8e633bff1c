"""What joint posteriors of parameters and maps are tried on: a model, what is seen of its data, and the known answer."""

import abc
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import on_every_core, stream
from fullfield._core.progress import Progress
from fullfield.fields import Bands, FlatSky, logarithmic_bands
from fullfield.generative import as_seen, Colour, Condition, finite_numbers, Layout, left_as_drawn, the_field_itself
from fullfield.networks import TransformerBranch, UNetBranch
from fullfield.recipes.joint_settings import DenoiserSettings
from fullfield.recipes.study import Measured
from fullfield.simulators import AbstractExplicitModel, even_batch


CHUNK = 100  # simulations between two reports of progress


class AbstractBench(eqx.Module):
    """A problem, and what all its cells share: a `JointConfiguration`, or one that extends it, and an explicit model."""

    configuration: eqx.AbstractVar[Any]
    model: eqx.AbstractVar[Any]

    @property
    @abc.abstractmethod
    def sky(self) -> FlatSky:
        """Patch of the maps."""

    @property
    @abc.abstractmethod
    def layout(self) -> Layout:
        """How simulations lie in rows."""

    @abc.abstractmethod
    def truth(self, theta: Float[Array, " p"], latents: dict[str, Array]) -> Float[Array, "n n bins"]:
        """Map that is to be inferred."""

    @abc.abstractmethod
    def frame(self, folder: pathlib.Path) -> "AbstractFrame":
        """What the denoiser draws; `folder` is that of any cell."""

    @property
    @abc.abstractmethod
    def reference_settings(self) -> object:
        """Settings that decide the reference."""

    @property
    def moves(self) -> int:
        """Of each draw by the model's own density; none."""
        return 0

    @property
    def colour(self) -> Colour | None:
        """From latents to the field they stand for, if latents are what the denoiser draws; they are not."""
        return None

    @property
    def known(self) -> float:
        """Part of the pairs that are trained on with their parameters known."""
        return 0.5

    @abc.abstractmethod
    def filtered(self, data: Float[Array, "..."]) -> Float[Array, "n n bins"]:
        """Wiener filtered map of an observation, which draws are held against."""

    @abc.abstractmethod
    def see(self, folder: pathlib.Path) -> Callable[[Array], Condition]:
        """What a denoiser is shown of an observation; `folder` is that of any cell."""

    @abc.abstractmethod
    def residual(self, data: Float[Array, "..."], field: Float[Array, "n n bins"]) -> Float[Array, "n n channels"]:
        """(data - prediction) / noise of a map, zero where masked."""

    @abc.abstractmethod
    def reference(self, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
        """Draws of the truth's parameters (chains, n, p), mean and deviation of the map, for observation i, in `exact.npz`."""

    @property
    def answer(self) -> Callable[[Key[Array, ""], Array, int], tuple[Array, Array]] | None:
        """Draws of the exact posterior of parameters and map, from key, data and number, where it can be drawn from at once."""
        return None

    @property
    def survey(self) -> Float[np.ndarray, "n n c"]:
        """Maps that are the same for all observations; none."""
        return np.zeros((self.sky.pixels, self.sky.pixels, 0), np.float32)

    @property
    def prepare(self) -> Callable[..., Array | np.ndarray]:
        """The `prepare` of `JointPosterior`."""
        return finite_numbers

    @property
    def bands(self) -> Bands:
        """Multipole bands of the tests."""
        return logarithmic_bands(self.sky, min(8, self.sky.pixels // 4))

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def observe(self, i: int) -> tuple[Float[Array, " p"], Float[Array, "n n bins"], Array]:
        """Parameters, map and data of observation i, simulated at the fiducial parameters."""
        theta = self.model.parameters.fiducial
        return theta, *_once(self, jax.random.fold_in(self.key("observations"), i), theta)

    def simulate(
        self, part: str, folder: pathlib.Path, progress: Progress, *, with_data: bool = False
    ) -> dict[str, np.ndarray]:
        """Parameters from the prior and rows of one part of the simulations, with their data if wanted."""
        n = getattr(self.configuration.simulations, part)
        theta = self.model.parameters.sample(self.key(f"{part} prior"), (n,))
        keys = jax.random.split(self.key(f"{part} simulations"), n)
        one = Simulated(self.model, self.see(folder), self.frame(folder))
        parts = [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]
        rows, data = [], []
        for some in on_every_core(lambda part: _some(one, keys[part], theta[part], with_data), parts):
            rows.append(np.asarray(some[0]))
            data.append(np.asarray(some[1]))
            progress(f"simulating for {part}", sum(map(len, rows)), n)
        found = {"theta": np.asarray(theta), "rows": np.concatenate(rows)}
        return found | ({"data": np.concatenate(data)} if with_data else {})


@eqx.filter_jit
def _some(simulated, keys, theta, with_data):
    return jax.lax.map(lambda pair: simulated(*pair, with_data), (keys, theta), batch_size=even_batch(len(theta), 8))


class AbstractFrame(eqx.Module):
    """What a denoiser draws."""

    @property
    @abc.abstractmethod
    def gradients(self) -> int:
        """Gradients of the model that a draw costs beside the denoiser."""

    @abc.abstractmethod
    def given(self, theta: Float[Array, " p"], condition: Condition) -> Condition:
        """What is seen of an observation once the parameters are known."""

    @abc.abstractmethod
    def field(self, theta: Float[Array, " p"], latents: dict[str, Array], condition: Condition) -> Float[Array, "n n bins"]:
        """What is drawn, of a simulation."""

    @property
    @abc.abstractmethod
    def correction(self) -> Callable:
        """The `correct` of `JointPosterior`."""

    @abc.abstractmethod
    def maps(
        self, theta: Float[Array, " p"], field: Float[Array, "n n bins"], condition: Condition
    ) -> Float[Array, "n n bins"]:
        """The map of what is drawn."""


class MapFrame(AbstractFrame):
    """The map itself.

    Args:
        truth: parameters and latents of a simulation to its map.
    """

    truth: Callable

    @property
    def gradients(self) -> int:
        """None."""
        return 0

    def given(self, theta: Float[Array, " p"], condition: Condition) -> Condition:
        """The same."""
        return as_seen(theta, condition)

    def field(self, theta: Float[Array, " p"], latents: dict[str, Array], condition: Condition) -> Float[Array, "n n bins"]:
        """The map."""
        del condition
        return self.truth(theta, latents)

    @property
    def correction(self) -> Callable:
        """Draws are left as they are."""
        return left_as_drawn

    def maps(
        self, theta: Float[Array, " p"], field: Float[Array, "n n bins"], condition: Condition
    ) -> Float[Array, "n n bins"]:
        """What is drawn."""
        return the_field_itself(theta, field, condition)


class Simulated(eqx.Module):
    """Field of one simulation and what is seen of it, in one row.

    Args:
        model: the forward model.
        see: data to condition.
        frame: of the field.
    """

    model: AbstractExplicitModel
    see: Callable
    frame: AbstractFrame

    def __call__(
        self, key: Key[Array, ""], theta: Float[Array, " p"], with_data: bool
    ) -> tuple[Float[Array, " k"], Float[Array, "..."]]:
        """Row of a simulation, and its data or nothing."""
        latents, data = self.model.simulate_with_latents(key, theta)
        condition = self.frame.given(theta, self.see(data))
        field = self.frame.field(theta, latents, condition)
        row = jnp.concatenate([field.ravel(), condition.expected.ravel(), condition.summary])
        return row, data if with_data else jnp.zeros(1)


@eqx.filter_jit
def _once(bench, key, theta):
    latents, data = bench.model.simulate_with_latents(key, theta)
    return bench.truth(theta, latents), data


def branch(settings: DenoiserSettings, bins: int) -> Callable:
    """The field's network by its settings."""
    if settings.branch == "transformer":
        return functools.partial(TransformerBranch, field=2 * bins, patch=settings.patch, width=2 * settings.widths[0])
    return functools.partial(UNetBranch, patch=settings.patch, widths=settings.widths)
