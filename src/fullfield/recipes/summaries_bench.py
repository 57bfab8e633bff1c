"""What all cells of the comparison of summaries share: the observations, and what earlier cells left."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, load_module, stream
from fullfield.datasets import SimulationSet
from fullfield.datasets.stored import deal
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.neural_summaries import NeuralSummariesConfiguration
from fullfield.recipes.problem import Problem
from fullfield.recipes.summaries_features import blank, ON_MAPS, statistic
from fullfield.recipes.summaries_judge import FIXED
from fullfield.recipes.summaries_maps import StoredMaps
from fullfield.simulators import LensingModel


PARTS = ("training", "validation", "calibration")
HELD_OUT = 5  # one of so many simulations at the fiducial parameters stops the training of IMNN
MAPS = "maps.zarr"  # folder of stored maps, in that of the cell that simulated them


def identity(looked: str) -> object:
    """What decides, with the counts of simulations, what compressors are given, and how networks on it are made."""
    if looked in ON_MAPS:
        return looked, "fresh noise", "periodic"
    return (looked, "canonical", "halves") if looked == "statistics" else looked


def check_enough(configuration: NeuralSummariesConfiguration, model: LensingModel) -> None:
    """Refuse settings with too few simulations for a covariance, which would be found out behind hours of simulating.

    Args:
        configuration: settings.
        model: of the maps.

    Raises:
        ConfigurationError: batches are too small for IMNN, or there are too few simulations for fixed statistics.
    """
    counts, batch, least = configuration.simulations, configuration.training.batch, 2 * model.parameters.size
    if "imnn" in configuration.objectives:
        held_out = counts.fiducial // HELD_OUT
        smallest = min(deal(n, batch)[0] for n in (counts.fiducial - held_out, held_out))
        if smallest < least:
            raise ConfigurationError(
                "training.batch", expected=f"at least {least}, for covariances of the {least // 2} summaries of IMNN",
                got=f"{batch}, of which {counts.fiducial} simulations make batches of {smallest}",
                remedy="Take larger batches, or leave imnn out of the objectives.",
            )  # fmt: skip
    for name in (name for name in FIXED if name in (*configuration.objectives, configuration.network)):
        (size,) = eqx.filter_eval_shape(statistic(model, name), jax.ShapeDtypeStruct(model.data_shape, jnp.float32)).shape
        needed = 2 * size * (2 if name == "statistics" else 1)  # whose posterior is learnt from the other half
        if counts.training < needed:
            raise ConfigurationError(
                "simulations.training", expected=f"at least {needed}, for the covariance of the {size} numbers of {name}",
                got=counts.training, remedy=f"Take more simulations, or leave {name} out of the objectives.",
            )  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What all cells share, and where they find what earlier ones left beside their own folder."""

    configuration: NeuralSummariesConfiguration
    problem: Problem

    @property
    def model(self) -> LensingModel:
        """Forward model of the maps."""
        assert isinstance(self.problem.model, LensingModel)
        return self.problem.model

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def looked_at(self, objective: str) -> str:
        """What an objective's compressor is given of a map."""
        return objective if objective in FIXED else self.configuration.network

    def observe(self, i: int) -> Float[Array, "n n bins"]:
        """Observation i: the published maps, or ones simulated at the fiducial parameters."""
        if self.problem.observation is not None:
            return jnp.asarray(self.problem.observation)
        return eqx.filter_jit(self.model.simulate_at)(
            jax.random.fold_in(self.key("observations"), i), self.model.parameters.fiducial
        )

    def observations(self) -> Float[np.ndarray, "m n n bins"]:
        """All of them."""
        return np.stack([np.asarray(self.observe(i)) for i in range(self.configuration.observations)])

    def features(self, name: str, folder: pathlib.Path) -> Callable:
        """What compressors are given of a map; `folder` is that of any cell."""
        function = blank(self.model, name)
        if name != "reconstruction":
            return function
        return load_module(folder.parent / "estimate.reconstruction" / "features.eqx", function)

    @property
    def counts(self) -> dict[str, int]:
        """How many simulations each part has."""
        return {part: getattr(self.configuration.simulations, part) for part in PARTS}

    def maps(self, folder: pathlib.Path) -> StoredMaps:
        """Maps of all parts, that the cell of their features has simulated; `folder` is that of any cell."""
        store = SimulationSet.open(folder.parent / f"features.{self.configuration.network}" / MAPS)
        return StoredMaps(store, self.counts, self.model.survey.noise_scale, self.key("noise of maps"))

    def part(self, looked: str, part: str, folder: pathlib.Path) -> tuple[Float[np.ndarray, "n p"], Any]:
        """Parameters, and what compressors are given of the simulations of a part; `folder` is that of any cell."""
        if looked in ON_MAPS:
            maps = self.maps(folder)
            return maps.theta(part), maps.observed(part)
        arrays = read_arrays(folder.parent / f"features.{looked}" / f"{part}.npz")
        return arrays["theta"], arrays["rows"]
