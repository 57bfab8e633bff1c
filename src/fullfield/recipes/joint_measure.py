"""Cells of a joint study: simulations, denoiser, and one by one the observations whose answer is known."""

import functools
import pathlib
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import load_module, on_every_core, save_module, stream
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations, stream_draws
from fullfield.diagnostics import c2st, thinned
from fullfield.fields import band_powers, Bands, hartley, pair_indices
from fullfield.generative import Adams, Condition, DPMSolver, JointDenoiser, JointPosterior, Layout, train_joint
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.joint_bench import AbstractBench, AbstractFrame, branch, CHUNK
from fullfield.recipes.study import Measured
from fullfield.simulators import even_batch
from fullfield.training import cosine_adam, History


AVERAGE = 0.999
LEAST = 1.0  # seconds over which draws are timed
TOGETHER = 50  # draws at once
LEAST_TOGETHER = 26  # evaluations of `DPMSolver` for variances right to two percent
UNITS = 60  # of the classifier, as in the lensing benchmark


def posterior(bench: AbstractBench, folder: pathlib.Path) -> JointPosterior:
    """The trained posterior; `folder` is that of any cell."""
    denoiser = load_module(folder.parent / "denoiser.posterior" / "denoiser.eqx", _untrained(bench))
    settings, frame = bench.configuration, bench.frame(folder)
    together = settings.together
    solver = DPMSolver(max(LEAST_TOGETHER, settings.evaluations)) if together else Adams(settings.evaluations)
    return JointPosterior(
        bench.model.parameters, denoiser, bench.see(folder), solver, together, frame.given, frame.maps, frame.correction,
        bench.prepare,
    )  # fmt: skip


def _untrained(bench: AbstractBench) -> JointDenoiser:
    settings, layout = bench.configuration.denoiser, bench.layout
    bins = layout.shape[-1]
    return JointDenoiser.make(
        bench.model.parameters.size, layout.summary, bins, jnp.asarray(bench.survey), key=jax.random.key(0),
        branch=branch(settings, bins), colour=bench.colour,
    )  # fmt: skip


