"""Cells of a joint study that test its posterior on many simulated observations."""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress
from fullfield.diagnostics import joint_blocks, joint_calibration, joint_table, JointSample, JointTable
from fullfield.diagnostics.joint import distances
from fullfield.diagnostics.mira import mira_of
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.joint_bench import AbstractBench
from fullfield.recipes.joint_judge import PARTS
from fullfield.recipes.joint_measure import filtered_many, maps_of, mode_sums, posterior, residuals_of, seen, simulations_of
from fullfield.recipes.study import Measured


Draw = Callable[[Key[Array, ""], Array, int], tuple[Array, Array]]
"""Key, data and number to draws of parameters (n, p) and maps (n, y, x, bins)."""


def calibrate(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Draws of many simulated observations, reduced to a table, and every test of it."""
    found = posterior(bench, folder)
    draw = lambda key, data, n: found.draw(key, seen(found.see, data), n)  # noqa: E731
    table, fields, filtered = _table(bench, draw, folder, progress)
    write_arrays(folder / "table.npz", **table.arrays())
    tested = joint_calibration(table, key=bench.key("tests"))
    values = {f"number/{number.name}": float(number.value) for number in tested.report.numbers if number.value is not None}
    values |= {f"failed/{number.name}": 1.0 for number in tested.report.numbers if number.verdict == "fail"}
    for part in PARTS:
        drawn = tested.tarp[part].curves
        for rule, curve in zip(drawn.labels, drawn.values, strict=True):
            values[f"inside/{part}/{rule}"] = float(np.all((curve >= drawn.low) & (curve <= drawn.high)))
    values |= _beside_wiener(bench, fields, filtered, tested.field.correlation_mean.values)
    settings = bench.configuration
    return Measured(values, gradients=len(fields) * settings.draws * bench.frame(folder).gradients)


def calibrate_exactly(bench: AbstractBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """MIRA of the exact posterior at the same observations, about the same centres: what these alone do to the scores."""
    assert bench.answer is not None
    table, *_ = _table(bench, bench.answer, folder, progress)
    placed, values = distances(table), {}
    for part in PARTS:
        report = mira_of(placed[part], random=np.random.default_rng(0))
        values |= {f"{part}/mira/{rule}": float(report[f"mira/{rule}/z"].value or 0.0) for rule in placed[part].rules}
    return Measured(values)


def _table(
    bench: AbstractBench, draw: Draw, folder: pathlib.Path, progress: Progress
) -> tuple[JointTable, Float[np.ndarray, "t n n bins"], Float[np.ndarray, "t n n bins"]]:
    """Draws of all simulated observations reduced to a table; true maps, and Wiener filtered ones."""
    settings, layout, part = bench.configuration, bench.layout, simulations_of(folder, "calibration")
    theta, data = part["theta"], part["data"]
    fields, filtered = maps_of(bench.frame(folder), layout, theta, part["rows"]), np.asarray(filtered_many(bench, data))
    regression = posterior(bench, folder).denoiser.coordinates.regression
    mean = jax.vmap(lambda summary: regression.unwhitened(jnp.zeros(regression.size), summary))
    summaries = jnp.asarray(part["rows"][:, layout.size - layout.summary :])
    estimates = np.asarray(bench.model.parameters.to_constrained(mean(summaries))), filtered
    blocks = joint_blocks(bench.model.parameters.names, bench.bands, theta, fields, *estimates)

    def sample(theta, maps, residuals):
        return JointSample(theta, maps, -0.5 * np.sum(residuals**2, axis=(1, 2, 3)), residuals)

    def drawn(j):
        progress("drawing", j, len(theta))
        some, maps = draw(jax.random.fold_in(bench.key("calibration draws"), j), jnp.asarray(data[j]), settings.draws)
        yield sample(np.asarray(some), np.asarray(maps), residuals_of(bench, jnp.asarray(data[j]), maps))

    residuals = [residuals_of(bench, jnp.asarray(data[j]), jnp.asarray(fields[j : j + 1]))[0] for j in range(len(theta))]
    truth = sample(theta, fields, np.stack(residuals))
    return joint_table(blocks, truth, estimates, drawn, key=bench.key("table")), fields, filtered


def errors(folder: pathlib.Path, progress: Progress) -> Measured:
    """Bootstrap errors of MIRA's scores, from the table of distances."""
    del progress
    placed = distances(JointTable.from_arrays(read_arrays(folder.parent / "calibration.joint" / "table.npz")))
    values = {}
    for part in PARTS:
        report = mira_of(placed[part], random=np.random.default_rng(0))
        for rule in placed[part].rules:
            score, z = (report[f"mira/{rule}/{name}"].uncertainty or 0.0 for name in ("score", "z"))
            values[f"{part}/mira/{rule}"] = score * z
    return Measured(values)


def _beside_wiener(bench, fields, filtered, correlation) -> dict[str, float]:
    """In each band, r of the posterior mean with the truth over that of the Wiener filtered map, all bins together."""
    truth, other, cross = mode_sums(bench.bands, fields, filtered)
    ratio = (correlation / (cross / np.sqrt(truth * other))).mean(axis=0)
    return {f"over Wiener/ell_{ell:.0f}": float(value) for ell, value in zip(bench.bands.centres, ratio, strict=True)}
