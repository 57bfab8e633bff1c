"""What all cells of the bridge share: both simulators, suites of their maps, and statistics of maps."""

import functools
import math
import pathlib
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import stream
from fullfield._core.cores import on_every_core
from fullfield._core.progress import Progress
from fullfield.compression import Joined, PeakCounts, SpectraAndMoments
from fullfield.fields import Bands, FlatSky, logarithmic_bands
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.bridge import BridgeConfiguration
from fullfield.recipes.study import Measured
from fullfield.simulators import (
    AbstractForwardModel,
    evolved_lensing_model,
    Noiseless,
    perturbed_lensing_model,
    Simulations,
    StructureModel,
    wcdm,
)
from fullfield.simulators.gravity import lensing_weights


CHUNK = 20  # maps that a core makes at a time
BANDS = 6


@dataclass(frozen=True)
class BridgeBench:
    """What all cells share, and where they find what earlier ones left beside their own folder."""

    configuration: BridgeConfiguration

    @functools.cached_property
    def cheap(self) -> StructureModel:
        """Lensing by perturbation theory."""
        settings = self.configuration
        return perturbed_lensing_model(settings.points, pixels=settings.pixels, side=settings.side, order=settings.order)

    @functools.cached_property
    def costly(self) -> StructureModel:
        """Lensing by the particle mesh."""
        return evolved_lensing_model(self.configuration.points, pixels=self.configuration.pixels, side=self.configuration.side)

    @property
    def models(self) -> tuple[StructureModel, StructureModel]:
        """Both, which decide all results."""
        return self.cheap, self.costly

    @property
    def sky(self) -> FlatSky:
        """Patch of the maps."""
        return self.costly.survey.sky

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    @property
    def bands(self) -> Bands:
        """Bands of even width in ln ℓ, from the patch's to its Nyquist multipole."""
        return logarithmic_bands(self.sky, BANDS)

    def resolved(self) -> Bool[np.ndarray, "bins bands"]:
        """Which bands the mesh resolves: ℓ below half of its Nyquist frequency times the mean distance of a bin's lenses."""
        model = self.costly
        weights = lensing_weights(wcdm(model.values(model.parameters.fiducial)), model.survey.bins, model.cone, lost=model.lost)
        distance = np.asarray(weights) @ np.asarray(model.cone.distances) / np.asarray(weights).sum(axis=1)
        return self.bands.centres < np.pi / model.cone.box.cell / 2 * distance[:, None]

    def statistics(self) -> Joined:
        """What posteriors see of noisy maps: spectra, moments and peaks."""
        noise = tuple(float(scale) for scale in self.costly.survey.noise_scale)
        return Joined((SpectraAndMoments(self.bands), PeakCounts(noise, smoothings=(2,))))

    def count(self, suite: str) -> int:
        """Maps of a suite."""
        return getattr(self.configuration.simulations, {"paired": "costly", "tested": "test"}.get(suite, suite))

    def simulate(self, suite: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Maps without noise of a suite: `cheap` and `costly` share no seed; `paired` and `tested` are the cheap maps of the
        parameters and seeds of `costly` and `test`."""
        model = self.cheap if suite in ("cheap", "paired", "tested") else self.costly
        n, seeds = self.count(suite), {"paired": "costly", "tested": "test"}.get(suite, suite)
        theta = np.asarray(model.parameters.sample(self.key(f"{seeds} parameters"), (n,)))
        maps = simulated(Noiseless(model), self.key(f"{seeds} maps"), theta, progress, stage=f"simulating {suite}")
        write_arrays(folder / "maps.npz", theta=theta, maps=maps)
        return Measured({}, simulations=n)

    def suite(self, name: str, folder: pathlib.Path) -> Simulations:
        """Maps of a suite, or what a carrier made of the cheap one; `folder` is that of any cell."""
        arrays = read_arrays(folder.parent / f"suite.{name}" / "maps.npz")
        return Simulations(jnp.asarray(arrays["theta"]), jnp.asarray(arrays["maps"]))

    def carried(self, carrier: str, of: str, folder: pathlib.Path) -> Simulations:
        """The cheap suite called `of` behind a carrier, or as it is."""
        found = self.suite(of, folder)
        if carrier == "none":
            return found
        return Simulations(found.theta, jnp.asarray(read_arrays(folder.parent / f"carrier.{carrier}" / f"{of}.npz")["maps"]))


def simulated(
    model: AbstractForwardModel, key: Key[Array, ""], theta: Float[np.ndarray, "n p"], progress: Progress, *, stage: str
) -> Float[np.ndarray, "n y x b"]:
    """Maps at given parameters, as many at a time as there are cores."""
    # Short chunks make up the last one, so that all are of one program.
    size = min(CHUNK, len(theta))
    chunks = math.ceil(len(theta) / size)
    rows = np.arange(chunks * size) % len(theta)
    keys = jax.random.split(key, len(theta))
    parts, program = [], eqx.filter_jit(_one_by_one)
    for part in on_every_core(lambda i: program(model, keys[i], jnp.asarray(theta[i])), np.split(rows, chunks)):
        parts.append(np.asarray(part))
        progress(stage, min(len(parts) * size, len(theta)), len(theta))
    return np.concatenate(parts)[: len(theta)]


def _one_by_one(model, keys, theta):
    return jax.lax.map(lambda pair: model.simulate_at(*pair), (keys, theta))
