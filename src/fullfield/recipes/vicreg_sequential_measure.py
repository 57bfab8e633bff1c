"""Cells of sequential inference on an emulator of self-supervised summaries."""

import functools
import pathlib
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core import load_module, save_module
from fullfield._core.progress import Progress
from fullfield.compression import compress, standardising
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import c2st, Number, Report
from fullfield.generative import SummaryEmulator, train_summary_emulator
from fullfield.inference.implicit import sequential, train_gaussian, train_npe
from fullfield.networks import masked_autoregressive, NormalisedMLP
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_accuracy import collapse_numbers
from fullfield.recipes.vicreg_lognormal_measure import HEAD
from fullfield.recipes.vicreg_maps import AVERAGE, BATCH, MapBench, SUMMARIES
from fullfield.recipes.vicreg_sequential import VICRegSequentialConfiguration
from fullfield.simulators import LognormalOverdensity
from fullfield.training import cosine_adam


TRUTH = (0.3, 0.8)
DRAWS = 10_000
EMULATOR_RATE = 3e-3  # published: 1e-3 without an average of weights, which after 60 epochs is 2.4 nats short of this
CHECKED = 2000  # maps at the true parameters
SHOWN = 4  # summaries
NODES = 101  # of the grid on which the emulator's and the maps' own posterior are drawn
ORDER = ("rounds", "network", "emulator", "maps")
NAMED = {
    "rounds": "rounds on the emulator",
    "network": "inference network",
    "emulator": "emulator, exactly",
    "maps": "maps, exactly",
}


def sequential_study(configuration: VICRegSequentialConfiguration) -> Study:
    """Summaries, an emulator of them, rounds on it, and three other posteriors of the same map."""
    bench, settings = MapBench(configuration), configuration
    emulated, rounds = (bench.trained, settings.emulator_epochs, EMULATOR_RATE), (settings.rounds, settings.simulations)
    cells = [
        bench.cell("vicreg"),
        Cell("emulator/summary", emulated, functools.partial(_emulate, bench, settings.emulator_epochs), effort=4),
        Cell("check/emulator", (emulated, CHECKED), functools.partial(_check, bench)),
        Cell("posterior/rounds", (emulated, rounds), functools.partial(_rounds, bench, *rounds), effort=3),
        Cell("posterior/emulator", emulated, functools.partial(_on_grid, bench, True)),
        Cell(
            "posterior/network", (bench.trained, settings.head_epochs), functools.partial(_network, bench, settings.head_epochs)
        ),
        Cell("posterior/maps", (bench.made, NODES), functools.partial(_on_grid, bench, False)),
    ]
    return Study(cells, functools.partial(_judge, bench), functools.partial(_pictures, bench))


def _observed(bench: MapBench) -> Float[Array, "y x 1"]:
    """ln(1 + δ) of the map that is observed."""
    return jnp.log1p(eqx.filter_jit(bench.model.simulate_at)(bench.key("observation"), jnp.asarray(TRUTH)))


def _summary(bench: MapBench, folder: pathlib.Path) -> Float[Array, " s"]:
    return bench.compressor("vicreg", folder)(_observed(bench))


