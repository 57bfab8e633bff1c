"""Cells of the comparison of probes: patches, networks and posteriors of each analysis, and what one gains over another."""

import functools
import pathlib
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import on_every_core, stream
from fullfield._core.progress import Progress
from fullfield.compression import compress, Compressor, ScaledProbes, SpectraAndMoments, train_compressor, VMIM, whitened
from fullfield.datasets import StoredSimulations, turn_and_roll
from fullfield.diagnostics import Budget, calibrate, regress
from fullfield.fields import FlatSky, logarithmic_bands
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.networks import apply_many, ConvNet, MLP
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.combined_judge import judge, pictures
from fullfield.recipes.combined_probes import CombinedProbesConfiguration
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import CombinedProbes, even_batch
from fullfield.training import cosine_adam


SIDE, PIXELS = 5.0, 64  # degrees and pixels of the paper's field, whose pixels all patches have
CHANNELS = {"lensing": slice(0, 4), "clustering": slice(4, 8), "combined": slice(0, 8)}
PARTS = ("training", "validation", "calibration", "observations")
CHUNK, AVERAGE, BANDS = 100, 0.999, 8
RESAMPLED = 500  # times, for errors of medians


def combined_study(configuration: CombinedProbesConfiguration) -> Study:
    """Patches, every analysis of every probe, and what they gain over each other."""
    bench = Bench(configuration)
    made = bench.model, configuration.seed, configuration.simulations.model_dump()
    trained = made, configuration.training.model_dump()
    cells = [Cell("simulations/all", made, functools.partial(_simulate, bench), effort=5)]
    cells += [
        Cell(f"{analysis}/{probe}", (trained, analysis, probe), functools.partial(_infer, bench, analysis, probe),
             effort=10 if analysis == "maps" else 2)
        for probe in configuration.probes
        for analysis in configuration.analyses
    ]  # fmt: skip
    if len(configuration.analyses) == 2:
        cells += [
            Cell(f"gain/{probe}", (trained, probe), functools.partial(_gain, bench, f"maps/{probe}", f"spectra/{probe}"))
            for probe in configuration.probes
        ]
    if "combined" in configuration.probes:
        cells += [
            Cell(f"combination/{analysis} over {probe}", (trained, analysis, probe),
                 functools.partial(_gain, bench, f"{analysis}/combined", f"{analysis}/{probe}"))
            for analysis in configuration.analyses
            for probe in configuration.probes
            if probe != "combined"
        ]  # fmt: skip
    return Study(
        cells, functools.partial(judge, configuration), functools.partial(pictures, configuration, bench.model.parameters)
    )


