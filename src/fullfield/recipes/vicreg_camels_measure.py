"""Cells of the comparison of self-supervised and supervised inference from maps in the format of CAMELS.

Networks see logarithms of the mass. Inferred are Omega_m and sigma_8 scaled to [0, 1], and losses are of those, as published
ones are; errors are of the parameters themselves.
"""

import functools
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from fullfield import plots
from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    AbstractAgreement,
    compress,
    Compressor,
    load_compressor,
    SimCLR,
    standardising,
    VICReg,
)
from fullfield.datasets import (
    camels_parameters,
    CamelsMaps,
    Pairs,
    SimulationSet,
    store_camels,
    StoredSimulations,
    turn_and_roll,
    write_camels,
)
from fullfield.networks import NormalisedMLP, PowerNet, ResNet18
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_accuracy import accuracy, error_ratio, read_off
from fullfield.recipes.vicreg_camels import VICRegCamelsConfiguration
from fullfield.recipes.vicreg_camels_judge import called_after, judge, NAMES
from fullfield.recipes.vicreg_maps import AVERAGE, EXAMPLES, learn
from fullfield.simulators import MatterSlabs


FIELD, SET, MAPS = "Mtot", "LH", 15
SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
SUMMARIES, EXPANDER, HEAD = 128, (128, 512, 512), (128, 512, 512, 5)
HEAD_BATCH, HEAD_RATE, SUPERVISED_BATCH = 200, 7e-4, 150
WIDTH = 256  # of the perceptron behind the powers of filters
MADE_BY = "fullfield's MatterSlabs, lognormal fields of the linear spectrum"
SHOWN = 100


@dataclass(frozen=True)
class Method:
    """How summaries are learnt; all settings are the paper's (sections 3.2.1 and C2.1; SimCLR's batch is its code's).

    Args:
        agreement: what views are trained for.
        pairs: of views of each simulation in a step.
        batch: simulations in a step.
    """

    agreement: AbstractAgreement
    pairs: int
    batch: int


METHODS = {
    "vicreg": Method(VICReg(25.0, 25.0, 1.0), 5, 50),
    "vicreg-pair": Method(VICReg(25.0, 25.0, 1.0), 1, 50),
    "simclr": Method(SimCLR(0.1), 1, 256),
}


def camels_study(configuration: VICRegCamelsConfiguration) -> Study:
    """Maps, summaries by every method, what is inferred from them, and the supervised baseline; all suite by suite."""
    bench = CamelsBench(configuration)
    learnt = configuration.model_dump(include={"seed", "network", "epochs", "learning_rate"})
    told = configuration.model_dump(include={"seed", "network", "supervised_epochs", "supervised_rate"})
    cells = []
    for suite in configuration.suites:
        made = bench.made(suite)
        cells.append(Cell(f"maps/{suite}", made, functools.partial(bench.copy, suite)))
        for name in configuration.methods:
            inputs = (made, learnt, METHODS[name])
            cells.append(Cell(f"summary/{suite}/{name}", inputs, functools.partial(bench.summarise, suite, name), effort=10))
            heads = (inputs, configuration.head_epochs)
            cells.append(Cell(f"inference/{suite}/{name}", heads, functools.partial(bench.infer, suite, name), effort=3))
        supervise = functools.partial(bench.supervise, suite)
        cells.append(Cell(f"inference/{suite}/supervised", (made, told), supervise, effort=10))
        first = configuration.methods[0]
        inputs = (made, learnt, METHODS[first], configuration.head_epochs, told)
        cells.append(Cell(f"ratio/{suite}/{first}", inputs, functools.partial(_compare, suite, first)))
    return Study(cells, functools.partial(judge, configuration), functools.partial(_pictures, bench))


class WithConstant(eqx.Module):
    """Powers of filters on a map and a constant beside it: of the map alone they would not tell the sign of its mean.

    Args:
        network: powers of maps (n, n, 2).
    """

    network: PowerNet

    def __call__(self, x: Float[Array, "n n 1"], *, key: Key[Array, ""] | None = None) -> Float[Array, " features"]:
        """Map (n, n, 1) to a vector (features,); `key` is ignored."""
        return self.network(jnp.concatenate([x, jnp.ones_like(x)], axis=-1))


def turned(key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "n n"]) -> Float[Array, "n n 1"]:
    """A map (n, n) turned, mirrored and shifted at random, as networks take it."""
    return turn_and_roll(key, theta, data[..., None])


