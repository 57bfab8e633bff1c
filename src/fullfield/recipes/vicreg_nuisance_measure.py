"""Cells of the trial of summaries that ignore baryons in a toy spectrum."""

import functools
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

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
from fullfield.inference.implicit import GaussianEstimate, train_gaussian
from fullfield.networks import NormalisedMLP
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_nuisance import PUBLISHED, VICRegNuisanceConfiguration
from fullfield.simulators import BrokenPowerLaw, simulate_views
from fullfield.training import cosine_adam


KINDS = {"varying": ("D",), "constant": ()}
"""What views vary beside their cosmic variance."""
ENCODER, EXPANDER, HEAD = (140, 16, 32, 32, 32, 32, 32, 32), (32, 128, 128, 128), (32, 128, 128, 9)
BATCH = 256
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SHOWN = 100  # spectra in the figure


def nuisance_study(configuration: VICRegNuisanceConfiguration) -> Study:
    """Summaries with and without baryons in the views, what can be inferred from them, and on what they depend."""
    bench = Bench(configuration)
    made = configuration.model_dump(include={"seed", "cosmologies", "views"})
    trained = (made, configuration.epochs)
    measured = configuration.model_dump(include={"dependence", "information", "every"})
    cells = [Cell(f"views/{kind}", (made, kind), functools.partial(bench.simulate, kind)) for kind in KINDS]
    cells += [Cell(f"summary/{kind}", (trained, kind), functools.partial(bench.summarise, kind), effort=4) for kind in KINDS]
    cells.append(Cell("inference/summary", trained, functools.partial(bench.infer, True), effort=4))
    cells.append(Cell("inference/supervised", trained, functools.partial(bench.infer, False), effort=4))
    cells += [
        Cell(f"dependence/{kind}", (trained, measured, kind), functools.partial(bench.depend, kind), effort=10)
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
    def bins(self) -> Float[np.ndarray, " bins"]:
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

    def blank(self) -> Compressor:
        """Compressor before training."""
        return standardising(NormalisedMLP(ENCODER, key=self.key("encoder")), jnp.zeros((1, 140)))

    def compressor(self, kind: str, folder: pathlib.Path) -> Compressor:
        """The trained one."""
        return load_compressor(folder.parent / f"summary.{kind}" / "compressor.eqx", self.blank())

    def summarise(self, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Train summaries on views."""
        source, held_out = (
            StoredSimulations(theta[:, 0, :2], data, batch_size=min(BATCH, len(theta)), augment=Pairs())  # A and B
            for theta, data in (self.views_of(kind, part, folder) for part in ("train", "validation"))
        )
        epochs = self.configuration.epochs
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
        found, sets = {}, {}
        for part in SHARES:
            theta, data = self.views_of("varying", part, folder)
            theta, data = theta.reshape(-1, 3), data.reshape(-1, 140)
            sets[part] = theta, compress(self.compressor("varying", folder), data) if self_supervised else data
        source, held_out = (StoredSimulations(*sets[part], batch_size=BATCH) for part in ("train", "validation"))
        key, epochs = self.key(f"inference {self_supervised}"), self.configuration.epochs
        network = NormalisedMLP(HEAD, key=stream(key, "head"))
        if not self_supervised:
            network = _Supervised(standardising(self.blank().network, jnp.asarray(sets["train"][1])), network)
        posterior, history = train_gaussian(
            self.model.parameters, network, source, held_out, key=key,
            optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
            checkpoint=folder / "training", progress=progress, stage="inference",
        )  # fmt: skip
        theta, rows = sets["test"]
        mean, root = (np.asarray(each) for each in _moments(posterior, jnp.asarray(rows)))
        deviation = np.sqrt(np.einsum("nij,nij->ni", root, root))
        write_arrays(folder / "test.npz", theta=theta, mean=mean, deviation=deviation)
        for i, name in enumerate(self.model.parameters.names):
            error = mean[:, i] - theta[:, i]
            found[f"error/{name}"] = float(np.mean(np.abs(error)) / np.mean(np.abs(theta[:, i])))
            found[f"mse/{name}"] = float(np.mean(error**2))
            found[f"r2/{name}"] = float(1 - np.mean(error**2) / np.var(theta[:, i]))
        return Measured(found | {"loss": history.best})

    def depend(self, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Distance correlation and mutual information of summaries with the power in each bin, views of varying slopes."""
        settings = self.configuration
        n = max(settings.dependence, settings.information)
        fresh = simulate_views(self.model, self.key("fresh"), n, 1, nuisance=("D",))
        data = np.log(np.asarray(fresh.data[:, 0]))
        t, values = compress(self.compressor(kind, folder), data), {}
        few, many = settings.dependence, settings.information
        for count, i in enumerate(self.bins):
            progress("measuring dependence", count, len(self.bins))
            values[f"correlation/{i}"] = distance_correlation(data[:few, i], t[:few])
            values[f"corrected/{i}"] = distance_correlation(data[:few, i], t[:few], corrected=True)
            for estimator in ("mine", "smile"):
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


@eqx.filter_jit
def _moments(posterior: GaussianEstimate, rows: Array) -> tuple[Array, Array]:
    return jax.vmap(posterior.moments)(rows)


def _judge(bench: Bench, found: Mapping[str, Measured]) -> Report:
    numbers = []
    for name, label in (("summary", "vicreg"), ("supervised", "supervised")):
        values = found[f"inference/{name}"].values
        ours = name == "summary"
        for parameter in ("A", "B"):
            bar = f"<= {PUBLISHED[parameter]:g}" if ours else None
            published = PUBLISHED[parameter] if ours else None
            numbers.append(Number(f"error/{label}/{parameter}", values[f"error/{parameter}"], bar=bar, published=published))
        numbers.append(Number(f"r2/{label}/D", values["r2/D"], bar="<= 0.02" if ours else None))
    for kind in KINDS:
        numbers.append(Number(f"rank/{kind}", found[f"summary/{kind}"].values["collapse/effective_rank"]))
        values = found[f"dependence/{kind}"].values
        for measure in ("correlation", "corrected", "mine", "smile"):
            curve = np.array([values[f"{measure}/{i}"] for i in bench.bins])
            k = bench.model.wavenumbers[bench.bins]
            before, after = curve[(k > 0.3) & (k <= bench.model.pivot)].mean(), curve[k > 0.8].mean()
            bar = None
            if measure in ("correlation", "smile"):
                bar = "<= 0.95" if kind == "varying" else ">= 1"
            numbers.append(Number(f"dependence/{kind}/{measure} beyond the pivot over before", float(after / before), bar=bar))
    return Report(tuple(numbers))


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
