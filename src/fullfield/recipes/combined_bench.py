"""What all cells of the comparison of probes share: the model, networks of every analysis, and what earlier cells left."""

import functools
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    Composed,
    compress,
    Compressor,
    Joined,
    LARGE_SCALES,
    load_compressor,
    save_compressor,
    ScaledProbes,
    SMALL_SCALES,
    standardising,
    train_compressor,
    VMIM,
)
from fullfield.datasets import StoredSimulations
from fullfield.fields import Bands, FlatSky, logarithmic_bands, pair_indices
from fullfield.networks import ConvNet, MLP
from fullfield.recipes.combined_probes import CombinedProbesConfiguration, PIXELS, SIDE
from fullfield.recipes.combined_surveys import BesideSpectra, CHANNELS, FieldSpectra, open_maps, read_surveys, turn_fields
from fullfield.simulators import CombinedProbes, LinearBias, QuadraticBias, QuantileCounts
from fullfield.training import cosine_adam


PARTS = ("training", "validation", "calibration", "observations")
MORE = "more"  # training surveys whose maps are not kept
BANDS, AVERAGE = 8, 0.998


@dataclass(frozen=True)
class CombinedBench:
    """Model, networks, and where cells find what earlier ones left beside their own folder."""

    configuration: CombinedProbesConfiguration

    @functools.cached_property
    def model(self) -> CombinedProbes:
        """Forward model of a field."""
        n = self.configuration.pixels
        bias = LinearBias() if self.configuration.bias == "linear" else QuadraticBias()
        return CombinedProbes(FlatSky(n, SIDE * n / PIXELS), bias=bias, counts=QuantileCounts())

    @property
    def scaled(self) -> ScaledProbes:
        """What is kept of a field."""
        widths = LARGE_SCALES if self.configuration.bias == "linear" else SMALL_SCALES
        return ScaledProbes(self.model.sky, self.model.galaxies, self.model.ellipticity_scatter, widths)

    @property
    def bands(self) -> Bands:
        """Of spectra."""
        return logarithmic_bands(self.model.sky, min(BANDS, self.model.sky.pixels // 4))

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def parameters_of(self, analysis: str, folder: pathlib.Path) -> dict[str, Float[np.ndarray, "m p"]]:
        """Parameters of every part of the surveys that an analysis sees; `folder` is that of any cell."""
        return self._arrays("theta", analysis != "maps", folder)

    def rows(self, analysis: str, probe: str, folder: pathlib.Path) -> dict[str, Float[np.ndarray, "m ..."]]:
        """What the network of an analysis is given, of every part: maps that stay on disk, or spectra."""
        if analysis == "maps":
            return {part: open_maps(folder.with_name("simulations.all"), part, probe) for part in PARTS}
        return self._spectra(analysis, probe, folder, all_of_them=True)

    def _spectra(self, analysis, probe, folder, *, all_of_them):
        columns = self._columns(analysis, probe)
        rows = self._arrays(f"{_kind(analysis)}/{probe}", all_of_them, folder)
        return {part: values[:, columns] for part, values in rows.items()}

    def _arrays(self, name, all_of_them, folder):
        """Arrays of every part, with the training surveys whose maps were not kept if all of them are asked for."""
        simulated = folder.with_name("simulations.all")
        found = {part: read_surveys(simulated, part)[name] for part in PARTS}
        if all_of_them and self.configuration.simulations.training > self.configuration.simulations.maps:
            found["training"] = np.concatenate([found["training"], read_surveys(simulated, MORE)[name]])
        return found

    def network(self, analysis: str, probe: str, key: Key[Array, ""]) -> tuple[Callable, tuple[int, ...]]:
        """Network of an analysis before training, and the shape of its data."""
        n, c, p = self.model.sky.pixels, len(range(8)[CHANNELS[probe]]), self.model.parameters.size
        width, size = self.configuration.training.width, len(self._columns(analysis, probe))
        # The larger network of spectra: four times the width, and a layer more.
        wider, depth = (4 * width, 3) if analysis == "wide" else (width, 2)
        powers = MLP(size, p, key=stream(key, "powers"), width=wider, depth=depth)
        if analysis != "maps":
            return powers, (size,)
        maps = ConvNet((n, n, c), p, key=stream(key, "maps"), patch=2, widths=(16, 32), blocks=(1, 1), periodic=True)
        return BesideSpectra(maps, powers, FieldSpectra(self.bands)), (self.configuration.fields, n, n, c)

    def train(self, analysis: str, probe: str, folder: pathlib.Path, progress: Progress) -> dict[str, Float[np.ndarray, "m s"]]:
        """Train an analysis' network and summarise every part; maps get the summaries of their spectra beside their own."""
        settings, parameters, key = self.configuration.training, self.model.parameters, self.key(f"{analysis} {probe}")
        theta, rows, on_maps = self.parameters_of(analysis, folder), self.rows(analysis, probe, folder), analysis == "maps"
        network, _ = self.network(analysis, probe, key)
        source, held_out = (
            StoredSimulations(
                theta[part], rows[part], batch_size=settings.surveys if on_maps else settings.batch,
                augment=turn_fields if on_maps and part == "training" else None,
            )
            for part in PARTS[:2]
        )  # fmt: skip
        epochs = settings.looks if on_maps else settings.epochs
        compressor, _ = train_compressor(
            VMIM(), network, parameters, source, held_out, key=stream(key, "training"),
            optimiser=cosine_adam(settings.learning_rate, epochs * source.steps_per_epoch), max_epochs=epochs,
            patience=epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage=f"{probe}: {analysis}",
        )  # fmt: skip
        save_compressor(folder / "compressor", compressor)
        t = {part: compress(compressor, rows[part], batch_size=20 if on_maps else 200) for part in PARTS}
        if not on_maps:
            return t
        known, spectra = self._load("spectra", probe, folder), self._spectra("spectra", probe, folder, all_of_them=False)
        return {part: np.concatenate([t[part], compress(known, spectra[part])], axis=1) for part in PARTS}

    def summary(self, analysis: str, probe: str, folder: pathlib.Path) -> Callable:
        """Survey of maps to the summaries that `train` gave of it, in one function that has slopes."""
        kind = "spectra" if analysis == "maps" else analysis
        of_spectra = Composed((FieldSpectra(self.bands, _kind(kind)), self._load(kind, probe, folder)))
        return Joined((self._load("maps", probe, folder), of_spectra)) if analysis == "maps" else of_spectra

    def _columns(self, analysis, probe):
        """Of the spectra, those that an analysis is given."""
        first, second = pair_indices(len(range(8)[CHANNELS[probe]]))
        left_out = analysis.removeprefix(WITHOUT)
        kept = np.array([pair_kind(int(i), int(j)) != left_out for i, j in zip(first, second, strict=True)])
        return np.flatnonzero(np.repeat(kept, len(self.bands.modes)))

    def _load(self, analysis, probe, folder) -> Compressor:
        network, shape = self.network(analysis, probe, jax.random.key(0))
        like = standardising(network, jnp.zeros((2, *shape)))
        return load_compressor(folder.with_name(f"{analysis}.{probe}") / "compressor", like)


WITHOUT = "without "  # what an analysis of spectra begins with that leaves out the pairs of one kind


def pair_kind(i: int, j: int) -> str:
    """What two of the eight maps of both probes have in common: "auto", "lensing", "clustering" or "lensing x clustering"."""
    probes = [number // 4 for number in (i, j)]
    return "auto" if i == j else "lensing x clustering" if probes[0] != probes[1] else ("lensing", "clustering")[probes[0]]


def _kind(analysis):
    return "moduli" if analysis == "moduli" else "spectra"