@dataclass(frozen=True)
class CamelsBench:
    """What all cells share; published files are opened when it is made, so that wrong ones are refused at once."""

    configuration: VICRegCamelsConfiguration

    def __post_init__(self):
        for suite in self.configuration.suites if self.configuration.folder else ():
            self.encoder(self.published[suite].maps.shape[-1], 1)

    @functools.cached_property
    def published(self) -> dict[str, CamelsMaps]:
        """Files of every suite, none if they are to be made."""
        folder, suites = self.configuration.folder, self.configuration.suites
        return {} if folder is None else {suite: CamelsMaps.open(folder, FIELD, suite, SET) for suite in suites}

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def made(self, suite: str) -> tuple:
        """What decides the maps and how they are dealt."""
        source = self.published.get(suite)
        made = self.configuration.model_dump(include={"pixels", "simulations"}) if source is None else source.identity
        return suite, self.configuration.seed, made

    def boxes(self, suite: str, theta: Float[Array, "n 2"], progress: Progress) -> Iterator[Float[Array, "15 n n"]]:
        """Maps of synthetic simulations, one after the other."""
        keys = jax.random.split(self.key(f"{suite} boxes"), len(theta))
        simulate = eqx.filter_jit(MatterSlabs(self.configuration.pixels).simulate_at)
        for number, (key, one) in enumerate(zip(keys, theta, strict=True)):
            yield simulate(key, one)
            progress("simulating", number + 1, len(theta))

    def copy(self, suite: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Logarithms of maps into a store; maps are simulated first if there are no files."""
        source, cost = self.published.get(suite), 0
        if source is None:
            files = folder / "files"
            shutil.rmtree(files, ignore_errors=True)  # of an attempt that was stopped
            parameters = MatterSlabs(self.configuration.pixels).parameters
            theta = parameters.sample(self.key(f"{suite} parameters"), (self.configuration.simulations,))
            source = write_camels(
                files, FIELD, suite, SET, np.asarray(theta), self.boxes(suite, theta, progress), made_by=MADE_BY
            )
            cost = len(theta)
        store_camels(
            folder / "maps.zarr", source,
            seed=self.configuration.seed, names=NAMES, transform=np.log10, fractions=SHARES, progress=progress,
        )  # fmt: skip
        return Measured({"synthetic": float(source.synthetic), "simulations": float(len(source.theta))}, simulations=cost)

    def store(self, suite: str, folder: pathlib.Path) -> SimulationSet:
        """Logarithms of the maps; `folder` is that of any cell."""
        return SimulationSet.open(folder.parent / f"maps.{suite}" / "maps.zarr")

    def encoder(self, pixels: int, outputs: int) -> WithConstant | ResNet18:
        """The network before it has seen any map."""
        if self.configuration.network == "resnet18":
            return ResNet18((pixels, pixels, 1), outputs, key=self.key("encoder"))
        return WithConstant(PowerNet((pixels, pixels, 2), outputs, key=self.key("encoder"), width=WIDTH))

    def fitted(self, maps: Float[np.ndarray, "n y x 1"], outputs: int) -> WithConstant | ResNet18:
        """The network, its scales measured on examples, if it has such."""
        network = self.encoder(maps.shape[1], outputs)
        if isinstance(network, ResNet18):
            return network
        white = (maps - maps.mean()) / maps.std()
        return WithConstant(network.network.fitted_to(np.concatenate([white, np.ones_like(white)], axis=-1)))

    def compressor(self, suite: str, name: str, folder: pathlib.Path) -> Compressor:
        """The trained one."""
        pixels = self.store(suite, folder).array("data").shape[-1]
        blank = standardising(self.encoder(pixels, SUMMARIES), jnp.zeros((1, pixels, pixels, 1)))
        return load_compressor(folder.parent / f"summary.{suite}.{name}" / "compressor.eqx", blank)

    def summarise(self, suite: str, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Train summaries on pairs of slabs of the same simulation, turned, mirrored and shifted at random."""
        store, settings, method = self.store(suite, folder), self.configuration, METHODS[name]
        source, held_out = (
            store.batches(part, method.batch, augment=Pairs(method.pairs, each=turned)) for part in ("train", "validation")
        )
        maps = store.read("data", "train")[:, 0, ..., None]
        values = learn(
            method.agreement, self.fitted(maps[:EXAMPLES], SUMMARIES), source, held_out, maps,
            key=self.key(f"{suite} {name}"), expander=EXPANDER, learning_rate=settings.learning_rate, epochs=settings.epochs,
            folder=folder, progress=progress, stage=f"{name}, {suite}", made_for=f"vicreg-camels, {suite}",
        )  # fmt: skip
        return Measured(values)

    def single(self, suite: str, part: str, folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        """Scaled parameters (m, 2) and maps (m, y, x, 1), one by one."""
        store = self.store(suite, folder)
        theta, maps = store.read("theta", part), store.read("data", part)
        low, width = _range(suite)
        return np.repeat((theta - low) / width, MAPS, axis=0), maps.reshape(-1, *maps.shape[2:], 1)

    def infer(self, suite: str, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Gaussian posteriors read off summaries."""
        compressor, sets = self.compressor(suite, name, folder), {}
        for part in SHARES:
            theta, maps = self.single(suite, part, folder)
            sets[part] = theta, compress(compressor, maps, progress=progress, stage=f"summarising {part}")
        source, held_out = (StoredSimulations(*sets[part], batch_size=HEAD_BATCH) for part in ("train", "validation"))
        head = NormalisedMLP(HEAD, key=self.key(f"{suite} {name} head"))
        network = standardising(head, jnp.asarray(sets["train"][1]))
        return self._read_off(suite, name, network, source, held_out, sets["test"], folder, progress)

    def supervise(self, suite: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """The same kind of network with labels, its last layer of five numbers instead of a summary's."""
        sets = {part: self.single(suite, part, folder) for part in SHARES}
        source, held_out = (
            StoredSimulations(*sets[part], batch_size=SUPERVISED_BATCH, augment=turn_and_roll)
            for part in ("train", "validation")
        )
        examples = sets["train"][1][::MAPS][:EXAMPLES]
        network = standardising(self.fitted(examples, HEAD[-1]), jnp.asarray(examples))
        return self._read_off(suite, "supervised", network, source, held_out, sets["test"], folder, progress)

    def _read_off(self, suite, name, network, source, held_out, test, folder, progress) -> Measured:
        settings, supervised = self.configuration, name == "supervised"
        scaled = ParameterSpace({parameter: Parameter(dist.Uniform()) for parameter in NAMES})
        mean, deviation, values = read_off(
            scaled, network, source, held_out, test,
            key=self.key(f"{suite} {name} inference"),
            learning_rate=settings.supervised_rate if supervised else HEAD_RATE,
            epochs=settings.supervised_epochs if supervised else settings.head_epochs,
            average=AVERAGE, folder=folder, progress=progress, stage=f"inference, {name}, {suite}",
        )  # fmt: skip
        low, width = _range(suite)
        theta, mean, deviation = low + width * test[0], low + width * mean, width * deviation
        write_arrays(folder / "test.npz", theta=theta, mean=mean, deviation=deviation)
        return Measured(values | accuracy(NAMES, theta, mean, MAPS))


def _compare(suite: str, name: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Errors by self-supervised summaries over supervised ones."""
    del progress
    first, second = (folder.parent / f"inference.{suite}.{one}" for one in (name, "supervised"))
    return Measured(error_ratio(NAMES, first, second, MAPS))


def _range(suite: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower ends and widths of the parameters."""
    low, high = np.array(camels_parameters(suite, 2 if suite.startswith("Nbody_") else 6).bounds[:2], np.float32).T
    return low, high - low


def _pictures(bench: CamelsBench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    pictures = []
    labels = [entry.label for entry in camels_parameters().entries[: len(NAMES)]]
    for suite in bench.configuration.suites:
        called, first = called_after(suite, found[f"maps/{suite}"]), bench.configuration.methods[0]
        test = read_arrays(directory.checkpoint(f"inference.{suite}.{first}") / "test.npz")
        some = slice(0, SHOWN * MAPS, MAPS)
        recovered = plots.recovered(test["theta"][some], test["mean"][some], test["deviation"][some], labels)
        store = bench.store(suite, directory.checkpoint("any"))
        theta, slabs = store.read("theta", "test")[0], store.read("data", "test")[0, :3]
        row = plots.map_row(slabs, ["first slab", "second", "third"], label=r"$\log_{10}$ of the surface density")
        pictures += [
            Illustration(
                "Inference", f"recovered_{suite}", recovered,
                f"Parameters inferred from self-supervised summaries, one map of each simulation that training has not seen; "
                f"maps: {called}.",
            ),
            Illustration(
                "Maps", f"maps_{suite}", row,
                f"Three slabs along one axis of a simulation at Omega_m = {theta[0]:.2f}, sigma_8 = {theta[1]:.2f}, in the "
                f"logarithm of (M☉/h) / (Mpc/h)²; maps: {called}.",
            ),
        ]  # fmt: skip
    return pictures
