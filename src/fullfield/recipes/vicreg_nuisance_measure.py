"""Cells of the trial of summaries that ignore baryons in a toy spectrum."""

import functools
import itertools
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield import plots
from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    compress,
    Compressor,
    load_compressor,
    save_compressor,
    standardising,
    train_self_supervised,
    VICReg,
)
from fullfield.datasets import Pairs, split, StoredSimulations
from fullfield.diagnostics import collapse, distance_correlation, neural_information, Number, Report
from fullfield.networks import NormalisedMLP
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_accuracy import accuracy, collapse_numbers, read_off
from fullfield.recipes.vicreg_nuisance import BARS, PUBLISHED, VICRegNuisanceConfiguration
from fullfield.simulators import BrokenPowerLaw, simulate_views
from fullfield.training import cosine_adam


KINDS = {"varying": ("D",), "constant": ()}
"""What views vary beside their cosmic variance."""
TRAININGS = {"brief": "", "summary": ", trained out"}
"""Groups of summaries, those trained as long as the paper's and longer ones, and how the report says so."""
ESTIMATORS = {"brief": ("mine", "smile"), "summary": ("smile",)}
ENCODER, EXPANDER, HEAD = (140, 16, 32, 32, 32, 32, 32, 32), (32, 128, 128, 128), (32, 128, 128, 9)
BATCH = 256
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
AVERAGE = 0.99  # of weights, per step
COSMOLOGY = ("A", "B")
PIVOTAL = 0.565  # h/Mpc: bins from the pivot to here lie at it
SHOWN = 100  # spectra in the figure


