"""Cells of the comparison of self-supervised, supervised and exact inference from lognormal maps."""

import functools
import pathlib
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core.progress import Progress
from fullfield.compression import Compressor, standardising
from fullfield.datasets import StoredSimulations, turn_and_roll
from fullfield.diagnostics import calibrate, Number, Report
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.inference.posterior import unwatched
from fullfield.networks import apply_many, NormalisedMLP
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_accuracy import accuracy, accuracy_numbers, collapse_numbers, error_ratio, read_off
from fullfield.recipes.vicreg_exact import ExactPosterior, moments_of
from fullfield.recipes.vicreg_lognormal import PUBLISHED, VICRegLognormalConfiguration
from fullfield.recipes.vicreg_maps import AVERAGE, BATCH, MapBench
from fullfield.training import cosine_adam


HEAD, HEAD_RATE = (16, 256, 256, 5), 3e-3
NODES = 81  # of the grid of the exact posterior, along each parameter
CALIBRATION = (1000, 200)  # test maps at most, one of each cosmology, and draws for each
SHOWN = 100


def lognormal_study(configuration: VICRegLognormalConfiguration) -> Study:
    """Summaries by every agreement, what is inferred from them, the supervised baseline, and the exact posterior."""
    bench, epochs = MapBench(configuration), configuration.head_epochs
    cells, names = [bench.cell(agreement) for agreement in configuration.agreements], configuration.agreements
    heads = (bench.trained, configuration.head_epochs, HEAD_RATE)
    cells += [
        Cell(f"inference/{name}", (heads, name), functools.partial(_infer, bench, name, epochs), effort=2) for name in names
    ]
    first, rate = names[0], configuration.supervised_rate
    cells += [
        Cell(f"npe/{first}", (heads, first, CALIBRATION), functools.partial(_npe, bench, first, epochs), effort=2),
        Cell("inference/supervised", (heads, rate), functools.partial(_supervise, bench, rate), effort=10),
        Cell("inference/exact", (bench.made, NODES), functools.partial(_exact, bench), effort=2),
        Cell(f"ratio/{first} over supervised", (heads, rate), functools.partial(_compare, bench, first, "supervised")),
        Cell(f"ratio/{first} over exact", (heads, NODES), functools.partial(_compare, bench, first, "exact")),
    ]
    return Study(cells, functools.partial(_judge, bench, configuration), functools.partial(_pictures, bench, configuration))


class Headed(eqx.Module):
    """Encoder and inference network in one."""

    encoder: Compressor
    head: NormalisedMLP

    def __call__(self, data: Float[Array, "y x 1"], *, key: Array | None = None) -> Float[Array, "5"]:
        """Map (y, x, 1) to mean and root of the covariance; `key` is ignored."""
        return self.head(self.encoder(data))


