"""Cells of the comparison of probes: patches, networks and posteriors of each analysis, and what one gains over another."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import compress, fixed, whitened
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import Budget, calibrate, regress
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.networks import apply_many
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.combined_bench import AVERAGE, CombinedBench, MORE, PARTS, WITHOUT
from fullfield.recipes.combined_judge import judge, pictures, s_8
from fullfield.recipes.combined_likelihood import take_their_route
from fullfield.recipes.combined_probes import CombinedProbesConfiguration, LOOKED_AT
from fullfield.recipes.combined_sensitivity import against_density, linear_estimate, sensitivities
from fullfield.recipes.combined_suppliers import ASKED, loosened, skewness
from fullfield.recipes.combined_surveys import draw_parameters, open_maps, simulate_surveys
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import CombinedProbes, evolved_matter
from fullfield.training import cosine_adam


RESAMPLED = 500  # times, for errors of medians
LOOKED_SURVEYS = 20  # observations in which sensitivity is stacked
COMPARISONS = {
    "gain": ("maps", "spectra"),
    "published": ("maps", "moduli"),
    "estimator": ("spectra", "moduli"),
}
"""What is set over what: maps over spectra; over spectra as the paper's code measures them; and these two."""
TOLD_APART = {"information": ("maps", "spectra"), "forgotten": ("spectra", "moduli"), "saturation": ("wide", "spectra")}
"""Whose log densities of held-out truths are compared: precision alone is no measure, for overfitted posteriors are narrow."""
KINDS_OF_PAIRS = ("lensing x clustering", "lensing", "clustering")


def combined_study(configuration: CombinedProbesConfiguration) -> Study:
    """Surveys, every analysis of every probe, and what they gain over each other."""
    bench = CombinedBench(configuration)
    made = bench.model, configuration.seed, configuration.fields, configuration.simulations.model_dump()
    trained = made, configuration.training.model_dump()
    cells = [Cell("simulations/all", made, functools.partial(_simulate, bench), effort=5)]
    # What maps know is added to what their spectra know.
    needed = [name for name in ("spectra", "wide", "moduli", "maps") if name in configuration.analyses]
    cells += [
        Cell(f"{analysis}/{probe}", (trained, analysis, probe), functools.partial(_infer, bench, analysis, probe),
             effort=10 if analysis == "maps" else 1)
        for probe in configuration.probes
        for analysis in needed
    ]  # fmt: skip
    for name, (first, other) in COMPARISONS.items():
        if {first, other} <= set(configuration.analyses):
            cells += [
                Cell(f"{name}/{probe}", (trained, first, other, probe),
                     functools.partial(_gain, bench, f"{first}/{probe}", f"{other}/{probe}"))
                for probe in configuration.probes
            ]  # fmt: skip
    for name, (first, other) in TOLD_APART.items():
        if {first, other} <= set(configuration.analyses):
            cells += [
                Cell(f"{name}/{probe}", (trained, first, other, probe),
                     functools.partial(_tell_apart, f"{first}/{probe}", f"{other}/{probe}"))
                for probe in configuration.probes
            ]  # fmt: skip
    if "combined" in configuration.probes:
        cells += [
            Cell(f"combination/{analysis} over {probe}", (trained, analysis, probe),
                 functools.partial(_gain, bench, f"{analysis}/combined", f"{analysis}/{probe}"))
            for analysis in needed
            for probe in configuration.probes
            if probe != "combined"
        ]  # fmt: skip
        for kind in KINDS_OF_PAIRS if "spectra" in needed else ():
            name = f"{WITHOUT}{kind}"
            cells += [
                Cell(f"{name}/combined", (trained, name), functools.partial(_infer, bench, name, "combined")),
                Cell(f"brought/{kind}", (trained, name),
                     functools.partial(_gain, bench, "spectra/combined", f"{name}/combined")),
            ]  # fmt: skip
        if "spectra" in needed:
            cells.append(Cell("likelihood/combined", trained, functools.partial(_their_route, bench), effort=2))
        cells.append(Cell("stochasticity/all", (bench.model, configuration.seed, configuration.suppliers.fields),
                          functools.partial(_loosen, bench)))  # fmt: skip
        cells += [
            Cell(f"skewness/{supplier}", (bench.model, configuration.seed, configuration.suppliers.model_dump(), supplier),
                 functools.partial(_skew, bench, supplier), effort=2 if supplier == "evolved" else 1)
            for supplier in ("lognormal", "evolved")
        ]  # fmt: skip
        cells += [
            Cell(f"sensitivity/{analysis}", (trained, analysis), functools.partial(_look, bench, analysis))
            for analysis in ("maps", "spectra")
            if analysis in needed
        ]
    return Study(
        cells, functools.partial(judge, configuration), functools.partial(pictures, configuration, bench.model.parameters)
    )


