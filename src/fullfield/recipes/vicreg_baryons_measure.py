"""Cells of the trial of summaries that forget baryons."""

import functools
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

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
    train_compressor,
    VMIM,
)
from fullfield.datasets import Pairs, StoredSimulations, turn_and_roll
from fullfield.diagnostics import calibrate, Number, Report
from fullfield.fields import Plane
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.inference.posterior import unwatched
from fullfield.networks import PowerNet
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_baryons import VICRegBaryonsConfiguration
from fullfield.recipes.vicreg_maps import AGREEMENTS, AVERAGE, BATCH, ENOUGH, EXAMPLES, EXPANDER, learn, SHARES, SUMMARIES
from fullfield.simulators import AbstractBaryons, BaryonFraction, EjectedGas, LognormalOverdensity, simulate_views
from fullfield.training import cosine_adam


BARYONS: dict[str, AbstractBaryons | None] = {"none": None, "gas": EjectedGas(), "unseen": BaryonFraction()}
"""In which maps there are which: those without, those that training sees, and those of the trial."""
TRAINED = {"vicreg": "gas", "supervised": "none", "supervised with gas": "gas"}
"""On which maps summaries, and posteriors from them, are trained."""
TESTED = 1000  # maps of each kind
DRAWS = 500


def baryons_study(configuration: VICRegBaryonsConfiguration) -> Study:
    """Summaries with and without labels, posteriors from each, and what they make of unseen baryons."""
    bench = Bench(configuration)
    made = configuration.model_dump(exclude={"epochs", "npe_epochs", "learning_rate", "fraction"})
    trained = made, configuration.epochs, configuration.learning_rate
    cells = [Cell(f"summary/{name}", (trained, name), functools.partial(bench.summarise, name), effort=10) for name in TRAINED]
    cells += [
        Cell(
            f"posterior/{name}",
            (trained, configuration.npe_epochs, configuration.fraction, name),
            functools.partial(bench.infer, name),
            effort=3,
        )
        for name in TRAINED
    ]
    return Study(cells, functools.partial(_judge, bench), functools.partial(_pictures, bench))


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    configuration: VICRegBaryonsConfiguration

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def model(self, kind: str) -> LognormalOverdensity:
        """Forward model of maps with baryons of a kind."""
        n = self.configuration.pixels
        return LognormalOverdensity(Plane(n, n * self.configuration.pixel), baryons=BARYONS[kind])

    def views(self, kind: str, part: str) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n v y x 1"]]:
        """Ωm and σ8, and ln(1 + δ) of views whose baryons differ."""
        settings, model = self.configuration, self.model(kind)
        n, own = round(SHARES[part] * settings.cosmologies), model.parameters.names[2:]
        found = simulate_views(model, self.key(f"{kind} {part}"), n, settings.views, nuisance=own)
        return np.asarray(found.theta[:, 0, :2]), np.asarray(jnp.log1p(found.data))

    def trial(self, kind: str, where: str) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n y x 1"]]:
        """Test maps at Ωm and σ8 from the prior, or at the fiducial ones; unseen baryons are the same in all."""
        model, key = self.model(kind), self.key(f"{kind} trial")
        theta = model.parameters.sample(stream(key, "prior"), (TESTED,))
        if where == "fiducial":
            theta = theta.at[:, :2].set(model.parameters.fiducial[:2])
        if kind == "unseen":
            theta = theta.at[:, 2].set(self.configuration.fraction)
        keys = jax.random.split(stream(key, "maps"), TESTED)
        maps = jax.jit(lambda: jax.lax.map(lambda pair: model.simulate_at(*pair), (keys, theta), batch_size=10))()
        return np.asarray(theta[:, :2]), np.asarray(jnp.log1p(maps))

    def encoder(self, examples: Float[np.ndarray, "n y x 1"]) -> PowerNet:
        """The network, the same for all, its scales measured on examples."""
        network = PowerNet(examples.shape[1:], SUMMARIES, key=self.key("encoder"))
        return network.fitted_to((examples - examples.mean()) / examples.std())

    def compressor(self, name: str, folder: pathlib.Path) -> Compressor:
        """The trained one; `folder` is that of any cell."""
        n = self.configuration.pixels
        examples = np.asarray(jax.random.normal(self.key("blank"), (2 * EXAMPLES, n, n, 1)))
        blank = standardising(self.encoder(examples), jnp.asarray(examples))
        return load_compressor(folder.parent / f"summary.{name.replace('/', '.')}" / "compressor.eqx", blank)

    def summarise(self, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Train summaries from views, or with labels by VMIM on as many maps."""
        progress("simulating views", 0, 1)
        settings, parts = self.configuration, ("train", "validation")
        sets = [self.views(TRAINED[name], part) for part in parts]
        maps = sets[0][1][:, 0]
        network, cost = self.encoder(maps[:EXAMPLES]), sum(len(theta) for theta, _ in sets) * settings.views
        if name == "vicreg":
            source, held_out = (_batches(*rows, BATCH, Pairs(each=turn_and_roll)) for rows in sets)
            values = learn(
                AGREEMENTS["vicreg"], network, source, held_out, maps,
                key=self.key(name), expander=EXPANDER, learning_rate=settings.learning_rate, epochs=settings.epochs,
                folder=folder, progress=progress, stage=name, made_for="vicreg-baryons",
            )  # fmt: skip
            return Measured(values, simulations=cost)
        source, held_out = (_batches(*_each(*rows), 2 * BATCH, turn_and_roll) for rows in sets)
        epochs = max(1, round(2 * settings.epochs / settings.views))
        found, history = train_compressor(
            VMIM(), network, self.model("none").parameters, source, held_out,
            key=self.key(name), optimiser=cosine_adam(settings.learning_rate, epochs * source.steps_per_epoch),
            max_epochs=epochs, patience=epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage=name,
        )  # fmt: skip
        save_compressor(folder / "compressor.eqx", found, {"recipe": "vicreg-baryons", "trained": name})
        return Measured({"loss": history.best, "seconds": sum(history.seconds)}, simulations=cost)

    def infer(self, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Neural posterior estimation from the summaries of maps like those that they were trained on, tried on others."""
        folder.mkdir(parents=True, exist_ok=True)
        compressor, parameters = self.compressor(name, folder), self.model("none").parameters
        progress("summarising", 0, 1)
        rows = [_each(*self.views(TRAINED[name], part)) for part in ("train", "validation")]
        source, held_out = (_batches(theta, compress(compressor, maps), BATCH) for theta, maps in rows)
        epochs = self.configuration.npe_epochs
        posterior, _ = train_npe(
            parameters, source, held_out,
            key=self.key(f"{name} posterior"), optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs,
            patience=epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage=f"posterior, {name}",
        )  # fmt: skip
        values = {}
        for kind, where in _trials(name):
            theta, maps = self.trial(kind, where)
            draws = sample_many(unwatched(posterior), self.key("draws"), compress(compressor, maps), DRAWS)
            mean, deviation = draws.mean(axis=1), draws.std(axis=1)
            pull, label = (mean - theta) / deviation, f"{kind}/{where}"
            write_arrays(folder / f"{kind}-{where}.npz", theta=theta, mean=mean, deviation=deviation)
            if where == "prior":
                tested = calibrate(theta, draws, names=parameters.names, key=self.key("tests")).report
                values[f"{label}/failed"] = float(sum(number.verdict == "fail" for number in tested.numbers))
            for i, parameter in enumerate(parameters.names):
                values[f"{label}/bias/{parameter}"] = float(pull[:, i].mean())
                values[f"{label}/error/{parameter}"] = float(pull[:, i].std() / TESTED**0.5)
                values[f"{label}/deviation/{parameter}"] = float(deviation[:, i].mean())
        return Measured(values)


def _trials(name):
    """Baryons and cosmologies of the maps on which a posterior is tried."""
    return [(TRAINED[name], "prior"), ("unseen", "prior"), (TRAINED[name], "fiducial"), ("unseen", "fiducial")]


def _each(theta, maps):
    """Every view by itself."""
    return np.repeat(theta, maps.shape[1], axis=0), maps.reshape(-1, *maps.shape[2:])


def _batches(theta, data, size, augment=None) -> StoredSimulations:
    return StoredSimulations(theta, data, batch_size=min(size, len(theta)), augment=augment)


def _judge(bench: Bench, found: Mapping[str, Measured]) -> Report:
    numbers, names = [], bench.model("none").parameters.names
    enough = bench.configuration.cosmologies >= ENOUGH
    for name, own in TRAINED.items():
        values = found[f"posterior/{name}"].values
        for kind, where in _trials(name):
            label, spoken = f"{kind}/{where}", f"{name}/{kind} baryons" + ("" if where == "prior" else ", fiducial cosmology")
            for parameter in names:
                bar = "in [-0.5, 0.5]" if name == "vicreg" and enough else None
                number = values[f"{label}/bias/{parameter}"], values[f"{label}/error/{parameter}"]
                numbers.append(Number(f"bias/{spoken}/{parameter}", *number, bar=bar))
                numbers.append(Number(f"deviation/{spoken}/{parameter}", values[f"{label}/deviation/{parameter}"]))
            if where == "prior":
                bar = "<= 0" if kind == own else None
                numbers.append(Number(f"calibration/{spoken}/failed tests", values[f"{label}/failed"], bar=bar))
    misled = max(abs(found["posterior/supervised"].values[f"unseen/prior/bias/{parameter}"]) for parameter in names)
    numbers.append(Number("bias/supervised/unseen baryons/largest", misled, bar=">= 1" if enough else None))
    return Report(tuple(numbers))


def _pictures(bench: Bench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    del found
    illustrations, labels = [], bench.model("none").parameters.labels
    for name in TRAINED:
        tried = read_arrays(directory.checkpoint(f"posterior.{name}") / "unseen-prior.npz")
        some = slice(0, 100)
        figure = plots.recovered(tried["theta"][some], tried["mean"][some], tried["deviation"][some], list(labels))
        illustrations.append(
            Illustration(
                "Unseen baryons", f"unseen-{name.replace(' ', '-')}", figure,
                f"Parameters of maps with baryons that no training has seen: {name}.",
            )
        )  # fmt: skip
    return illustrations
