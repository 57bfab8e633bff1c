"""Cells of the bridge: suites, carriers of cheap maps to costly ones, maps compared, posteriors compared."""

import functools
import pathlib
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    compress,
    Compressor,
    Joined,
    load_compressor,
    save_compressor,
    standardising,
    train_compressor,
    VMIM,
    whitened,
)
from fullfield.datasets import FreshNoise, StoredSimulations, turn
from fullfield.diagnostics import Budget, c2st, calibrate, regress
from fullfield.generative import (
    AbstractCoupling,
    CoupledSimulations,
    EqualSeeds,
    Independent,
    MapsAlone,
    train_transport,
    TransferFunction,
    Triangular,
)
from fullfield.inference import EnsemblePosterior, sample_many
from fullfield.inference.implicit import train_npe
from fullfield.inference.posterior import unwatched
from fullfield.networks import apply_many, MLP, real_nvp
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.bridge import BridgeConfiguration
from fullfield.recipes.bridge_bench import BridgeBench
from fullfield.recipes.bridge_judge import judge
from fullfield.recipes.bridge_maps import compare_maps
from fullfield.recipes.bridge_pictures import pictures
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import Simulations
from fullfield.training import cosine_adam


OWN = {"few": "costly", "reference": "reference", "again": "reference"}
"""Posteriors from maps of the particle mesh: those that carriers learn from, those to match, and these from other weights."""
SUMMARIES, WIDTH, UNITS = 4, 128, 60
AVERAGE = 0.999  # decay of the running average of all weights
CALIBRATION_DRAWS = 500


def bridge_study(configuration: BridgeConfiguration) -> Study:
    """Suites, carriers, maps behind each carrier, and posteriors from each."""
    bench = BridgeBench(configuration)
    made = configuration.seed, bench.models
    counts = configuration.simulations.model_dump()
    learnt = made, counts, configuration.transport
    told = (learnt, configuration.posterior, bench.bands, shared_by(configuration))
    suites = ["cheap", "costly", "reference", "test", "tested"]
    if "paired" in configuration.carriers:
        suites.append("paired")
    seen = configuration.observations, configuration.compared
    kinds = ("reference", "again", "few", "none", *configuration.carriers)
    cells = [
        *(Cell(f"suite/{name}", (made, bench.count(name)), functools.partial(bench.simulate, name), 6) for name in suites),
        *(
            Cell(f"carrier/{name}", (learnt, name), functools.partial(_carry, bench, name), 8)
            for name in configuration.carriers
        ),
        *(
            Cell(f"maps/{name}", (learnt, name), functools.partial(compare_maps, bench, name))
            for name in ("none", *configuration.carriers)
        ),
        Cell("compressor/shared", told, functools.partial(_compress, bench), 4),
        *(Cell(f"posterior/{kind}", (told, kind), functools.partial(_infer, bench, kind), 3) for kind in kinds),
        *(Cell(f"against/{kind}", (told, seen, kind), functools.partial(_compare, bench, kind), 2) for kind in kinds[1:]),
    ]
    return Study(cells, functools.partial(judge, configuration), functools.partial(pictures, bench))


def shared_by(configuration: BridgeConfiguration) -> str:
    """Whose maps the compressor of all posteriors is trained on: no map of the reference is in it."""
    return "transport" if "transport" in configuration.carriers else configuration.carriers[0]


