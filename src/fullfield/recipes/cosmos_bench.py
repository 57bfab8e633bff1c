"""Cells of the COSMOS analysis beyond those of every joint study: what the real shear says, and whether it may be believed."""

import functools
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core.progress import Progress
from fullfield.diagnostics import merge, misspecification
from fullfield.fields import band_powers, kaiser_squires, ShearMaps
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.cosmos import CosmosConfiguration, POWER
from fullfield.recipes.cosmos_judge import cosmos_numbers, cosmos_pictures
from fullfield.recipes.joint_measure import (
    distance,
    posterior,
    residuals_of,
    seen,
    simulations_of,
    stored_draws,
)
from fullfield.recipes.joint_study import inputs_of, joint_study
from fullfield.recipes.mass_map_bench import AbstractShearBench, estimate_cell
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import cosmos_clusters, cosmos_maps, cosmos_model, ShearModel


SMOOTHING = 1.5  # arcmin, of the Kaiser-Squires map
TWINS = 400  # simulations of the survey at posterior draws
HEAVIEST, PLACES = 30, 2000  # clusters, and random places they are compared with


class CosmosBench(AbstractShearBench):
    """The COSMOS survey.

    Args:
        configuration: settings.
    """

    configuration: CosmosConfiguration = eqx.field(static=True)
    model: ShearModel

    def __init__(self, configuration: CosmosConfiguration):
        self.configuration = configuration
        self.model = cosmos_model(configuration.pixels)

    @property
    def survey_maps(self) -> ShearMaps:
        """What was observed."""
        return cosmos_maps(self.configuration.pixels)

    @property
    def data(self) -> Float[Array, "n n 1 2"]:
        """Observed shear, as the model has it."""
        return jnp.asarray(self.model.prepare(self.survey_maps))

    @property
    def values(self) -> int:
        """How many numbers the observed shear holds."""
        return 2 * int(np.isfinite(self.model.noise).sum())

    def amplitude(self, theta: Float[np.ndarray, "*n p"]) -> Float[np.ndarray, "*n"]:
        """σ8 (Ωm / 0.3)^0.51."""
        space = self.model.parameters
        matter = theta[..., space.index("omega_c")] + dict(self.model.lensing.fixed)["omega_b"]
        return theta[..., space.index("sigma_8")] * (matter / 0.3) ** POWER


def cosmos_study(configuration: CosmosConfiguration) -> Study:
    """The joint study of simulated twins, and the real data after it."""
    bench = CosmosBench(configuration)
    first = (estimate_cell(bench),)
    chains = configuration.seed, bench.model, bench.survey_maps, bench.reference_settings
    drawn = inputs_of(bench, first).drawn, chains, configuration.maps, POWER
    last = (
        Cell("real/chains", chains, functools.partial(_chains, bench), effort=3),
        Cell("real/draws", drawn, functools.partial(_draws, bench), effort=2),
        Cell("real/checks", (drawn, TWINS), functools.partial(_checks, bench)),
        Cell("real/clusters", (drawn, cosmos_clusters(), SMOOTHING, HEAVIEST, PLACES), functools.partial(_clusters, bench)),
    )
    study = joint_study(bench, first, last)
    return Study(
        study.cells,
        lambda found: merge([cosmos_numbers(found, bench.values), study.judge(found)]),
        lambda found, directory: [
            *cosmos_pictures(bench.model, bench.survey_maps, directory),
            *study.illustrate(found, directory),
        ],
    )


def _chains(bench: CosmosBench, folder: pathlib.Path, progress: Progress) -> Measured:
    return bench.chains(bench.data, bench.key("real chains"), folder, progress)