def _simulate(bench: CombinedBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Surveys from the prior and, for observations, at the fiducial parameters."""
    parameters, total = bench.model.parameters, 0
    settings = bench.configuration.simulations
    sizes = {part: getattr(settings, part) for part in PARTS} | {
        "training": settings.maps, MORE: settings.training - settings.maps,
    }  # fmt: skip
    for part, n in sizes.items():
        galaxies = settings.galaxies if part in ("training", MORE) else 1
        theta = draw_parameters(parameters, bench.key(f"{part} prior"), n // galaxies, galaxies=galaxies)
        if part == "observations":
            theta = jnp.broadcast_to(parameters.fiducial, theta.shape)
        if n:
            keys = jax.random.split(bench.key(f"{part} fields"), len(theta))
            simulate_surveys(
                bench.model, bench.scaled, bench.bands, keys, theta, folder,
                part=part, fields=bench.configuration.fields, progress=progress, with_maps=part != MORE,
            )  # fmt: skip
        total += n
    return Measured({}, simulations=total)


def _infer(bench: CombinedBench, analysis: str, probe: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Train a compressor and a posterior, test it, and ask it about every observation."""
    settings, parameters, key = bench.configuration.training, bench.model.parameters, bench.key(f"{analysis} {probe}")
    theta, t = bench.parameters_of(analysis, folder), bench.train(analysis, probe, folder, progress)
    write_arrays(folder / "summaries.npz", **t)
    whitening = whitened(fixed(_itself, t["training"].shape[1:]), t["training"])  # names summaries that have collapsed
    t = {part: compress(whitening, values) for part, values in t.items()}
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
        budget=Budget().shared(len(bench.configuration.probes) * len(bench.configuration.analyses) + len(KINDS_OF_PAIRS)),
        key=stream(key, "tests"),
    )  # fmt: skip
    log_prob = apply_many(posterior.log_prob, theta["calibration"], t["calibration"], batch_size=250)
    found = sample_many(posterior, stream(key, "draws"), t["observations"], settings.draws)
    write_arrays(folder / "draws.npz", theta=found, log_prob=log_prob, **precision(parameters, found))
    failed = [number.name for number in tested.report.numbers if number.verdict == "fail"]
    return Measured({"failed": float(len(failed)), "tests": float(len(tested.report.numbers))})


def _itself(summary: Float[Array, " s"]) -> Float[Array, " s"]:
    return summary


