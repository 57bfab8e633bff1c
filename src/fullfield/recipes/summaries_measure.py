"""Cells of the comparison of summaries: chains of every observation, features of simulations, and every objective on them."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import digest, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    canonical,
    Composed,
    compress,
    Compressor,
    fixed,
    GaussianLikelihood,
    InfoNCE,
    Joined,
    MeanAbsoluteError,
    MeanSquaredError,
    MomentNetwork,
    save_compressor,
    train_compressor,
    train_imnn,
    VMIM,
    whitened,
)
from fullfield.datasets import simulate_to_store, StoredSimulations
from fullfield.diagnostics import Budget, c2st, calibrate, convergence, figure_of_merit, mutual_information, regress, thinned
from fullfield.inference import EnsemblePosterior, sample_many
from fullfield.inference.explicit import Chains, MAMS, ReconstructedScore, sample_field
from fullfield.inference.implicit import train_npe
from fullfield.inference.posterior import unwatched
from fullfield.networks import apply_many, real_nvp
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.lensing import LENSING
from fullfield.recipes.lensing_summaries import summaries
from fullfield.recipes.neural_summaries import NeuralSummariesConfiguration, Objective, PAIRS
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.summaries_bench import Bench, check_enough, HELD_OUT, identity, MAPS, PARTS
from fullfield.recipes.summaries_features import (
    fit_reconstruction,
    MEDIANS,
    network,
    ON_MAPS,
    statistic,
    STEPS,
    tangent_rows,
)
from fullfield.recipes.summaries_judge import FIXED, judge, simulations
from fullfield.recipes.summaries_maps import Noiseless
from fullfield.recipes.summaries_pictures import LOOKED_THROUGH, pictures
from fullfield.report import revision
from fullfield.simulators import SpectrumModel
from fullfield.training import cosine_adam


OBJECTIVES = {
    "vmim": VMIM(), "info_nce": InfoNCE(), "gnll": GaussianLikelihood(), "moments": MomentNetwork(),
    "mae": MeanAbsoluteError(), "mse": MeanSquaredError(),
}  # fmt: skip
UNITS = 60  # of the classifier, as in the published benchmark of these maps
# Unadjusted chains of as many gradients would be several percent too narrow.
REFERENCE = MAMS(steps=5.0)
AVERAGE = 0.999  # decay of the running average of all weights
CALIBRATION_DRAWS = 200


def summaries_study(configuration: NeuralSummariesConfiguration) -> Study:
    """Chains of every observation, features of all simulations, and every objective as often as there are seeds.

    Raises:
        ConfigurationError: there are too few simulations for an objective.
    """
    published = configuration.observation == "published-mock"
    settings = {"model": {"pixels": configuration.pixels, "physics": "sbi_lens" if published else "lsst_y10"}}
    problem = LENSING.build(LENSING.configure(settings | ({"observation": "published-mock"} if published else {})))
    bench = Bench(configuration, problem)
    check_enough(configuration, bench.model)
    common = configuration.model_dump(include={"seed", "pixels", "observation"})
    chains, spectra = ((common, configuration.reference.model_dump(exclude={other})) for other in ("spectrum_draws", "draws"))
    counts = configuration.simulations.model_dump()
    rows = (common, MEDIANS, {name: counts[name] for name in (*PARTS, "estimate")})
    trained = (
        rows,
        REFERENCE,
        configuration.model_dump(include={"training", "posterior", "distance_draws", "reference", "observations"}),
    )
    distance = configuration.distance_draws
    cells = []
    for i in range(configuration.observations):
        cells += [
            Cell(f"likelihood/{i}", (spectra, i), functools.partial(_likelihood, bench, i), effort=3),
            Cell(f"reference/{i}", (spectra, chains, REFERENCE, i), functools.partial(_reference, bench, i), effort=10),
            Cell(f"floor/{i}", (spectra, chains, REFERENCE, i, distance), functools.partial(_floor, bench, i)),
        ]
    if bench.looked_at(configuration.network) == "reconstruction":
        cells.append(
            Cell(
                "estimate/reconstruction", (common, counts["estimate"], MEDIANS), functools.partial(_estimate, bench), effort=3
            )
        )
    for name in dict.fromkeys(map(bench.looked_at, configuration.objectives)):
        seen = rows, identity(name)
        cells += [
            Cell(f"features/{name}", seen, functools.partial(_features, bench, name), effort=20),
            Cell(f"observed/{name}", (seen, configuration.observations), functools.partial(_observed, bench, name)),
        ]
    if "imnn" in configuration.objectives:
        cells.append(
            Cell(
                "features/tangents",
                (rows, configuration.network, counts["fiducial"]),
                functools.partial(_tangents, bench),
                effort=5,
            )
        )
    cells += [
        Cell(
            f"{objective}/{seed}",
            (trained, identity(bench.looked_at(objective)), objective, seed, counts["fiducial"] if objective == "imnn" else 0),
            functools.partial(_objective, bench, objective, seed),
            effort=4,
        )
        for seed in range(configuration.seeds)
        for objective in configuration.objectives
    ]
    return Study(
        cells,
        functools.partial(judge, configuration, bench.model.parameters),
        functools.partial(pictures, configuration, bench.model),
    )


def _likelihood(bench: Bench, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """The classical analysis: a Gaussian likelihood of all auto- and cross-spectra of one observation."""
    settings = bench.configuration.reference
    model = SpectrumModel(bench.model, fixed_at=bench.model.parameters.fiducial)
    chains = sample_field(
        model, eqx.filter_jit(model.measure)(bench.observe(i)),
        key=jax.random.fold_in(bench.key("likelihood"), i), draws=settings.spectrum_draws, chains=settings.chains,
        warmup=settings.warmup // 2, directory=folder, progress=progress,
    )  # fmt: skip
    return _measured(chains, folder)


def _reference(bench: Bench, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Parameters and field of one observation, sampled together.

    Chains start where those of the spectra have ended: wider than the posterior, and not in the corners of the prior, some of
    which a chain of thousands of latents does not leave.
    """
    settings = bench.configuration.reference
    start = read_arrays(folder.parent / f"likelihood.{i}" / "chains.npz")["theta"][:, -1]
    chains = sample_field(
        bench.model, bench.observe(i),
        key=jax.random.fold_in(bench.key("reference"), i), sampler=REFERENCE,
        draws=settings.draws, chains=settings.chains, start=start, warmup=settings.warmup, block=100, directory=folder,
        progress=progress,
    )  # fmt: skip
    return _measured(chains, folder)