def _carry(bench: BridgeBench, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Learn a carrier from few costly maps, and carry the cheap ones."""
    began, settings = time.perf_counter(), bench.configuration.transport
    cheap, costly = bench.suite("paired" if name == "paired" else "cheap", folder), bench.suite("costly", folder)
    values = {}
    if name == "transfer":
        carrier = TransferFunction.of_suites(cheap, costly)
    else:
        source, held_out = _pairs(bench, name, cheap, costly)
        quality = source.quality(bench.key("quality"))
        values = {f"mismatch/{one}": float(m) for one, m in zip(bench.cheap.parameters.names, quality.mismatch, strict=True)}
        values |= {"entropy": quality.entropy, "partners": quality.partners}
        steps = settings.epochs * source.steps_per_epoch
        carrier, history = train_transport(
            source, held_out, key=bench.key(name), optimiser=cosine_adam(settings.learning_rate, steps),
            max_epochs=settings.epochs, patience=settings.epochs, average=max(0.0, min(AVERAGE, 1 - 10 / steps)),
            checkpoint=folder / "training", progress=progress, stage=name,
        )  # fmt: skip
        values |= {"loss": min(history.held_out), "first_loss": history.held_out[0]}
    values["seconds"] = time.perf_counter() - began
    folder.mkdir(parents=True, exist_ok=True)
    save_module(folder / "carrier.eqx", carrier)
    for of in ("cheap", "tested"):
        maps = bench.suite(of, folder)
        carried = apply_many(carrier, maps.theta, maps.data, batch_size=50, progress=progress, stage=f"carrying by {name}")
        write_arrays(folder / f"{of}.npz", maps=carried)
    return Measured(values)


def _pairs(bench, name, cheap, costly):
    """Pairs to train on and held-out ones, of either suite a tenth."""
    settings = bench.configuration.transport

    def part(suite, first):
        cut = len(suite.theta) * 9 // 10
        return jax.tree.map(lambda x: x[:cut] if first else x[cut:], suite)

    coupling = _coupling(name, settings.weight)
    return [
        CoupledSimulations(
            part(cheap, first), part(costly, first), coupling, batch_size=settings.batch, augment=turn if first else None
        )
        for first in (True, False)
    ]


def _coupling(name: str, weight: float) -> AbstractCoupling:
    couplings = {
        "transport": Triangular(weight), "minibatch": MapsAlone(), "unconditional": Independent(), "paired": EqualSeeds(),
    }  # fmt: skip
    return couplings[name]


class Look(eqx.Module):
    """Statistics of a map under noise.

    Args:
        statistics: of noisy maps.
        noise: what is added.
    """

    statistics: Joined
    noise: FreshNoise

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"], maps: Float[Array, "n n b"]) -> Float[Array, " k"]:
        """Statistics (k,) of maps (n, n, bins)."""
        return self.statistics(self.noise(key, theta, maps))


def rows(
    bench: BridgeBench, simulations: Simulations, key: Key[Array, ""], looks: int, progress: Progress, stage: str
) -> tuple[Float[np.ndarray, "m p"], Float[np.ndarray, "m k"]]:
    """Parameters and statistics of maps under noise, every map as often as there are looks; map by map, look by look."""
    look = Look(bench.statistics(), FreshNoise(bench.costly.survey.noise_scale))
    theta, maps = (jnp.repeat(x, looks, axis=0) for x in (simulations.theta, simulations.data))
    found = apply_many(look, jax.random.split(key, len(theta)), theta, maps, batch_size=100, progress=progress, stage=stage)
    return np.asarray(theta), found


def _network(bench: BridgeBench, features: int) -> MLP:
    return MLP(features, SUMMARIES, key=bench.key("network"), width=WIDTH)


def _dealt(theta, found, looks):
    """Rows to train on and the last tenth of the maps, which is held out."""
    cut = len(theta) // looks * 9 // 10 * looks
    return [StoredSimulations(theta[part], found[part], batch_size=100) for part in (slice(cut), slice(cut, None))]


def _compress(bench: BridgeBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """One compressor for all posteriors, so that they differ by the maps that they are learnt from alone."""
    settings, maps = bench.configuration.posterior, bench.carried(shared_by(bench.configuration), "cheap", folder)
    theta, found = rows(bench, maps, bench.key("compressor noise"), settings.looks, progress, "looking")
    source, held_out = _dealt(theta, found, settings.looks)
    network = _network(bench, found.shape[1])
    compressor, history = train_compressor(
        VMIM(), network, bench.cheap.parameters, source, held_out, key=bench.key("compressor"), max_epochs=settings.epochs,
        patience=settings.epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress,
    )  # fmt: skip
    compressor = whitened(compressor, jnp.asarray(found))
    save_compressor(folder / "compressor.eqx", compressor, {"recipe": "bridge-simulators"})
    write_arrays(folder / "examples.npz", rows=found[:2000])
    return Measured({"loss": min(history.held_out)})


def _compressor(bench: BridgeBench, folder: pathlib.Path) -> Compressor:
    found = jnp.asarray(read_arrays(folder.parent / "compressor.shared" / "examples.npz")["rows"])
    blank = whitened(standardising(_network(bench, found.shape[1]), found), found)
    return load_compressor(folder.parent / "compressor.shared" / "compressor.eqx", blank)


def _infer(bench: BridgeBench, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """The posterior from one kind of maps, and what it says of maps of the particle mesh that none has seen."""
    settings, parameters = bench.configuration.posterior, bench.cheap.parameters
    folder.mkdir(parents=True, exist_ok=True)
    maps = bench.suite(OWN[kind], folder) if kind in OWN else bench.carried(kind, "cheap", folder)
    compressor, key = _compressor(bench, folder), bench.key(f"posterior {'again' if kind == 'again' else ''}")
    # Noise and weights begin alike whatever the maps, so that posteriors differ by these alone.
    theta, found = rows(bench, maps, stream(key, "noise"), settings.looks, progress, f"looking at {kind}")
    source, held_out = _dealt(theta, compress(compressor, found), settings.looks)
    members = []
    for member in range(settings.members):
        posterior, _ = train_npe(
            parameters, source, held_out, key=jax.random.fold_in(stream(key, "weights"), member),
            density=functools.partial(real_nvp, width=WIDTH // 2), max_epochs=settings.epochs, patience=settings.epochs,
            average=AVERAGE, checkpoint=folder / f"posterior.{member}", progress=progress, stage=f"posterior from {kind}",
        )  # fmt: skip
        members.append(unwatched(posterior))
    truths, seen = rows(bench, bench.suite("test", folder), bench.key("observed noise"), 1, progress, "looking at observations")
    t = compress(compressor, seen)
    draws = sample_many(EnsemblePosterior(tuple(members)), stream(key, "draws"), t, settings.draws)
    write_arrays(folder / "draws.npz", theta=draws, truths=truths, summaries=t)
    estimates = regress(theta, compress(compressor, found), t)
    tested = calibrate(
        truths, draws[:, :CALIBRATION_DRAWS], names=parameters.names, estimates=estimates, budget=Budget(),
        key=bench.key("calibration"),
    )  # fmt: skip
    numbers = tested.report.numbers
    values = {"failed": float(sum(number.verdict == "fail" for number in numbers)), "tests": float(len(numbers))}
    values |= {"tarp_failed": float(sum(n.verdict == "fail" for n in numbers if n.name.startswith("tarp")))}
    return Measured(values)


def _compare(bench: BridgeBench, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Means, widths and C2ST of one kind of posterior beside the reference, at the same observations."""
    settings, names = bench.configuration, bench.cheap.parameters.names
    n = min(settings.observations, bench.count("test"))
    own, reference = (
        read_arrays(folder.parent / f"posterior.{name}" / "draws.npz")["theta"][:n] for name in (kind, "reference")
    )
    width = reference.std(axis=1)
    shift, ratio = (own.mean(axis=1) - reference.mean(axis=1)) / width, own.std(axis=1) / width
    values = {}
    for i, name in enumerate(names):
        values |= {f"shift/{name}": float(shift[:, i].mean()), f"shift_error/{name}": float(shift[:, i].std() / np.sqrt(n))}
        values |= {f"apart/{name}": float(np.sqrt(np.mean(shift[:, i] ** 2)))}
        values |= {f"width/{name}": float(ratio[:, i].mean()), f"width_error/{name}": float(ratio[:, i].std() / np.sqrt(n))}
    found = []
    for i in range(min(settings.compared, n)):
        progress("comparing", i, min(settings.compared, n))
        found.append(c2st(own[i], reference[i], units=UNITS, key=bench.key("c2st")).numbers[0].value)
    values |= {"c2st": float(np.mean(found)), "c2st_error": float(np.std(found) / np.sqrt(len(found)))}
    return Measured(values)