def _infer(bench: MapBench, agreement: str, epochs: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Gaussian posteriors read off summaries."""
    compressor = bench.compressor(agreement, folder)
    sets = {part: bench.summaries(compressor, part, progress) for part in ("train", "validation", "test")}
    source, held_out = (StoredSimulations(*sets[part], batch_size=BATCH) for part in ("train", "validation"))
    network = NormalisedMLP(HEAD, key=bench.key(f"{agreement} head"))
    return _trained(bench, standardising(network, jnp.asarray(sets["train"][1])), source, held_out, sets["test"], HEAD_RATE,
                    epochs, agreement, folder, progress)  # fmt: skip


def _supervise(bench: MapBench, rate: float, folder: pathlib.Path, progress: Progress) -> Measured:
    """The same networks on the maps themselves, with labels, for as many maps as the self-supervised encoder has seen."""
    progress("simulating views", 0, 1)
    sets = {}
    for part in ("train", "validation", "test"):
        theta, maps = bench.views(part)
        sets[part] = np.repeat(theta, maps.shape[1], axis=0), maps.reshape(-1, *maps.shape[2:])
    source, held_out = (
        StoredSimulations(*sets[part], batch_size=2 * BATCH, augment=turn_and_roll) for part in ("train", "validation")
    )
    examples = sets["train"][1][: 10 * 256 : 10]
    encoder = standardising(bench.encoder(examples), jnp.asarray(examples))
    network = Headed(encoder, NormalisedMLP(HEAD, key=bench.key("supervised head")))
    epochs = max(1, round(2 * bench.configuration.epochs / bench.configuration.views))
    return _trained(bench, network, source, held_out, sets["test"], rate, epochs, "supervised", folder, progress)


def _trained(bench, network, source, held_out, test, rate, epochs, name, folder, progress) -> Measured:
    mean, deviation, values = read_off(
        bench.model.parameters, network, source, held_out, test,
        key=bench.key(f"{name} inference"), learning_rate=rate, epochs=epochs, average=AVERAGE, folder=folder,
        progress=progress, stage=f"inference, {name}",
    )  # fmt: skip
    return _measured(bench, folder, test[0], mean, deviation, values)


def _measured(bench, folder, theta, mean, deviation, values, **more) -> Measured:
    write_arrays(folder / "test.npz", theta=theta, mean=mean, deviation=deviation, **more)
    return Measured(values | accuracy(bench.model.parameters.names, theta, mean, bench.configuration.views))


def _npe(bench: MapBench, agreement: str, epochs: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Neural posterior estimation from the same summaries, and its calibration."""
    compressor, parameters = bench.compressor(agreement, folder), bench.model.parameters
    sets = {part: bench.summaries(compressor, part, progress) for part in ("train", "validation", "test")}
    source, held_out = (StoredSimulations(*sets[part], batch_size=BATCH) for part in ("train", "validation"))
    epochs = max(1, epochs // 3)  # a flow needs fewer
    posterior, _ = train_npe(
        parameters, source, held_out,
        key=bench.key("npe"), optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
        average=AVERAGE, checkpoint=folder / "training", progress=progress, stage="npe",
    )  # fmt: skip
    n, draws = CALIBRATION
    posterior = unwatched(posterior)
    # Tests take data sets for independent: views of one cosmology have the same truth.
    theta, rows = (each[:: bench.configuration.views][:n] for each in sets["test"])
    found = sample_many(posterior, bench.key("npe draws"), rows, draws)
    tested = calibrate(theta, found, names=parameters.names, key=bench.key("npe tests")).report
    log_prob = apply_many(posterior.log_prob, *sets["test"], batch_size=250)
    failed = float(sum(number.verdict == "fail" for number in tested.numbers))
    return Measured({"loss": -float(log_prob.mean()), "tests": float(len(tested.numbers)), "failed": failed})


def _exact(bench: MapBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """The posterior itself, on a grid, and its density at the truth: ln(1 + δ) has a likelihood in closed form."""
    theta, maps = bench.views("test")
    theta, maps = np.repeat(theta, maps.shape[1], axis=0), maps.reshape(-1, *maps.shape[2:])
    posterior = ExactPosterior(bench.model, NODES)
    weight, log_prob = posterior.with_log_prob(maps, theta, progress)
    mean, deviation = moments_of(posterior.grid, weight)
    return _measured(bench, folder, theta, mean, deviation, {"loss": -float(log_prob.mean())}, log_prob=log_prob)


def _compare(bench: MapBench, first: str, other: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Errors by summaries over others'."""
    del progress
    one, two = (folder.parent / f"inference.{name}" for name in (first, other))
    return Measured(error_ratio(bench.model.parameters.names, one, two, bench.configuration.views))


def _judge(bench: MapBench, configuration: VICRegLognormalConfiguration, found: Mapping[str, Measured]) -> Report:
    comparable = configuration.pixels == 100 and configuration.generator == "real-amplitude"
    names, numbers = bench.model.parameters.names, []
    for label in (*configuration.agreements, "supervised", "exact"):
        published = PUBLISHED.get(label, {}) if comparable else {}
        numbers += accuracy_numbers(label, found[f"inference/{label}"].values, names, published)
    first = configuration.agreements[0]
    for other, bar in (("supervised", "<= 1.05"), ("exact", "<= 1.1")):
        ratios = found[f"ratio/{first} over {other}"].values
        for name in names:
            of = f"ratio/{first} over {other}/{name}"
            numbers.append(
                Number(of, ratios[f"ratio/{name}"], ratios[f"uncertainty/{name}"], bar=bar if bench.enough else None)
            )
    npe = found[f"npe/{first}"].values
    numbers.append(Number(f"loss/{first}, npe", npe["loss"]))
    numbers.append(Number("calibration/npe/failed tests", npe["failed"], bar="<= 0"))
    for agreement in configuration.agreements:
        numbers += collapse_numbers(agreement, found[f"summary/{agreement}"].values, len(names) if bench.enough else None)
    return Report(tuple(numbers))


def _pictures(
    bench: MapBench, configuration: VICRegLognormalConfiguration, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    del found
    test = read_arrays(directory.checkpoint(f"inference.{configuration.agreements[0]}") / "test.npz")
    labels = [entry.label for entry in bench.model.parameters.entries]
    some = slice(0, SHOWN * configuration.views, configuration.views)
    recovered = plots.recovered(test["theta"][some], test["mean"][some], test["deviation"][some], labels)
    example = np.asarray(bench.model.simulate_at(bench.key("example"), bench.model.parameters.fiducial))[..., 0]
    return [
        Illustration(
            "Inference", "recovered", recovered,
            "Parameters inferred from self-supervised summaries, one map of each cosmology that training has not seen.",
        ),
        Illustration(
            "Maps", "map", plots.map_row(np.stack([np.log1p(example), example]), [r"$\ln(1 + \delta)$", r"$\delta$"], label=""),
            "A map at the fiducial parameters: the field that networks see, and the overdensity.",
        ),
    ]  # fmt: skip
