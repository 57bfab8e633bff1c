"""Cells of the Fisher information of self-supervised summaries."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core.progress import Progress
from fullfield.compression import Compressor, fisher_of_summaries, shrunk_covariance, Tangents
from fullfield.diagnostics import Number, Report
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.vicreg_accuracy import collapse_numbers
from fullfield.recipes.vicreg_fisher import PUBLISHED, VICRegFisherConfiguration
from fullfield.recipes.vicreg_lognormal import Agreement
from fullfield.recipes.vicreg_maps import GENERATORS, MapBench
from fullfield.simulators import LognormalOverdensity


FIDUCIAL = (0.3, 0.8)
NAMED = {"vicreg": "summaries", "simclr": "simclr summaries"}
FEW = 250  # maps with derivatives at a time
DRAWN = 20_000


def fisher_study(configuration: VICRegFisherConfiguration) -> Study:
    """Self-supervised summaries, and how much they know about the fiducial parameters."""
    bench, n, names = MapBench(configuration), configuration.fiducial, configuration.agreements
    cells = [bench.cell(name) for name in names]
    cells += [
        Cell(f"fisher/{NAMED[name]}", (bench.trained, n), functools.partial(_summaries, bench, name, n)) for name in names
    ]
    cells.append(Cell("fisher/maps", bench.made, functools.partial(_maps, bench)))
    return Study(cells, functools.partial(_judge, bench, names), functools.partial(_pictures, bench, names))


class OfOverdensity(eqx.Module):
    """A compressor of ln(1 + δ) as one of δ.

    Args:
        compressor: of the logarithm.
    """

    compressor: Compressor

    def __call__(self, data: Float[Array, "y x 1"]) -> Float[Array, " s"]:
        """Summary of a map of δ."""
        return self.compressor(jnp.log1p(data))


def _summaries(bench: MapBench, agreement: str, n: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """From derivatives of every map, carried through the network, and the shrunk covariance of all summaries."""
    tangents = Tangents(bench.model, jnp.asarray([FIDUCIAL]))
    function, key = OfOverdensity(bench.compressor(agreement, folder)), bench.key("fiducial")
    keys, parts = jax.random.split(key, n), []
    for start in range(0, n, FEW):
        parts.append(np.asarray(_simulated(tangents, keys[start : start + FEW])))
        progress("differentiating", start, n)
    (fisher,) = fisher_of_summaries(function, np.concatenate(parts), shrunk_covariance)
    write_arrays(folder / "fisher.npz", fisher=fisher)
    return _measured(bench, {agreement: fisher}, n)


@eqx.filter_jit
def _simulated(tangents: Tangents, keys: Array) -> Array:
    return jax.vmap(lambda key: tangents.simulate_at(key, tangents.points[0]))(keys)


def _maps(bench: MapBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Of maps by either generator, in closed form."""
    del progress
    models = {name: LognormalOverdensity(bench.model.plane, modes) for name, modes in GENERATORS.items()}
    fishers = {name: np.asarray(eqx.filter_jit(model.fisher)(jnp.asarray(FIDUCIAL))) for name, model in models.items()}
    write_arrays(folder / "fisher.npz", **fishers)
    return _measured(bench, fishers, 0)


def _measured(bench, fishers, simulations) -> Measured:
    deviations = {name: np.sqrt(np.diag(np.linalg.inv(fisher))) for name, fisher in fishers.items()}
    values = {
        f"{name}/{parameter}": float(each[i])
        for name, each in deviations.items()
        for i, parameter in enumerate(bench.model.parameters.names)
    }
    return Measured(values, simulations=simulations)


def _judge(bench: MapBench, agreements: Sequence[Agreement], found: Mapping[str, Measured]) -> Report:
    configuration, numbers, maps = bench.configuration, [], found["fisher/maps"].values
    full, generator = configuration.pixels == 100, configuration.generator
    for i, name in enumerate(bench.model.parameters.names):
        for one in GENERATORS:
            published = PUBLISHED["maps"][i] if full and one == "real-amplitude" else None
            numbers.append(Number(f"deviation/maps, {one}/{name}", maps[f"{one}/{name}"], published=published))
        for one in agreements:
            called, held = NAMED[one], one == "vicreg"
            published = PUBLISHED["summaries"][i] if full and held and generator == "real-amplitude" else None
            ours, bound = found[f"fisher/{called}"].values[f"{one}/{name}"], maps[f"{generator}/{name}"]
            numbers.append(Number(f"deviation/{called}, {generator}/{name}", ours, published=published))
            bar = "<= 1.1" if held and bench.enough else None
            numbers.append(Number(f"ratio/{called} over maps/{name}", ours / bound, bar=bar))
    for one in agreements:
        parameters = bench.model.parameters.size if bench.enough else None
        numbers += collapse_numbers(one, found[f"summary/{one}"].values, parameters)
    return Report(tuple(numbers))


def _pictures(
    bench: MapBench, agreements: Sequence[Agreement], found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    del found
    model, random = bench.model, np.random.default_rng(0)
    fishers = {one: read_arrays(directory.checkpoint(f"fisher.{NAMED[one]}") / "fisher.npz")["fisher"] for one in agreements}
    fishers["maps"] = read_arrays(directory.checkpoint("fisher.maps") / "fisher.npz")[bench.configuration.generator]
    draws = {name: random.multivariate_normal(FIDUCIAL, np.linalg.inv(each), DRAWN) for name, each in fishers.items()}
    first, *others = draws
    figure = plots.corner(
        draws[first], model.parameters.labels, model.parameters.bounds, name=f"{first} summaries",
        truth=np.array(FIDUCIAL), others={"maps" if name == "maps" else f"{name} summaries": draws[name] for name in others},
    )  # fmt: skip
    return [
        Illustration(
            "Information", "fisher", figure,
            "Constraints that the Fisher matrices of summaries and of the maps promise about the fiducial parameters.",
        )
    ]  # fmt: skip
