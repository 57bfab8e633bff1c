"""Mass maps by every method, on the same simulated observations, beside the mean of joint draws.

With P_t, P and X the powers of truth and estimate and their cross power, summed over simulations and the modes of a band,

    r = X / (P_t P)^½,    squared error = Σ (P_t - 2 X + P) / Σ P_t  over all bands,

bin by bin, then the mean over the bins. Parameters vary between the simulations as in the prior: the Wiener filter is that of
the fiducial ones, the learnt map knows the prior, and the posterior learns them from the shear.
"""

import functools
import pathlib
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fullfield._core import each_row
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import JointTable
from fullfield.fields import AbstractMassMap, Bands, KaiserSquires, pair_indices
from fullfield.generative import LearntMassMap, Observed, train_mass_map
from fullfield.networks import UNet
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.joint_measure import maps_of, mode_sums, simulations_of
from fullfield.recipes.joint_study import inputs_of
from fullfield.recipes.mass_map_bench import ShearBench
from fullfield.recipes.study import Cell, Measured
from fullfield.training import cosine_adam


SMOOTHINGS = (0.0, 5.0, 10.0, 20.0, 40.0)  # arcmin
NETWORK = functools.partial(UNet, widths=(16, 32, 32), blocks=1)
BATCH, RATE, AVERAGE = 32, 1e-2, 0.99  # of its training

Sums = tuple[Float[np.ndarray, "bins bands"], Float[np.ndarray, "bins bands"], Float[np.ndarray, "bins bands"]]
"""P_t, P and X."""


def baseline_cell(bench: ShearBench, first: tuple[Cell, ...]) -> Cell:
    """Every method on simulations of the calibration, whose draws it needs.

    Args:
        bench: the problem.
        first: cells that its `see` needs.
    """
    settings = bench.configuration
    told = inputs_of(bench, first).drawn, settings.draws, settings.baselines.model_dump(), SMOOTHINGS
    return Cell("baselines/maps", told, functools.partial(_measure, bench), effort=3)


def _measure(bench: ShearBench, folder: pathlib.Path, progress: Progress) -> Measured:
    n, frame = bench.configuration.baselines.observations, bench.frame(folder)
    part = {name: array[:n] for name, array in simulations_of(folder, "calibration").items()}
    truth, shear = maps_of(frame, bench.layout, part["theta"], part["rows"]), part["data"]
    smoothed = {width: _sums(bench.bands, KaiserSquires(bench.sky, width), truth, shear) for width in SMOOTHINGS}
    width = min(smoothed, key=lambda width: squared_error(smoothed[width]))
    methods = bench.baselines(width) | {"learnt": _learnt(bench, folder, progress)}
    found = {name: _sums(bench.bands, method, truth, shear) for name, method in methods.items()}
    table = JointTable.from_arrays(read_arrays(folder.parent / "calibration.joint" / "table.npz"))
    found["posterior mean"] = sums_of_draws(table, n)
    return Measured(agreement(bench.bands.centres, found) | {"smoothing of Kaiser-Squires in arcmin": width})


def _sums(bands: Bands, method: AbstractMassMap, truth: np.ndarray, shear: np.ndarray) -> Sums:
    return mode_sums(bands, truth, np.asarray(each_row(method, jnp.asarray(shear))))


def sums_of_draws(table: JointTable, n: int) -> Sums:
    """Those of the mean of all draws of the posterior, for the first n observations; corrected for the draws' finite number."""
    first, second = pair_indices(table.bins)
    powers = table.powers[:n, first == second], table.mean_power[:n], table.cross_power[:n]
    truth, mean, cross = (table.modes * values.sum(axis=0, dtype=np.float64) for values in powers)
    return truth, mean, cross


def agreement(ell: Iterable[float], found: dict[str, Sums]) -> dict[str, float]:
    """Numbers of each method by name: cross-correlation with the truth in each band, and squared error.

    Args:
        ell: mean multipole of each band.
        found: sums of each method.
    """
    values = {}
    for name, (truth, power, cross) in found.items():
        correlation = (cross / np.sqrt(truth * power)).mean(axis=0)
        values |= {f"correlation/{name}/ell_{band:.0f}": float(r) for band, r in zip(ell, correlation, strict=True)}
    return values | {f"squared error/{name}": squared_error(sums) for name, sums in found.items()}


def squared_error(sums: Sums) -> float:
    """Over the truth's power."""
    truth, power, cross = sums
    return float(np.mean((truth - 2 * cross + power).sum(axis=1) / truth.sum(axis=1)))


def _learnt(bench: ShearBench, folder: pathlib.Path, progress: Progress) -> LearntMassMap:
    """A U-Net trained to the posterior mean, on the convergence of the study's simulations under fresh noise."""
    noise, epochs = bench.model.noise, bench.configuration.baselines.epochs
    parts = []
    for name in ("training", "validation"):
        part = simulations_of(folder, name)
        fields = maps_of(bench.frame(folder), bench.layout, part["theta"], part["rows"])
        parts.append(StoredSimulations(part["theta"], fields, batch_size=BATCH, augment=Observed(noise)))
    n, _, bins = noise.shape
    learnt, _ = train_mass_map(
        NETWORK((n, n, 2 * bins), bins, key=bench.key("mass map network")), noise, *parts, key=bench.key("mass map"),
        optimiser=cosine_adam(RATE, epochs * parts[0].steps_per_epoch), max_epochs=epochs, patience=epochs, average=AVERAGE,
        checkpoint=folder / "training", progress=progress,
    )  # fmt: skip
    return learnt