def nuisance_study(configuration: VICRegNuisanceConfiguration) -> Study:
    """Summaries with and without baryons in the views, what can be inferred from them, and on what they depend."""
    bench = Bench(configuration)
    made = configuration.model_dump(include={"seed", "cosmologies", "views"})
    trained = (made, configuration.epochs)
    measured = configuration.model_dump(include={"dependence", "information", "every"})
    cells = [Cell(f"views/{kind}", (made, kind), functools.partial(bench.simulate, kind)) for kind in KINDS]
    epochs = {"brief": configuration.brief_epochs, "summary": configuration.epochs}
    cells += [
        Cell(f"{group}/{kind}", ((made, epochs[group]), kind), functools.partial(bench.summarise, group, kind), effort=effort)
        for group, effort in (("brief", 1), ("summary", 4))
        for kind in KINDS
    ]
    heads = (trained, configuration.head_epochs)
    cells.append(Cell("inference/summary", heads, functools.partial(bench.infer, True), effort=4))
    cells.append(Cell("inference/supervised", heads, functools.partial(bench.infer, False), effort=4))
    cells.append(Cell("inference/fit", made, bench.fit))
    cells += [
        Cell(
            f"dependence/{kind}{said}",
            ((made, epochs[group]), measured, kind, ESTIMATORS[group]),
            functools.partial(bench.depend, group, kind),
            effort=5 * len(ESTIMATORS[group]),
        )
        for group, said in TRAININGS.items()
        for kind in KINDS
    ]
    return Study(cells, functools.partial(_judge, bench), functools.partial(_pictures, bench))


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    configuration: VICRegNuisanceConfiguration
    model: BrokenPowerLaw = field(default_factory=BrokenPowerLaw)

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    @property
    def bins(self) -> Int[np.ndarray, " bins"]:
        """Numbers of the bins on which dependence is measured."""
        return np.arange(0, 140, self.configuration.every)

    def simulate(self, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Logarithms of spectra, views of a cosmology in a row."""
        del progress
        settings = self.configuration
        views = simulate_views(
            self.model, self.key(f"{kind} views"), settings.cosmologies, settings.views, nuisance=KINDS[kind]
        )
        labels = split(settings.cosmologies, SHARES, settings.seed)
        for number, part in enumerate(SHARES):
            rows = labels == number
            write_arrays(folder / f"{part}.npz", theta=np.asarray(views.theta)[rows], data=np.log(np.asarray(views.data))[rows])
        return Measured({}, simulations=settings.cosmologies * settings.views)

    def views_of(self, kind: str, part: str, folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (n, v, 3) and logarithms of spectra (n, v, 140); `folder` is that of any cell."""
        arrays = read_arrays(folder.parent / f"views.{kind}" / f"{part}.npz")
        return arrays["theta"], arrays["data"]

    def flat(self, kind: str, part: str, folder: pathlib.Path) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 140"]]:
        """The same, one by one."""
        theta, data = self.views_of(kind, part, folder)
        return theta.reshape(-1, 3), data.reshape(-1, 140)

    def blank(self) -> Compressor:
        """Compressor before training."""
        return standardising(NormalisedMLP(ENCODER, key=self.key("encoder")), jnp.zeros((1, 140)))

    def compressor(self, group: str, kind: str, folder: pathlib.Path) -> Compressor:
        """The trained one."""
        return load_compressor(folder.parent / f"{group}.{kind}" / "compressor.eqx", self.blank())

    def summarise(self, group: str, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Train summaries on views."""
        source, held_out = (
            StoredSimulations(theta[:, 0, :2], data, batch_size=min(BATCH, len(theta)), augment=Pairs())  # A and B
            for theta, data in (self.views_of(kind, part, folder) for part in ("train", "validation"))
        )
        epochs = self.configuration.brief_epochs if group == "brief" else self.configuration.epochs
        found, history = train_self_supervised(
            VICReg(15.0, 15.0, 1.0), NormalisedMLP(ENCODER, key=self.key("encoder")), source, held_out,
            key=self.key(f"{kind} summary"), expander=lambda size, embedding, *, key: NormalisedMLP(EXPANDER, key=key),
            optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
            checkpoint=folder / "training", progress=progress, stage=f"summaries, {kind} D",
        )  # fmt: skip
        save_compressor(folder / "compressor.eqx", found, {"recipe": "vicreg-nuisance", "views": kind})
        _, data = self.views_of(kind, "train", folder)
        values = {number.name: float(number.value or 0.0) for number in collapse(compress(found, data[:, 0])).numbers}
        return Measured(values | {"loss": history.best, "seconds": sum(history.seconds)})

    def infer(self, self_supervised: bool, folder: pathlib.Path, progress: Progress) -> Measured:
        """Gaussian posteriors of all three parameters from summaries, or by the same network from spectra with labels."""
        sets = {}
        for part in SHARES:
            theta, data = self.flat("varying", part, folder)
            sets[part] = theta, compress(self.compressor("summary", "varying", folder), data) if self_supervised else data
        source, held_out = (StoredSimulations(*sets[part], batch_size=BATCH) for part in ("train", "validation"))
        key = self.key(f"inference {self_supervised}")
        network, examples = NormalisedMLP(HEAD, key=stream(key, "head")), jnp.asarray(sets["train"][1])
        if self_supervised:
            network = standardising(network, examples)
        else:
            network = _Supervised(standardising(self.blank().network, examples), network)
        mean, deviation, values = read_off(
            self.model.parameters, network, source, held_out, sets["test"],
            key=key, learning_rate=1e-3, epochs=self.configuration.head_epochs, average=AVERAGE, folder=folder,
            progress=progress, stage="inference",
        )  # fmt: skip
        theta, _ = sets["test"]
        write_arrays(folder / "test.npz", theta=theta, mean=mean, deviation=deviation)
        r2 = 1 - np.mean((mean - theta)[:, 2] ** 2) / np.var(theta[:, 2])
        return Measured(values | self.errors(theta, mean) | {"r2/D": float(r2)})

    def fit(self, folder: pathlib.Path, progress: Progress) -> Measured:
        """Straight lines through ln P up to the pivot, each bin with its weight: what can be known of A and B without D."""
        del progress
        theta, data = self.flat("varying", "test", folder)
        k = self.model.wavenumbers
        below = k <= self.model.pivot
        line, weight = np.stack([np.ones(below.sum()), np.log(k[below])], axis=1), k[below] ** 2  # as there are modes
        level, slope = np.linalg.solve((line.T * weight) @ line, (line.T * weight) @ data[:, below].T.astype(float))
        return Measured(self.errors(theta, np.stack([np.exp(level), slope], axis=1)))

    def errors(self, theta: Float[np.ndarray, "n 3"], mean: Float[np.ndarray, "n p"]) -> dict[str, float]:
        """Errors of A and B, as `accuracy` has them, and means of their ratios to the parameters ("relative/...")."""
        theta, mean = np.abs(theta[:, :2].astype(float)), mean[:, :2] * [1, -1]  # B is negative
        ratios = np.mean(np.abs(mean / theta - 1), axis=0)
        values = accuracy(COSMOLOGY, theta, mean, self.configuration.views)
        return values | {f"relative/{name}": float(ratio) for name, ratio in zip(COSMOLOGY, ratios, strict=True)}

    def depend(self, group: str, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Distance correlation and mutual information of summaries with the power in each bin, views of varying slopes."""
        settings = self.configuration
        n = max(settings.dependence, settings.information)
        fresh = simulate_views(self.model, self.key("fresh"), n, 1, nuisance=("D",))
        data = np.log(np.asarray(fresh.data[:, 0]))
        t, values = compress(self.compressor(group, kind, folder), data), {}
        few, many = settings.dependence, settings.information
        for count, i in enumerate(self.bins):
            progress("measuring dependence", count, len(self.bins))
            values[f"correlation/{i}"] = distance_correlation(data[:few, i], t[:few])
            values[f"corrected/{i}"] = distance_correlation(data[:few, i], t[:few], corrected=True)
            for estimator in ESTIMATORS[group]:
                found = neural_information(
                    data[:many, i], t[:many], key=jax.random.fold_in(self.key(estimator), i), estimator=estimator
                )
                values[f"{estimator}/{i}"] = float(found.value or 0.0)
        return Measured(values, simulations=n)


class _Supervised(eqx.Module):
    encoder: Compressor
    head: NormalisedMLP

    def __call__(self, data):
        return self.head(self.encoder(data))


def _judge(bench: Bench, found: Mapping[str, Measured]) -> Report:
    numbers = []
    for name, label in (("summary", "vicreg"), ("supervised", "supervised"), ("fit", "power law fit to k <= 0.5")):
        values, ours = found[f"inference/{name}"].values, name == "summary"
        for parameter, measure in itertools.product(COSMOLOGY, ("error", "relative", "mse")):
            path = f"{measure}/{parameter}"
            uncertainty = values[f"uncertainty/{parameter}"] if measure == "error" else None
            held = {"bar": BARS.get(path), "published": PUBLISHED.get(path)} if ours else {}
            numbers.append(Number(f"{measure}/{label}/{parameter}", values[path], uncertainty, **held))
        if name != "fit":
            numbers.append(Number(f"loss/{label}", values["loss"], published=PUBLISHED["loss"] if ours else None))
            numbers.append(Number(f"r2/{label}/D", values["r2/D"], bar="<= 0.02" if ours else None))
    for (group, said), kind in itertools.product(TRAININGS.items(), KINDS):
        numbers += collapse_numbers(f"{kind}{said}", found[f"{group}/{kind}"].values, None)
        for measure in ("correlation", "corrected", *ESTIMATORS[group]):
            held = measure in ("correlation", "smile")
            label = f"dependence/{kind}{said}/{measure}"
            curve = np.array([found[f"dependence/{kind}{said}"].values[f"{measure}/{i}"] for i in bench.bins])
            numbers += _rise_and_fall(bench, curve, label, kind == "varying", held)
    return Report(tuple(numbers))


def _rise_and_fall(bench: Bench, curve: Float[np.ndarray, " bins"], label: str, varying: bool, held: bool) -> list[Number]:
    """Dependence beyond the pivot falls where D varies; for one D it falls to the pivot, and rises again."""
    k, pivot = bench.model.wavenumbers[bench.bins], bench.model.pivot
    before, at = (float(curve[(k > low) & (k <= high)].mean()) for low, high in ((0.3, pivot), (pivot, PIVOTAL)))
    after = float(curve[k > 0.8].mean())
    if varying:
        return [Number(f"{label} beyond the pivot over before", after / before, bar="<= 0.95" if held else None)]
    return [
        Number(f"{label} at the pivot over before", at / before, bar="<= 1" if held else None),
        Number(f"{label} beyond the pivot over at it", after / at, bar=">= 1" if held else None),
    ]


def _pictures(bench: Bench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    test = read_arrays(directory.checkpoint("inference.summary") / "test.npz")
    labels = [entry.label for entry in bench.model.parameters.entries]
    some = slice(0, SHOWN * bench.configuration.views, bench.configuration.views)
    panels = {
        measure: {
            f"views of {'varying' if kind == 'varying' else 'one'} D": np.array(
                [found[f"dependence/{kind}"].values[f"{name}/{i}"] for i in bench.bins]
            )
            for kind in KINDS
        }
        for measure, name in (("distance correlation", "correlation"), ("mutual information [nats]", "smile"))
    }
    recovered = plots.recovered(test["theta"][some], test["mean"][some], test["deviation"][some], labels)
    curves = plots.dependence_curves(
        bench.model.wavenumbers[bench.bins], panels, label=r"$k\ [h\,/\,\mathrm{Mpc}]$", mark=bench.model.pivot
    )
    return [
        Illustration(
            "Inference", "recovered", recovered,
            "Parameters inferred from self-supervised summaries whose views vary D, one spectrum of each cosmology that "
            "training has not seen.",
        ),
        Illustration(
            "Dependence", "dependence", curves,
            "How much summaries depend on the power at each wavenumber. Beyond the pivot (dotted) baryons act: summaries that "
            "are to ignore them look there less.",
        ),
    ]  # fmt: skip
