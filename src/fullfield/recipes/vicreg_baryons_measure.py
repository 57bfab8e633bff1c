"""Cells of the trial of summaries that forget baryons."""

import functools
import pathlib
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

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
from fullfield.diagnostics import calibrate
from fullfield.fields import Plane
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_npe
from fullfield.inference.posterior import AbstractPosterior, unwatched
from fullfield.networks import apply_many, PowerNet
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_baryons import VICRegBaryonsConfiguration
from fullfield.recipes.vicreg_baryons_judge import baryons_numbers, baryons_pictures
from fullfield.recipes.vicreg_baryons_trials import EXACT, REGIONS, SWEPT, TESTED, TRAINED, Trial, trials
from fullfield.recipes.vicreg_exact import credibility, ExactPosterior, moments_of
from fullfield.recipes.vicreg_maps import AGREEMENTS, AVERAGE, BATCH, EXAMPLES, EXPANDER, learn, SHARES, SUMMARIES
from fullfield.simulators import AbstractBaryons, BaryonFraction, EjectedGas, LognormalOverdensity, simulate_views
from fullfield.training import cosine_adam


BARYONS: dict[str, AbstractBaryons | None] = {"none": None, "gas": EjectedGas(), "unseen": BaryonFraction()}
"""In which maps there are which: those without, those that training sees, and those of the trial."""
DRAWS = 500


def baryons_study(configuration: VICRegBaryonsConfiguration) -> Study:
    """Summaries with and without labels, posteriors from each, and what they make of unseen baryons."""
    bench = Bench(configuration)
    made = configuration.model_dump(exclude={"epochs", "supervised_epochs", "npe_epochs", "learning_rate", "fraction"})
    tried, common = (configuration.fraction, SWEPT, TESTED), (made, configuration.learning_rate)
    trained = {
        name: (common, configuration.epochs if name == "vicreg" else configuration.supervised_epochs, name) for name in TRAINED
    }
    tested = configuration.model_dump(include={"seed", "pixels", "pixel"}), tried
    cells = [Cell(f"summary/{name}", trained[name], functools.partial(bench.summarise, name), effort=10) for name in TRAINED]
    cells += [
        Cell(
            f"posterior/{name}",
            (trained[name], configuration.npe_epochs, tried),
            functools.partial(bench.infer, name),
            effort=4,
        )
        for name in TRAINED
    ]
    cells += [Cell(f"exact/{kind}", (tested, kind), functools.partial(bench.solve, kind), effort=2) for kind in EXACT]
    return Study(
        cells,
        functools.partial(baryons_numbers, configuration.cosmologies, bench.model("none").parameters.names),
        functools.partial(baryons_pictures, bench.model("none").parameters),
    )


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

    def trial(self, trial: Trial) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n y x 1"]]:
        """Parameters and ln(1 + δ) of the maps of a trial; unseen baryons are the same in all, and phases in all of a kind."""
        model, key = self.model(trial.kind), self.key(f"{trial.kind} trial")
        theta = model.parameters.sample(stream(key, "prior"), (trial.maps,))
        if trial.where == "fiducial":
            theta = theta.at[:, :2].set(model.parameters.fiducial[:2])
        if trial.kind == "unseen":
            theta = theta.at[:, 2].set(self.configuration.fraction if trial.fraction is None else trial.fraction)
        keys = jax.random.split(stream(key, "maps"), trial.maps)
        maps = _simulated(model, keys, theta)
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
        """Train summaries from views, or with labels by VMIM on the same maps."""
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
        epochs = settings.supervised_epochs
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
        posterior, values = unwatched(posterior), {}
        for trial in trials(TRAINED[name]):
            theta, maps = self.trial(trial)
            rows = compress(compressor, maps)
            draws = sample_many(posterior, self.key("draws"), rows, DRAWS)
            at = np.concatenate([theta[:, None], draws], axis=1)  # the truth first
            density = apply_many(_Densities(posterior), at, rows, batch_size=50)
            level = np.mean(density[:, 1:] > density[:, :1], axis=1)
            values |= self.found(trial, theta, draws.mean(axis=1), draws.std(axis=1), level, folder)
            if trial.where == "prior":
                tested = calibrate(theta, draws, names=parameters.names, key=self.key("tests")).report
                values[f"{trial.label}/failed"] = float(sum(number.verdict == "fail" for number in tested.numbers))
        return Measured(values)

    def solve(self, kind: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """The exact posterior of the same maps, under a model with baryons of a kind over their prior, or with none."""
        posterior, values = ExactPosterior(self.model(kind)), {}
        for trial in trials(kind):
            theta, maps = self.trial(trial)
            weight = posterior(maps, progress)
            level = credibility(posterior.grid, weight, theta)
            values |= self.found(trial, theta, *moments_of(posterior.grid, weight), level, folder)
        return Measured(values)

    def found(self, trial: Trial, theta, mean, deviation, level, folder: pathlib.Path) -> dict[str, float]:
        """What posteriors make of a trial; by the label of the trial, measure and parameter."""
        write_arrays(folder / f"{trial.file}.npz", theta=theta, mean=mean, deviation=deviation, level=level)
        pull, values = (mean - theta) / deviation, {}
        for i, parameter in enumerate(self.model("none").parameters.names):
            values[f"{trial.label}/bias/{parameter}"] = float(pull[:, i].mean())
            values[f"{trial.label}/error/{parameter}"] = float(pull[:, i].std() / len(pull) ** 0.5)
            values[f"{trial.label}/shift/{parameter}"] = float((mean - theta)[:, i].mean())
            values[f"{trial.label}/deviation/{parameter}"] = float(deviation[:, i].mean())
        return values | {f"{trial.label}/covered/{region}": float(np.mean(level <= region / 100)) for region in REGIONS}


class _Densities(eqx.Module):
    """Log densities of several parameter vectors given one observation."""

    posterior: AbstractPosterior

    def __call__(self, theta, row):
        return jax.vmap(lambda one: self.posterior.log_prob(one, row))(theta)


@eqx.filter_jit
def _simulated(model, keys, theta):
    return jax.lax.map(lambda pair: model.simulate_at(*pair), (keys, theta), batch_size=10)


def _each(theta, maps):
    """Every view by itself."""
    return np.repeat(theta, maps.shape[1], axis=0), maps.reshape(-1, *maps.shape[2:])


def _batches(theta, data, size, augment=None) -> StoredSimulations:
    return StoredSimulations(theta, data, batch_size=min(size, len(theta)), augment=augment)