def _floor(bench: Bench, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """What C2ST makes of two halves of the same chains, neither of which is longer than posteriors' draws."""
    progress("comparing", 0, 1)
    theta = read_arrays(folder.parent / f"reference.{i}" / "chains.npz")["theta"]
    one, other = (half.reshape(-1, theta.shape[-1]) for half in np.array_split(theta, 2))
    n = min(bench.configuration.distance_draws, len(one), len(other))
    key = jax.random.fold_in(bench.key("floor"), i)
    return Measured({"c2st": float(c2st(thinned(one, n), thinned(other, n), units=UNITS, key=key).numbers[0].value)})


def _measured(chains: Chains, folder: pathlib.Path) -> Measured:
    write_arrays(folder / "chains.npz", theta=chains.theta)
    worst = {"rhat": max, "ess_bulk": min, "divergences": max}
    numbers = convergence(**chains.evidence).numbers
    values = {
        kind: float(choose(number.value for number in numbers if number.name.endswith(f"/{kind}")))
        for kind, choose in worst.items()
    }
    return Measured(values | _merits(chains.draws, chains.names), gradients=chains.gradients)


def _merits(draws: Float[np.ndarray, "n p"], names: tuple[str, ...]) -> dict[str, float]:
    return {number.name: number.value for number in figure_of_merit(draws, names=names, pairs=PAIRS).numbers}


def _estimate(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Scores at the fiducial parameters, and at an estimate from band powers and moments.

    The former know most where they are taken, and are blind far away, where the latter still see.
    """
    n, model = bench.configuration.simulations.estimate, bench.model
    score, gradients = fit_reconstruction(
        model, statistic(model, "moments"), n, folder, key=bench.key, progress=progress, steps=STEPS[:1]
    )
    fiducial = ReconstructedScore.about(model, key=bench.key("fiducial score"), simulations=MEDIANS)
    save_module(folder / "features.eqx", Joined((fiducial, score)))
    return Measured({}, simulations=n + 2 * MEDIANS, gradients=gradients + MEDIANS * fiducial.gradients)


def _features(bench: Bench, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """What compressors are given of every simulation, for all purposes one behind the other."""
    counts, model, function = bench.configuration.simulations, bench.model, bench.features(name, folder)
    total = sum(bench.counts.values())
    if name in ON_MAPS:
        simulate_to_store(folder / MAPS, Noiseless(model), n=total, seed=bench.configuration.seed, progress=progress)
        return Measured({}, simulations=total)
    for part in PARTS:
        theta = model.parameters.sample(bench.key(f"{part} prior"), (getattr(counts, part),))
        rows = summaries(model, function, bench.key(f"{part} simulations"), theta, progress)
        write_arrays(folder / f"{part}.npz", theta=np.asarray(theta), rows=rows)
    # The same simulations are looked at in every way but as stored maps, and counted once.
    shared = name in FIXED and bench.configuration.network not in (name, *ON_MAPS)
    each = sum(part.gradients for part in getattr(function, "parts", ())) if name == "reconstruction" else 0
    return Measured({}, simulations=0 if shared else total, gradients=total * each)


def _observed(bench: Bench, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """What compressors are given of the observations."""
    progress("observations", 0, 1)
    maps = bench.observations()
    rows = maps if name in ON_MAPS else apply_many(bench.features(name, folder), maps, batch_size=8)
    write_arrays(folder / "rows.npz", rows=rows)
    return Measured({})


def _tangents(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    """What compressors are given of simulations at the fiducial parameters, with derivatives."""
    n = bench.configuration.simulations.fiducial
    rows = tangent_rows(bench.model, bench.features(bench.configuration.network, folder), bench.key("tangents"), n, progress)
    write_arrays(folder / "rows.npz", rows=rows)
    return Measured({}, simulations=n, gradients=n * bench.model.parameters.size)


def _stored(theta: Float[np.ndarray, "n p"], rows: Float[np.ndarray, "n ..."], batch: int) -> StoredSimulations:
    return StoredSimulations(theta, rows, batch_size=batch)


def shares(looked: str, theta: Float[np.ndarray, "n p"], rows: Any) -> tuple[tuple, tuple]:
    """Simulations for the compressor, and for the posterior: the same, unless the compressor has as many numbers to learn.

    A thousand statistics of ten thousand simulations fit these better than any others: a posterior learnt there would be too
    narrow.
    """
    if looked != "statistics":
        return (theta, rows), (theta, rows)
    half = len(theta) // 2
    return (theta[:half], rows[:half]), (theta[half:], rows[half:])


def _compressor(
    bench: Bench, objective: str, key: Key[Array, ""], folder: pathlib.Path, progress: Progress
) -> tuple[Compressor, float]:
    """Train, or fit, what an objective makes of features; the seconds of training, interrupted or not."""
    settings, parameters, looked = bench.configuration.training, bench.model.parameters, bench.looked_at(objective)
    (theta, rows), _ = shares(looked, *bench.part(looked, "training", folder))
    if objective in FIXED:
        return canonical(parameters, theta, rows, size=2 * parameters.size), 0.0
    outputs = parameters.size * (2 if objective == "moments" else 1)
    # Of a thousand statistics a network learns its training simulations by heart; of their best combinations it does not.
    narrow = (
        canonical(parameters, theta, rows, size=3 * parameters.size) if looked == "statistics" and objective != "imnn" else None
    )
    shape = (3 * parameters.size,) if narrow else rows.shape[1:]
    net = network(bench.model, looked, shape, outputs, settings.width, key=stream(key, "network"))
    often = {"key": stream(key, "training"), "checkpoint": folder / "training", "progress": progress, "stage": objective}
    if objective == "imnn":
        rows = read_arrays(folder.parent / "features.tangents" / "rows.npz")["rows"]
        n, epochs = len(rows) // HELD_OUT, 4 * settings.epochs
        at = np.broadcast_to(np.asarray(parameters.fiducial), (len(rows), parameters.size))
        source, held_out = (_stored(at[part], rows[part], settings.batch) for part in (slice(n, None), slice(n)))
        optimiser = cosine_adam(settings.learning_rate, epochs * source.steps_per_epoch)
        found, history = train_imnn(net, source, held_out, optimiser=optimiser, max_epochs=epochs, patience=epochs, **often)
        return found, sum(history.seconds)
    if looked in ON_MAPS:
        maps = bench.maps(folder)
        source, held_out = (maps.batches(part, settings.batch, turned=part == "training") for part in PARTS[:2])
    else:
        pairs = (theta, rows), bench.part(looked, "validation", folder)
        source, held_out = (_stored(at, compress(narrow, x) if narrow else x, settings.batch) for at, x in pairs)
    found, history = train_compressor(
        OBJECTIVES[objective], net, parameters, source, held_out,
        optimiser=cosine_adam(settings.learning_rate, settings.epochs * source.steps_per_epoch),
        max_epochs=settings.epochs, patience=settings.epochs, average=AVERAGE, **often,
    )  # fmt: skip
    return fixed(Composed((narrow, found)), rows.shape[1:]) if narrow else found, sum(history.seconds)


def _objective(bench: Bench, objective: str, seed: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Compressor, posterior, and what that says of every observation beside the chains."""
    folder.mkdir(parents=True, exist_ok=True)
    settings, parameters = bench.configuration.posterior, bench.model.parameters
    key = jax.random.fold_in(bench.key(objective), seed)
    compressor, seconds = _compressor(bench, objective, key, folder, progress)
    looked = bench.looked_at(objective)
    parts = {part: bench.part(looked, part, folder) for part in PARTS}
    parts["training"] = shares(looked, *parts["training"])[1]
    compressor = whitened(compressor, parts["training"][1])  # names summaries that have collapsed
    told = {
        "objective": objective, "recipe": "neural-summaries", "sees": looked, "seed": seed, "model": digest(bench.model),
        "simulations": simulations(bench.configuration, objective), "revision": revision(),
    }  # fmt: skip
    save_compressor(folder / "compressor.eqx", compressor, told)
    theta = {part: pair[0] for part, pair in parts.items()}
    t = {part: compress(compressor, pair[1]) for part, pair in parts.items()}
    source, held_out = (_stored(theta[part], t[part], bench.configuration.training.batch) for part in PARTS[:2])
    members = []
    for member in range(settings.members):
        posterior, _ = train_npe(
            parameters, source, held_out,
            key=jax.random.fold_in(stream(key, "posterior"), member), density=functools.partial(real_nvp, width=settings.width),
            optimiser=cosine_adam(settings.learning_rate, settings.epochs * source.steps_per_epoch), max_epochs=settings.epochs,
            patience=settings.epochs, average=AVERAGE, checkpoint=folder / f"posterior.{member}", progress=progress,
            stage=f"{objective}: posterior",
        )  # fmt: skip
        members.append(unwatched(posterior))
    posterior = EnsemblePosterior(tuple(members))
    kept = mutual_information(
        apply_many(posterior.log_prob, theta["calibration"], t["calibration"], batch_size=250),
        np.asarray(jax.vmap(parameters.log_prob)(jnp.asarray(theta["calibration"]))),
    )
    draws = sample_many(posterior, stream(key, "calibration"), t["calibration"], CALIBRATION_DRAWS)
    estimates = regress(theta["training"], t["training"], t["calibration"])
    tested = calibrate(
        theta["calibration"], draws, names=parameters.names, estimates=estimates,
        budget=Budget().shared(len(get_args(Objective))), key=stream(key, "tests"),
    )  # fmt: skip
    observed = read_arrays(folder.parent / f"observed.{looked}" / "rows.npz")["rows"]
    found = sample_many(posterior, stream(key, "draws"), compress(compressor, observed), settings.draws)
    write_arrays(folder / "draws.npz", theta=found)
    if seed == 0 and objective in LOOKED_THROUGH:
        whole = Composed((bench.features(looked, folder), compressor))
        _look_through(bench, whole, theta["training"], t["training"], folder)
    values = {"seconds": seconds, "information": kept.value, "information_error": kept.uncertainty or 0.0}
    values["miscalibrated"] = sum(number.verdict == "fail" for number in tested.report.numbers)
    for i, one in enumerate(found):
        progress("comparing", i, len(found))
        values |= {f"{name}/{i}": value for name, value in _merits(one, parameters.names).items()}
        values[f"c2st/{i}"] = _distance(bench, one, folder.parent / f"reference.{i}", stream(key, "c2st"))
    return Measured(values)


def _look_through(
    bench: Bench, function: Callable, theta: Float[np.ndarray, "n p"], t: Float[np.ndarray, "n s"], folder
) -> None:
    """How pixels of the first observation move the best linear estimate of σ8 from the summary."""
    column = theta[:, bench.model.parameters.index("sigma_8")]
    weights = np.linalg.lstsq(t - t.mean(axis=0), column - column.mean(), rcond=None)[0]
    observed = bench.observe(0)
    sensitivity = _gradient(function, observed, jnp.asarray(weights, jnp.float32))
    write_arrays(folder / "sensitivity.npz", observed=np.asarray(observed), sensitivity=np.asarray(sensitivity))


@eqx.filter_jit
def _gradient(function, data, weights):
    # Weights of a network that are arguments are not folded into the program, which takes minutes for a large one.
    return jax.grad(lambda x: function(x) @ weights)(data)


def _distance(bench: Bench, draws: Float[np.ndarray, "n p"], reference: pathlib.Path, key: Key[Array, ""]) -> float:
    """C2ST of draws of a posterior against draws of the chains of the same observation."""
    theta = read_arrays(reference / "chains.npz")["theta"].reshape(-1, draws.shape[1])
    n = min(bench.configuration.distance_draws, len(draws), len(theta))
    return float(c2st(draws[:n], thinned(theta, n), units=UNITS, key=key).numbers[0].value)