@dataclass(frozen=True)
class Bench:
    """What all cells share, and where they find what earlier ones left beside their own folder."""

    configuration: CombinedProbesConfiguration

    @functools.cached_property
    def model(self) -> CombinedProbes:
        """Forward model of a patch."""
        n = self.configuration.pixels
        return CombinedProbes(FlatSky(n, SIDE * n / PIXELS))

    @property
    def scaled(self) -> ScaledProbes:
        """What is kept of a patch."""
        return ScaledProbes(self.model.sky, self.model.galaxies, self.model.ellipticity_scatter)

    @property
    def spectra(self) -> SpectraAndMoments:
        """Band powers, auto and cross."""
        return SpectraAndMoments(logarithmic_bands(self.model.sky, min(BANDS, self.model.sky.pixels // 4)), smoothings=())

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def part(
        self, part: str, probe: str, folder: pathlib.Path
    ) -> tuple[Float[np.ndarray, "m p"], Float[np.ndarray, "m n n c"]]:
        """Parameters and maps of one part of the patches; `folder` is that of any cell."""
        arrays = read_arrays(folder.parent / "simulations.all" / f"{part}.npz")
        return arrays["theta"], np.ascontiguousarray(arrays["maps"][..., CHANNELS[probe]])


class BesideSpectra(eqx.Module):
    """A network on maps added to one on their band powers, so that it begins with what spectra know.

    Args:
        maps: map to vector.
        powers: band powers to vector.
        spectra: map to band powers.
    """

    maps: ConvNet
    powers: MLP
    spectra: SpectraAndMoments

    def __call__(self, x: Float[Array, "y x c"], *, key: Array | None = None) -> Float[Array, " k"]:
        """Map (y, x, c) to a vector; `key` is ignored."""
        return self.maps(x) + self.powers(self.spectra(x))


def _simulate(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Scaled and smoothed maps, from the prior and, for observations, at the fiducial parameters."""
    parameters, total = bench.model.parameters, 0
    for part in PARTS:
        n = getattr(bench.configuration.simulations, part)
        theta = parameters.sample(bench.key(f"{part} prior"), (n,))
        if part == "observations":
            theta = jnp.broadcast_to(parameters.fiducial, (n, parameters.size))
        keys = jax.random.split(bench.key(f"{part} patches"), n)
        pieces, maps = [slice(start, start + CHUNK) for start in range(0, n, CHUNK)], []
        for some in on_every_core(lambda piece, t=theta, k=keys: _some(bench.model, bench.scaled, k[piece], t[piece]), pieces):
            maps.append(np.asarray(some))
            progress(f"simulating for {part}", sum(map(len, maps)), n)
        write_arrays(folder / f"{part}.npz", theta=np.asarray(theta), maps=np.concatenate(maps))
        total += n
    return Measured({}, simulations=total)


@eqx.filter_jit
def _some(model, scaled, keys, theta):
    one = lambda pair: scaled(model.simulate_at(*pair))  # noqa: E731
    return jax.lax.map(one, (keys, theta), batch_size=even_batch(len(theta), 10))


def _infer(bench: Bench, analysis: str, probe: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Train a compressor and a posterior, test it, and ask it about every observation."""
    settings, parameters = bench.configuration.training, bench.model.parameters
    key, parts = bench.key(f"{analysis} {probe}"), {part: bench.part(part, probe, folder) for part in PARTS}
    compressor = _compressor(bench, analysis, parts, key, folder, progress)
    if analysis == "spectra":
        parts = {part: (theta, apply_many(bench.spectra, maps, batch_size=CHUNK)) for part, (theta, maps) in parts.items()}
    compressor = whitened(compressor, parts["training"][1])  # names summaries that have collapsed
    theta = {part: pair[0] for part, pair in parts.items()}
    t = {part: compress(compressor, pair[1]) for part, pair in parts.items()}
    source, held_out = (StoredSimulations(theta[part], t[part], batch_size=settings.batch) for part in PARTS[:2])
    posterior, _ = train_npe(
        parameters, source, held_out, key=stream(key, "posterior"),
        optimiser=cosine_adam(settings.learning_rate, settings.epochs * source.steps_per_epoch), max_epochs=settings.epochs,
        patience=settings.epochs, average=AVERAGE, checkpoint=folder / "posterior", progress=progress,
        stage=f"{probe}: posterior",
    )  # fmt: skip
    draws = sample_many(posterior, stream(key, "calibration"), t["calibration"], min(settings.draws, 200))
    tested = calibrate(
        theta["calibration"], draws, names=parameters.names,
        estimates=regress(theta["training"], t["training"], t["calibration"]),
        budget=Budget().shared(len(bench.configuration.probes) * len(bench.configuration.analyses)), key=stream(key, "tests"),
    )  # fmt: skip
    found = sample_many(posterior, stream(key, "draws"), t["observations"], settings.draws)
    write_arrays(folder / "draws.npz", theta=found, **precision(parameters, found))
    failed = [number.name for number in tested.report.numbers if number.verdict == "fail"]
    return Measured({"failed": float(len(failed)), "tests": float(len(tested.report.numbers))})


def _compressor(
    bench: Bench, analysis: str, parts, key: Key[Array, ""], folder: pathlib.Path, progress: Progress
) -> Compressor:
    settings, parameters = bench.configuration.training, bench.model.parameters
    p, spectra = parameters.size, bench.spectra
    rows = {part: parts[part][1] for part in PARTS[:2]}
    (size,) = eqx.filter_eval_shape(spectra, jax.ShapeDtypeStruct(rows["training"].shape[1:], jnp.float32)).shape
    network = MLP(size, p, key=stream(key, "powers"), width=settings.width, depth=2)
    if analysis == "spectra":
        rows = {part: apply_many(spectra, maps, batch_size=CHUNK) for part, maps in rows.items()}
    else:
        maps = ConvNet(
            rows["training"].shape[1:], p,
            key=stream(key, "maps"), patch=2, widths=(24, 48), blocks=(1, 1), periodic=True,
        )  # fmt: skip
        network = BesideSpectra(maps, network, spectra)
    augment = turn_and_roll if analysis == "maps" else None
    source, held_out = (
        StoredSimulations(
            parts[part][0], rows[part], batch_size=settings.batch, augment=augment if part == "training" else None
        )
        for part in PARTS[:2]
    )
    found, _ = train_compressor(
        VMIM(), network, parameters, source, held_out, key=stream(key, "training"),
        optimiser=cosine_adam(settings.learning_rate, settings.epochs * source.steps_per_epoch), max_epochs=settings.epochs,
        patience=settings.epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage=analysis,
    )  # fmt: skip
    return found


def precision(parameters: ParameterSpace, draws: Float[np.ndarray, "m n p"]) -> dict[str, Float[np.ndarray, " m"]]:
    """One over the deviation of every parameter and of S8, and the figure of merit of Ωm and σ8, observation by observation."""
    found = {f"precision/{name}": 1 / draws[..., i].std(axis=1) for i, name in enumerate(parameters.names)}
    omega_m, sigma_8 = (draws[..., parameters.index(name)] for name in ("omega_m", "sigma_8"))
    both = np.stack([omega_m - omega_m.mean(1, keepdims=True), sigma_8 - sigma_8.mean(1, keepdims=True)], axis=1)
    covariance = both @ np.swapaxes(both, 1, 2) / draws.shape[1]
    found["precision/s_8"] = 1 / (sigma_8 * np.sqrt(omega_m / 0.3)).std(axis=1)
    return found | {"precision/fom": np.linalg.det(covariance) ** -0.5}


def _gain(bench: Bench, first: str, other: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Median over observations of one analysis' precision over another's, with its bootstrap error."""
    progress("comparing", 0, 1)
    one, two = (read_arrays(folder.parent / name.replace("/", ".") / "draws.npz") for name in (first, other))
    values, random = {}, np.random.default_rng(bench.configuration.seed)
    for name in (name for name in one if name.startswith("precision/")):
        ratio = one[name] / two[name]
        again = np.median(random.choice(ratio, (RESAMPLED, len(ratio))), axis=1)
        parameter = name.removeprefix("precision/")
        values |= {parameter: float(np.median(ratio)), f"{parameter}/error": float(again.std())}
    return Measured(values)