def _emulate(bench: MapBench, epochs: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """p(S | θ) from the summaries of all views."""
    folder.mkdir(parents=True, exist_ok=True)
    compressor = bench.compressor("vicreg", folder)
    sets = {part: bench.summaries(compressor, part, progress) for part in ("train", "validation")}
    source, held_out = (StoredSimulations(*rows, batch_size=BATCH) for rows in sets.values())
    emulator, history = train_summary_emulator(
        bench.model.parameters, source, held_out, key=bench.key("emulator"),
        optimiser=cosine_adam(EMULATOR_RATE, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
        average=AVERAGE, checkpoint=folder / "training", progress=progress,
    )  # fmt: skip
    save_module(folder / "emulator.eqx", emulator)
    return Measured({"loss": history.best, "seconds": sum(history.seconds)})


def _emulator(bench: MapBench, folder: pathlib.Path) -> SummaryEmulator:
    parameters = bench.model.parameters
    blank = SummaryEmulator(parameters, masked_autoregressive(SUMMARIES, parameters.size, key=bench.key("blank")))
    return load_module(folder.parent / "emulator.summary" / "emulator.eqx", blank)


def _check(bench: MapBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Emulated summaries beside those of maps, all at the true parameters: how well a classifier tells them apart."""
    progress("maps at the truth", 0, 1)
    keys, theta = jax.random.split(bench.key("check"), CHECKED), jnp.asarray(TRUTH)
    simulate = lambda one: jnp.log1p(bench.model.simulate_at(one, theta))  # noqa: E731
    maps = eqx.filter_jit(lambda many: jax.lax.map(simulate, many, batch_size=50))(keys)
    actual, emulator = compress(bench.compressor("vicreg", folder), maps), _emulator(bench, folder)
    emulated = np.asarray(eqx.filter_jit(jax.vmap(lambda one: emulator.simulate_at(one, theta)))(keys))
    write_arrays(folder / "summaries.npz", actual=actual, emulated=emulated)
    (accuracy,) = c2st(emulated, actual, key=bench.key("c2st")).numbers
    return Measured({"c2st": accuracy.value, "uncertainty": accuracy.uncertainty or 0.0}, simulations=CHECKED)


def _rounds(bench: MapBench, rounds: int, simulations: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Truncated proposals (Deistler, Goncalves & Macke 2022): no correction of the loss, no leakage."""
    observed = _summary(bench, folder)
    posterior, used = sequential(
        train_npe, _emulator(bench, folder), observed, key=bench.key("rounds"), rounds=rounds, simulations=simulations,
        directory=folder / "rounds", progress=progress,
    )  # fmt: skip
    draws = posterior.sample(bench.key("draws"), observed, DRAWS)
    return _measured(folder, np.asarray(draws), sum(used.simulations))


def _network(bench: MapBench, epochs: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """The Gaussian that the inference network reads off the summary."""
    compressor = bench.compressor("vicreg", folder)
    sets = {part: bench.summaries(compressor, part, progress) for part in ("train", "validation")}
    source, held_out = (StoredSimulations(*rows, batch_size=BATCH) for rows in sets.values())
    network = standardising(NormalisedMLP(HEAD, key=bench.key("vicreg head")), jnp.asarray(sets["train"][1]))
    posterior, _ = train_gaussian(
        bench.model.parameters, network, source, held_out,
        key=bench.key("inference"), optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs,
        patience=epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage="inference network",
    )  # fmt: skip
    draws = posterior.sample(bench.key("draws"), np.asarray(_summary(bench, folder)), DRAWS)
    return _measured(folder, np.asarray(draws), 0)


def _on_grid(bench: MapBench, emulated: bool, folder: pathlib.Path, progress: Progress) -> Measured:
    """Draws of the posterior under the emulator's own likelihood, or under that of the maps, from a grid."""
    progress("likelihood on a grid", 0, 1)
    model = _emulator(bench, folder) if emulated else bench.model
    data = _summary(bench, folder) if emulated else jnp.expm1(_observed(bench))
    bounds = model.parameters.bounds
    axes = [np.linspace(low, high, NODES + 1)[:-1] + (high - low) / (2 * NODES) for low, high in bounds]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    log_likelihood = np.asarray(_likelihoods(model, jnp.asarray(grid), data), float)
    weight = np.exp(log_likelihood - log_likelihood.max())
    random = np.random.default_rng(bench.configuration.seed)
    found = grid[random.choice(len(grid), DRAWS, p=weight / weight.sum())]
    cell = np.array([axis[1] - axis[0] for axis in axes])
    return _measured(folder, found + cell * random.uniform(-0.5, 0.5, found.shape), 0)


@eqx.filter_jit
def _likelihoods(model: SummaryEmulator | LognormalOverdensity, grid: Array, data: Array) -> Array:
    return jax.lax.map(lambda theta: model.log_likelihood(theta, data), grid, batch_size=64)


def _measured(folder: pathlib.Path, draws: Float[np.ndarray, "n 2"], simulations: int) -> Measured:
    """Means, deviations, and how far from the mean the truth lies: the share of draws that lie nearer (Mahalanobis)."""
    write_arrays(folder / "draws.npz", theta=draws)
    mean, inverse = draws.mean(axis=0), np.linalg.inv(np.cov(draws, rowvar=False))
    distance = lambda rows: np.einsum("...i,ij,...j", rows - mean, inverse, rows - mean)  # noqa: E731
    values = {f"deviation/{i}": float(draws[:, i].std()) for i in range(2)}
    values["area"] = float(np.linalg.det(inverse) ** -0.5)
    values["level"] = float(np.mean(distance(draws) < distance(np.array(TRUTH))))
    return Measured(values, simulations=simulations)


def _judge(bench: MapBench, found: Mapping[str, Measured]) -> Report:
    cost, apart = found["posterior/rounds"].simulations, found["check/emulator"].values
    numbers = [Number("emulator/c2st at the truth, emulated and actual summaries", apart["c2st"], apart["uncertainty"])]
    summaries, parameters = found["summary/vicreg"].values, bench.model.parameters.size if bench.enough else None
    numbers += collapse_numbers("vicreg", summaries, parameters)
    for one in ORDER:
        values = found[f"posterior/{one}"].values
        of_emulator = cost if one == "rounds" else None
        for i, name in enumerate(bench.model.parameters.names):
            numbers.append(Number(f"deviation/{one}/{name}", values[f"deviation/{i}"], simulations=of_emulator))
        bar = "<= 0.95" if one == "rounds" else None
        numbers.append(Number(f"truth/{one}/level at which it lies", values["level"], bar=bar))
    area = {one: found[f"posterior/{one}"].values["area"] for one in ORDER}
    numbers.append(
        Number("ratio/area, rounds over network", area["rounds"] / area["network"], bar="<= 1.1" if bench.enough else None)
    )
    bar = "in [0.85, 1.15]" if bench.enough else None
    numbers.append(Number("ratio/area, rounds over emulator", area["rounds"] / area["emulator"], bar=bar))
    numbers.append(Number("ratio/area, rounds over maps", area["rounds"] / area["maps"]))
    return Report(tuple(numbers))


def _pictures(bench: MapBench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    del found
    draws = {one: read_arrays(directory.checkpoint(f"posterior.{one}") / "draws.npz")["theta"] for one in ORDER}
    parameters = bench.model.parameters
    figure = plots.corner(
        draws["rounds"], parameters.labels, parameters.bounds, name=NAMED["rounds"], truth=np.array(TRUTH),
        others={NAMED[one]: draws[one] for one in ORDER[1:]},
    )  # fmt: skip
    checked = read_arrays(directory.checkpoint("check.emulator") / "summaries.npz")
    beside = plots.corner(
        checked["actual"][:, :SHOWN], [f"S_{{{i + 1}}}" for i in range(SHOWN)], [(-np.inf, np.inf)] * SHOWN,
        name="summaries of maps", others={"emulated summaries": checked["emulated"][:, :SHOWN]},
    )  # fmt: skip
    return [
        Illustration(
            "Emulator", "emulator", beside,
            f"Summaries of {CHECKED} maps at the true parameters, and as many emulated ones: the first {SHOWN} of {SUMMARIES}.",
        ),
        Illustration(
            "Posterior", "posterior", figure,
            "One map's posterior from rounds on the emulator, from the inference network, under the emulator's own likelihood, "
            "and from all of the map.",
        )
    ]  # fmt: skip