def _draws(bench: CosmosBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Parameters and maps of the real shear, and the amplitude by both routes."""
    settings, key, found = bench.configuration, bench.key("real draws"), posterior(bench, folder)
    condition = seen(found.see, bench.data)
    theta, maps = stored_draws(found, condition, key, settings.maps, folder, progress)
    exact = read_arrays(folder.parent / "real.chains" / "exact.npz")
    # Shear and map of each draw: χ² per number of the data, whose expectation is one.
    misfit = np.mean(residuals_of(bench, bench.data, jnp.asarray(maps)) ** 2) / np.mean(np.isfinite(bench.model.noise))
    write_arrays(
        folder / "draws.npz", theta=theta, mean=maps.mean(0), std=maps.std(0), some=maps[:4],
        filtered=np.asarray(eqx.filter_jit(bench.filtered)(bench.data)),
    )  # fmt: skip
    values = {"c2st": distance(exact["theta"], theta, key), "misfit": float(misfit)}
    values["map/difference"] = float(np.sqrt(((maps.mean(0) - exact["mean"]) ** 2 / exact["std"] ** 2).mean()))
    values["map/spread"] = float(np.sqrt((maps.var(0) / exact["std"] ** 2).mean()))
    for name, draws in (("diffusion", theta), ("chains", exact["theta"])):
        amplitude = bench.amplitude(draws)
        values |= {f"amplitude/{name}": float(amplitude.mean()), f"amplitude/{name}/error": float(amplitude.std())}
    return Measured(values, gradients=settings.maps * bench.frame(folder).gradients)


def _checks(bench: CosmosBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Does the real shear look like the simulations, in what sums up its parameters and in its B modes?"""
    del progress
    layout, rows = bench.layout, {name: simulations_of(folder, name) for name in ("training", "calibration")}
    summaries = {name: found["rows"][:, layout.size - layout.summary :] for name, found in rows.items()}
    observed = np.asarray(seen(bench.see(folder), bench.data).summary)
    tested = misspecification(observed, summaries["training"], summaries["calibration"])
    values = {number.name: float(number.value or 0.0) for number in tested.report.numbers}
    drawn = read_arrays(folder.parent / "real.draws" / "draws.npz")["theta"][:TWINS]
    powers = np.log(np.asarray(_twins(bench, jax.random.split(bench.key("twins"), len(drawn)), jnp.asarray(drawn))))
    half = len(powers) // 2
    null = misspecification(np.log(np.asarray(_b_modes(bench, bench.data[None])))[0], powers[:half], powers[half:])
    return Measured(values | {f"b_modes/{number.name}": float(number.value or 0.0) for number in null.report.numbers})


@eqx.filter_jit
def _twins(bench: CosmosBench, keys: Array, theta: Float[Array, "t p"]) -> Float[Array, "t bands"]:
    """B modes of surveys simulated at draws of the posterior: what mask and noise make of E modes like those observed."""
    return _b_modes(bench, jax.lax.map(lambda pair: bench.model.simulate_at(*pair), (keys, theta), batch_size=20))


@eqx.filter_jit
def _b_modes(bench: CosmosBench, shear: Float[Array, "t n n 1 2"]) -> Float[Array, "t bands"]:
    """Powers of the B modes of masked shear."""
    return jax.vmap(lambda one: band_powers(bench.bands, kaiser_squires(one)[..., 1])[0])(shear)


def _clusters(bench: CosmosBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Mean of each mass map at the heaviest clusters, in units of its scatter between random places."""
    del progress
    maps, clusters, drawn = bench.survey_maps, cosmos_clusters(), read_arrays(folder.parent / "real.draws" / "draws.npz")
    chains = read_arrays(folder.parent / "real.chains" / "exact.npz")
    found = {name: np.asarray(method(bench.data)) for name, method in bench.baselines(SMOOTHING).items()}
    found |= {"diffusion": drawn["mean"], "chains": chains["mean"]}
    row, column = (np.rint(place).astype(int) for place in maps.places(clusters.ra, clusters.dec))
    n, observed = bench.sky.pixels, maps.observed[..., 0]
    inside = (row >= 0) & (row < n) & (column >= 0) & (column < n)
    inside[inside] = observed[row[inside], column[inside]]
    chosen = np.flatnonzero(inside)[np.argsort(-clusters.mass[inside])][:HEAVIEST]
    y, x = np.nonzero(observed)
    random = np.random.default_rng(0).integers(0, len(y), (PLACES, len(chosen)))
    values, kept = {}, {}
    for name, field in found.items():
        field = field[..., 0]
        there, elsewhere = field[row[chosen], column[chosen]].mean(), field[y[random], x[random]].mean(axis=1)
        values[name] = float((there - elsewhere.mean()) / elsewhere.std())
        kept[name.replace("-", " ")] = field
    write_arrays(folder / "maps.npz", rows=row[chosen], columns=column[chosen], **kept)
    return Measured(values | {"clusters": float(len(chosen))})