def _look(bench: CombinedBench, analysis: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Slopes of estimates from both probes by the pixels of their maps, set against the galaxies that are there."""
    progress("looking", 0, 1)
    maps = open_maps(folder.with_name("simulations.all"), "observations", "combined")[:LOOKED_SURVEYS]
    parameters, theta = bench.model.parameters, bench.parameters_of(analysis, folder)["training"]
    t = read_arrays(folder.with_name(f"{analysis}.combined") / "summaries.npz")["training"]
    slopes = linear_estimate(theta, t)[[parameters.index(name) for name in LOOKED_AT]]
    seen = sensitivities(bench.scaled, bench.summary(analysis, "combined", folder), slopes, maps)
    values, kept = {}, {}
    for i, (name, (convergence, galaxies)) in enumerate(LOOKED_AT.items()):
        looked, there = (array.reshape(-1, *array.shape[-2:]) for array in (seen[:, i, ..., convergence], maps[..., galaxies]))
        density, stacked, values[name] = against_density(bench.model.sky, looked, there)
        kept |= {f"{name}/density": density, f"{name}/stacked": stacked, f"{name}/field": looked[0]}
        kept |= {f"{name}/galaxies": np.float32(there[0]), f"{name}/convergence": np.float32(maps[0, 0, ..., convergence])}
    write_arrays(folder / "looked.npz", **kept)
    return Measured(values)


def _their_route(bench: CombinedBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """The paper's route on spectra, its precision over that of NPE at the same observations, and its likelihood's accuracy."""
    measured = take_their_route(bench, folder, progress)
    theta = read_arrays(folder / "draws.npz")["theta"]
    write_arrays(folder / "draws.npz", theta=theta, **precision(bench.model.parameters, theta))
    over = _gain(bench, "likelihood/combined", "spectra/combined", folder, progress)
    return Measured({**measured.values, **over.values}, measured.simulations)


def _skew(bench: CombinedBench, supplier: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Mean skewness of each map, and its error."""
    settings, model = bench.configuration.suppliers, bench.model
    if supplier == "evolved":
        model = CombinedProbes(matter=evolved_matter(model.sky, model.bins, settings.points), bias=model.bias)
    found = skewness(model, bench.scaled, bench.key("skewness"), settings.fields, progress)
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    names = [f"{kind} of bin {b + 1}" for kind in ("convergence", "galaxies") for b in range(model.bins.size)]
    values = dict(zip(names, mean.tolist(), strict=True))
    return Measured(values | {f"{name}/error": float(e) for name, e in zip(names, error, strict=True)}, simulations=len(found))


def _loosen(bench: CombinedBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """How far from what is asked for the correlation of galaxies with matter is, by both laws, at most."""
    progress("loosening galaxies", 0, 1)
    fields = bench.configuration.suppliers.fields
    found = loosened(bench.model, bench.bands, bench.key("stochasticity"), fields)
    write_arrays(folder / "found.npz", ell=bench.bands.centres, **found)
    off = {name: float(np.abs(curves.mean(axis=1) - ASKED).max()) for name, curves in found.items()}
    return Measured(off, simulations=fields)


def precision(parameters: ParameterSpace, draws: Float[np.ndarray, "m n p"]) -> dict[str, Float[np.ndarray, " m"]]:
    """One over the deviation of every parameter and of S8, and the figure of merit of Ωm and σ8, observation by observation."""
    found = {f"precision/{name}": 1 / draws[..., i].std(axis=1) for i, name in enumerate(parameters.names)}
    omega_m, sigma_8 = (draws[..., parameters.index(name)] for name in ("omega_m", "sigma_8"))
    both = np.stack([omega_m - omega_m.mean(1, keepdims=True), sigma_8 - sigma_8.mean(1, keepdims=True)], axis=1)
    covariance = both @ np.swapaxes(both, 1, 2) / draws.shape[1]
    found["precision/s_8"] = 1 / s_8(parameters, draws).std(axis=1)
    return found | {"precision/fom": np.linalg.det(covariance) ** -0.5}


def _tell_apart(first: str, other: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Log density of the truth by one analysis over that by another, nats, the mean over surveys that no training has seen."""
    progress("comparing", 0, 1)
    one, two = (read_arrays(folder.parent / name.replace("/", ".") / "draws.npz")["log_prob"] for name in (first, other))
    return Measured({"nats": float(np.mean(one - two)), "nats/error": float(np.std(one - two) / np.sqrt(len(one)))})


def _gain(bench: CombinedBench, first: str, other: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Median over observations of one analysis' precision over another's, with its bootstrap error."""
    progress("comparing", 0, 1)
    one, two = (read_arrays(folder.parent / name.replace("/", ".") / "draws.npz") for name in (first, other))
    values, random = {}, np.random.default_rng(bench.configuration.seed)
    for name in (name for name in one if name.startswith("precision/")):
        ratio = one[name] / two[name][: len(one[name])]
        again = np.median(random.choice(ratio, (RESAMPLED, len(ratio))), axis=1)
        parameter = name.removeprefix("precision/")
        values |= {parameter: float(np.median(ratio)), f"{parameter}/error": float(again.std())}
    return Measured(values)