def simulate(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """All parts of the simulations."""
    total = 0
    for part in ("training", "validation", "calibration"):
        arrays = bench.simulate(part, folder, progress, with_data=part == "calibration")
        write_arrays(folder / f"{part}.npz", **arrays)
        total += len(arrays["theta"])
    return Measured({}, simulations=total)


def simulations_of(folder: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """Simulations of one purpose; `folder` is that of any cell."""
    return read_arrays(folder.parent / "simulations.all" / f"{name}.npz")


def train(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """The denoiser."""
    _, history = _trained(
        bench, bench.layout, lambda theta, rows: rows, bench.key("denoiser"), folder, progress,
        known=bench.known, colour=bench.colour,
    )  # fmt: skip
    return Measured({"seconds": sum(history.seconds), "loss": history.best})


def learn_prior(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """The same denoiser without observations, and its draws beside simulations."""
    shape = bench.layout.shape
    layout, size = Layout(shape, 1), int(np.prod(shape))
    fields = functools.partial(maps_of, bench.frame(folder), bench.layout)

    def blind(theta, rows):
        nothing = np.zeros((len(rows), size + 1), np.float32)
        return np.concatenate([fields(theta, rows).reshape(-1, size), nothing], axis=1)

    denoiser, history = _trained(bench, layout, blind, bench.key("prior"), folder, progress)
    prior = JointPosterior(bench.model.parameters, denoiser, lambda data: data, DPMSolver(26), together=True)
    truth, nothing = simulations_of(folder, "validation"), Condition(jnp.zeros(shape), jnp.zeros(1))
    count = len(truth["theta"]) // TOGETHER
    parts = [prior.draw(jax.random.fold_in(bench.key("prior draws"), i), nothing, TOGETHER) for i in range(count)]
    theta, maps = (np.concatenate([np.asarray(part[k]) for part in parts]) for k in range(2))
    true = truth["theta"][: len(maps)]
    both = [
        np.concatenate([one, np.log(np.asarray(_powers(bench, jnp.asarray(field))))], axis=1)
        for one, field in ((theta, maps), (true, fields(true, truth["rows"][: len(maps)])))
    ]
    values = {"seconds": sum(history.seconds)}
    values["c2st"] = distance(both[1][None], both[0], bench.key("prior c2st"))
    values["c2st/parameters"] = distance(true[None], theta, bench.key("prior c2st"))
    return Measured(values)


def maps_of(
    frame: AbstractFrame, layout: Layout, theta: Float[np.ndarray, "m p"], rows: Float[np.ndarray, "m k"]
) -> Float[np.ndarray, "m n n bins"]:
    """The maps behind rows of simulations."""
    parts = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
    return np.concatenate(list(map(np.asarray, on_every_core(lambda p: _some_maps(frame, layout, theta[p], rows[p]), parts))))


@eqx.filter_jit
def _some_maps(frame, layout, theta, rows):
    one = lambda pair: frame.maps(pair[0], *layout.unpack(pair[1]))  # noqa: E731
    return jax.lax.map(one, (theta, rows), batch_size=even_batch(len(theta), 10))


@eqx.filter_jit
def filtered_many(bench: AbstractBench, data: Float[Array | np.ndarray, "m ..."]) -> Float[Array, "m n n bins"]:
    """Wiener filtered maps of many observations."""
    return jax.lax.map(bench.filtered, jnp.asarray(data))


@eqx.filter_jit
def _powers(bench, maps):
    first, second = pair_indices(maps.shape[-1])
    return jax.vmap(lambda one: band_powers(bench.bands, one)[first == second].ravel())(maps)


def _trained(bench, layout, change, key, folder, progress, **often) -> tuple[JointDenoiser, History]:
    settings = bench.configuration.denoiser
    source, held_out = (
        StoredSimulations(part["theta"], change(part["theta"], part["rows"]), batch_size=settings.batch, memory=2**33)
        for part in (simulations_of(folder, "training"), simulations_of(folder, "validation"))
    )
    bins = layout.shape[-1]
    denoiser, history = train_joint(
        bench.model.parameters, layout, source, held_out, key=key, survey=bench.survey,
        branch=branch(settings, bins),
        optimiser=cosine_adam(settings.learning_rate, settings.epochs * source.steps_per_epoch),
        max_epochs=settings.epochs, patience=settings.epochs, average=AVERAGE, checkpoint=folder / "training",
        progress=progress, **often,
    )  # fmt: skip
    save_module(folder / "denoiser.eqx", denoiser)
    return denoiser, history


def train_flow(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """The same summaries by a flow for the parameters alone, and its draws at every observation."""
    parts, layout, epochs = {}, bench.layout, 30
    for name in ("training", "validation"):
        part = simulations_of(folder, name)
        parts[name] = StoredSimulations(part["theta"], part["rows"][:, layout.size - layout.summary :], batch_size=256)
    source = parts["training"]
    found, _ = train_npe(
        bench.model.parameters, source, parts["validation"], key=bench.key("npe"),
        optimiser=cosine_adam(5e-3, epochs * source.steps_per_epoch), max_epochs=epochs, average=AVERAGE,
        checkpoint=folder / "training", progress=progress, stage="NPE",
    )  # fmt: skip
    settings, see = bench.configuration, bench.see(folder)
    observed = np.stack([np.asarray(seen(see, bench.observe(i)[2]).summary) for i in range(settings.observations)])
    write_arrays(folder / "draws.npz", theta=sample_many(found, bench.key("npe draws"), observed, settings.compared))
    return Measured({})


def mode_sums(
    bands: Bands, truth: Float[np.ndarray, "t n n bins"], estimate: Float[np.ndarray, "t n n bins"]
) -> tuple[Float[np.ndarray, "bins bands"], Float[np.ndarray, "bins bands"], Float[np.ndarray, "bins bands"]]:
    """Power of the truth, power of an estimate and their cross power, summed over simulations and the modes of each band."""
    modes, plane = [np.asarray(hartley(bands.sky, jnp.asarray(maps))) for maps in (truth, estimate)], np.asarray(bands.plane)
    products = modes[0] ** 2, modes[1] ** 2, modes[0] * modes[1]
    first, second, cross = (np.einsum("byx,tyxc->cb", plane, product) for product in products)
    return first, second, cross


def refer(bench: AbstractBench, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """What the answer to one observation is."""
    return bench.reference(i, folder, progress)


def compare(bench: AbstractBench, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Draws at one observation beside the reference's."""
    settings, names = bench.configuration, bench.model.parameters.names
    _, truth, data = bench.observe(i)
    found, key = posterior(bench, folder), jax.random.fold_in(bench.key("draws"), i)
    condition = seen(found.see, data)
    exact = read_arrays(folder.parent / f"reference.{i}" / "exact.npz")
    theta, maps = stored_draws(found, condition, stream(key, "maps"), settings.maps, folder, progress)
    alone = np.asarray(found.draw_parameters(stream(key, "parameters"), condition, settings.maps))
    write_arrays(
        folder / "draws.npz", theta=theta, alone=alone, mean=maps.mean(0), std=maps.std(0), some=maps[:4],
        truth=np.asarray(truth), filtered=np.asarray(filtered_many(bench, data[None])[0]),
    )  # fmt: skip
    npe = read_arrays(folder.parent / "denoiser.npe" / "draws.npz")["theta"][i][: settings.maps]
    flat = exact["theta"].reshape(-1, len(names))
    half, other = np.array_split(flat, 2)
    values = {
        "c2st": distance(exact["theta"], theta, stream(key, "c2st")),
        "c2st/alone": distance(exact["theta"], alone, stream(key, "c2st")),
        "c2st/npe": distance(exact["theta"], npe, stream(key, "c2st")),
        "c2st/floor": distance(half[None], thinned(other, min(settings.maps, len(other))), stream(key, "c2st floor")),
    }
    for k, name in enumerate(names):
        values[f"shift/{name}"] = float((theta[:, k].mean() - flat[:, k].mean()) / flat[:, k].std())
        values[f"width/{name}"] = float(theta[:, k].std() / flat[:, k].std())
    values["map/spread"] = float(np.sqrt((maps.var(0) / exact["std"] ** 2).mean()))
    values["map/difference"] = float(np.sqrt(((maps.mean(0) - exact["mean"]) ** 2 / exact["std"] ** 2).mean()))
    modes = {
        name: np.asarray(hartley(bench.sky, jnp.asarray(value)))
        for name, value in (("truth", truth), ("mean", maps.mean(0)), ("exact", exact["mean"]))
    }
    plane = np.asarray(bench.bands.plane)
    for first, second in (("truth", "truth"), ("mean", "mean"), ("exact", "exact"), ("truth", "mean"), ("truth", "exact")):
        power = np.einsum("byx,yxc->b", plane, modes[first] * modes[second])
        values |= {f"power/{first}-{second}/{band}": float(value) for band, value in enumerate(power)}
    return Measured(values, gradients=settings.maps * bench.frame(folder).gradients)


def stored_draws(
    found: JointPosterior, condition: Condition, key: Array, n: int, folder: pathlib.Path, progress: Progress
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n m m bins"]]:
    """Parameters and maps of one observation, written to `draws` in the folder as they come."""
    chunks = -(-n // TOGETHER)

    def draw(number):
        progress("drawing maps", number * TOGETHER, n)
        theta, maps = found.draw(jax.random.fold_in(key, number), condition, TOGETHER)
        return np.asarray(theta), np.asarray(maps)

    group = stream_draws(folder / "draws", draw, chunks)
    return np.asarray(group["theta"])[:n], np.asarray(group["maps"])[:n]


def time_draws(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Joint draws per second, many of one observation together."""
    del progress
    found = posterior(bench, folder)
    condition = seen(found.see, bench.observe(0)[2])
    done = 0
    jax.block_until_ready(found.draw(jax.random.key(0), condition, TOGETHER))
    start = time.perf_counter()
    while time.perf_counter() - start < LEAST:
        jax.block_until_ready(found.draw(jax.random.key(done), condition, TOGETHER))
        done += TOGETHER
    return Measured({"draws_per_second": done / (time.perf_counter() - start)})


def distance(reference: Float[np.ndarray, "c n p"], draws: Float[np.ndarray, "m p"], key: Array) -> float:
    """C2ST of draws against as many of some chains, evenly thinned."""
    flat = reference.reshape(-1, draws.shape[1])
    n = min(len(draws), len(flat))
    return float(c2st(draws[:n], thinned(flat, n), units=UNITS, key=key).numbers[0].value or 0.0)


def residuals_of(
    bench: AbstractBench, data: Float[Array, "..."], maps: Float[Array, "s n n bins"]
) -> Float[np.ndarray, "s n n channels"]:
    """(Data - prediction) / noise of some maps of one observation."""
    return np.asarray(_residual_many(bench, data, maps))


@eqx.filter_jit
def _residual_many(bench, data, maps):
    return jax.vmap(lambda field: bench.residual(data, field))(maps)


@eqx.filter_jit
def seen(see: Callable[[Array], Condition], data: Float[Array, "..."]) -> Condition:
    """What is seen of one observation."""
    return see(data)
