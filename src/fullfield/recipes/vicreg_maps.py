"""What studies of summaries of lognormal maps share: views, encoders, and their training without labels."""

import functools
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import (
    AbstractAgreement,
    compress,
    Compressor,
    load_compressor,
    save_compressor,
    SimCLR,
    standardising,
    train_self_supervised,
    VICReg,
)
from fullfield.datasets import Pairs, StoredSimulations, turn_and_roll
from fullfield.diagnostics import collapse
from fullfield.fields import GaussianModes, Plane, RealAmplitudeModes
from fullfield.networks import MapEncoder, NormalisedMLP, PowerNet
from fullfield.recipes.study import Cell, Measured
from fullfield.recipes.vicreg_lognormal import MapViewsConfiguration
from fullfield.simulators import LognormalOverdensity, simulate_views
from fullfield.training import cosine_adam


GENERATORS = {"gaussian": GaussianModes(), "real-amplitude": RealAmplitudeModes()}
AGREEMENTS = {"vicreg": VICReg(5.0, 5.0, 1.0), "simclr": SimCLR(0.1)}
"""With the paper's settings (its section 3.1.2 and appendix C)."""
SUMMARIES, EXPANDER = 16, (16, 64, 64)
PIXEL = 10.0  # Mpc
BATCH = 200  # cosmologies
ENOUGH = 2000
EXAMPLES = 256
AVERAGE = 0.99
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class MapBench:
    """What all cells share."""

    configuration: MapViewsConfiguration

    @functools.cached_property
    def model(self) -> LognormalOverdensity:
        """Forward model of the maps."""
        n = self.configuration.pixels
        return LognormalOverdensity(Plane(n, n * PIXEL), GENERATORS[self.configuration.generator])

    def key(self, name: str) -> Key[Array, ""]:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    @property
    def made(self) -> dict:
        """Settings on which views depend."""
        return self.configuration.model_dump(include={"seed", "pixels", "generator", "cosmologies", "views"})

    @property
    def trained(self) -> tuple:
        """Settings on which summaries depend."""
        return self.made, self.configuration.model_dump(include={"network", "epochs", "learning_rate"})

    @property
    def enough(self) -> bool:
        """Whether there are cosmologies enough to hold anything to a bar."""
        return self.configuration.cosmologies >= ENOUGH

    def views(self, part: str) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n v y x 1"]]:
        """Parameters, and logarithms of one plus the overdensity; simulated again rather than stored, which takes as long."""
        settings = self.configuration
        n = round(SHARES[part] * settings.cosmologies)
        found = simulate_views(self.model, self.key(f"{part} views"), n, settings.views)
        return np.asarray(found.theta[:, 0]), np.asarray(jnp.log1p(found.data))

    def encoder(self, examples: Float[np.ndarray, "n y x 1"]) -> MapEncoder | PowerNet:
        """The network, its scales measured on examples."""
        shape, key = examples.shape[1:], self.key("encoder")
        if self.configuration.network == "published":
            network = MapEncoder(shape, SUMMARIES, key=key)
        else:
            window = 8 if shape[0] % 8 == 0 else 10
            network = PowerNet(shape, SUMMARIES, key=key, window=window)
        return network.fitted_to((examples - examples.mean()) / examples.std())

    def blank(self) -> Compressor:
        """Compressor before training, to be loaded into."""
        n = self.configuration.pixels
        examples = np.asarray(jax.random.normal(self.key("blank"), (2 * EXAMPLES, n, n, 1)))
        return standardising(self.encoder(examples), jnp.asarray(examples))

    def compressor(self, agreement: str, folder: pathlib.Path) -> Compressor:
        """The trained one; `folder` is that of any cell."""
        return load_compressor(folder.parent / f"summary.{agreement}" / "compressor.eqx", self.blank())

    def cell(self, agreement: str) -> Cell:
        """Training of summaries."""
        return Cell(
            f"summary/{agreement}",
            (self.trained, AGREEMENTS[agreement]),
            functools.partial(self.summarise, agreement),
            effort=10,
        )

    def summarise(self, agreement: str, folder: pathlib.Path, progress: Progress) -> Measured:
        """Train summaries on pairs of views, turned, mirrored and shifted at random."""
        progress("simulating views", 0, 1)
        sets = {part: self.views(part) for part in ("train", "validation")}
        source, held_out = (
            StoredSimulations(*rows, batch_size=min(BATCH, len(rows[0])), augment=Pairs(each=turn_and_roll))
            for rows in sets.values()
        )
        settings, (_, maps) = self.configuration, sets["train"]
        values = learn(
            AGREEMENTS[agreement], self.encoder(maps[:EXAMPLES, 0]), source, held_out, maps[:, 0],
            key=self.key(agreement), expander=EXPANDER, learning_rate=settings.learning_rate, epochs=settings.epochs,
            folder=folder, progress=progress, stage=agreement, made_for="summaries of lognormal maps",
        )  # fmt: skip
        cost = (len(sets["train"][0]) + len(sets["validation"][0])) * settings.views
        return Measured(values, simulations=cost)

    def summaries(
        self, compressor: Compressor, part: str, progress: Progress
    ) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m s"]]:
        """Parameters and summaries of all views of a part, one by one."""
        theta, maps = self.views(part)
        progress(f"summarising {part}", 0, 1)
        rows = compress(compressor, maps.reshape(-1, *maps.shape[2:]))
        return np.repeat(theta, maps.shape[1], axis=0), rows


def learn(
    agreement: AbstractAgreement,
    network: Callable,
    source: StoredSimulations,
    held_out: StoredSimulations,
    maps: Float[np.ndarray, "n y x 1"],
    *,
    key: Key[Array, ""],
    expander: tuple[int, ...],
    learning_rate: float,
    epochs: int,
    folder: pathlib.Path,
    progress: Progress,
    stage: str,
    made_for: str,
) -> dict[str, float]:
    """Train summaries on pairs of views, and leave the compressor as `compressor.eqx` in a folder.

    Args:
        agreement: what they are trained for.
        network: map to summary.
        source, held_out: groups of views.
        maps: examples on which collapse is looked for.
        key: scalar key.
        expander: numbers in each layer of the network that is left behind.
        learning_rate: highest.
        epochs: all of which are run.
        folder: of the cell.
        progress: told after every epoch.
        stage: what is told.
        made_for: stands in the compressor's file.

    Returns:
        Held-out loss, seconds, and how many directions the summaries vary in.
    """
    found, history = train_self_supervised(
        agreement, network, source, held_out,
        key=key, expander=lambda size, embedding, *, key: NormalisedMLP(expander, key=key),
        optimiser=cosine_adam(learning_rate, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
        average=AVERAGE, checkpoint=folder / "training", progress=progress, stage=stage,
    )  # fmt: skip
    save_compressor(folder / "compressor.eqx", found, {"recipe": made_for, "agreement": stage})
    values = {number.name: float(number.value or 0.0) for number in collapse(compress(found, maps)).numbers}
    return values | {"loss": history.best, "seconds": sum(history.seconds)}
