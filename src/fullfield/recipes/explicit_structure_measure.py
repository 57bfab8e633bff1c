"""Cells of the chains through gravity: coordinates once, and for every truth a map, chains, and what they found."""

import functools
import pathlib
import time
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield import plots
from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.diagnostics import calibrate, convergence, merge, Number, regress, Report, thinned
from fullfield.inference.explicit import PartlyCentred, sample_field, SplitHMC, Target
from fullfield.inference.explicit.precondition import gradients
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.explicit_structure import ExplicitStructureConfiguration
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import column_lensing_model, StructureModel


LOOKED = 1000  # simulations of which parameters are estimated, for tests that depend on the data
BLOCK = 20  # draws
COORDINATES = ("directions", "information", "slope", "reading")
LEAST_TRUTHS = 40  # below, scatter between truths decides


class Fields(eqx.Module):
    """Noiseless convergence, initial conditions, and their parts along the directions that data tell, in one vector.

    Args:
        model: the coordinates, of a `StructureModel`.
    """

    model: PartlyCentred

    def __call__(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, " k"]:
        """Maps, white noise, its parts."""
        assert isinstance(self.model.model, StructureModel)
        white = self.model.white(theta, latents["white"])
        told = self.model.directions @ white.ravel()
        return jnp.concatenate([self.model.model.convergence(theta, white).ravel(), white.ravel(), told])

    def parts(self, vector: Float[np.ndarray, " k"]) -> dict[str, np.ndarray]:
        """The three of a vector."""
        pixels, points = (int(np.prod(shape)) for shape in (self.model.data_shape, self.model.shape))
        names = ("kappa", "white", "told")
        return dict(zip(names, np.split(vector, [pixels, pixels + points]), strict=True))


def explicit_structure_study(configuration: ExplicitStructureConfiguration) -> Study:
    """Coordinates, then truth after truth."""
    model = column_lensing_model(
        configuration.across, configuration.depth, cell=configuration.cell, galaxies=configuration.galaxies
    )
    made = model, configuration.seed
    sampled = made, configuration.chains, configuration.warmup, configuration.draws
    cells = [Cell("coordinates/response", made, functools.partial(_coordinates, configuration, model))]
    cells += [
        Cell(f"truth/{i}", (sampled, i), functools.partial(_chains, configuration, model, i), effort=4)
        for i in range(configuration.truths)
    ]
    return Study(
        cells, functools.partial(_judge, configuration, model), functools.partial(_pictures, configuration, model)
    )  # fmt: skip


def _key(configuration, name):
    return stream(jax.random.key(configuration.seed), name)


def _coordinates(configuration, model: StructureModel, folder: pathlib.Path, progress: Progress) -> Measured:
    """Directions that data tell, and simulations from which parameters are estimated without any chain."""
    del progress
    found = PartlyCentred.of(model)
    looked = model.simulate(_key(configuration, "looked"), LOOKED)
    arrays = {name: np.asarray(getattr(found, name)) for name in COORDINATES}
    summaries = _summaries(np.asarray(looked.data))
    write_arrays(folder / "coordinates.npz", **arrays, theta=np.asarray(looked.theta), summaries=summaries)
    cost = int(np.prod(model.data_shape)) * (1 + 2 * model.parameters.size)
    return Measured({"directions": float(len(found.information))}, LOOKED, cost)


def _summaries(maps: Float[np.ndarray, "m n n bins"]) -> Float[np.ndarray, "m s"]:
    """Logarithms of the variances of maps of each bin and of their mean."""
    every = np.concatenate([maps, maps.mean(axis=-1, keepdims=True)], axis=-1)
    return np.log(np.var(every, axis=(1, 2)))


def _centred(model: StructureModel, folder: pathlib.Path) -> PartlyCentred:
    """The model in the coordinates that were found; `folder` is that of any cell."""
    found = read_arrays(folder.parent / "coordinates.response" / "coordinates.npz")
    parts = (jnp.asarray(found[name]) for name in COORDINATES)
    return PartlyCentred(model.parameters, model, "white", model.dynamics.box.shape, *parts)


@eqx.filter_jit
def _simulated(centred, key):
    """Parameters from the prior, the data, the fields that made them, and the point that is."""
    model = centred.model
    theta = model.parameters.sample(stream(key, "parameters"))
    latents, data = model.simulate_with_latents(stream(key, "data"), theta)
    x = {"white": centred.centred(theta, latents["white"])}
    return theta, data, Fields(centred)(theta, x), Target(centred, data).join(theta, x)


@eqx.filter_jit
def _dispersed(centred, data, key, chains):
    """Starting points: parameters of the prior, and latents that data allow."""
    theta = centred.parameters.sample(stream(key, "parameters"), (chains,))
    keys = jax.random.split(stream(key, "latents"), chains)
    return jax.vmap(lambda key, theta: centred.near(key, theta, data))(keys, theta)


def _chains(configuration, model: StructureModel, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Chains of one truth."""
    key, c = jax.random.fold_in(_key(configuration, "truths"), i), configuration.chains
    centred = _centred(model, folder)
    theta, data, truth, point = _simulated(centred, stream(key, "simulation"))
    start = time.monotonic()
    chains = sample_field(
        centred, data, key=stream(key, "chains"), sampler=SplitHMC(), draws=configuration.draws, chains=c,
        start=_dispersed(centred, data, stream(key, "start"), c), warmup=configuration.warmup,
        block=min(BLOCK, configuration.draws), product=Fields(centred), progress=progress,
    )  # fmt: skip
    seconds = time.monotonic() - start
    # At as many points as there are chains, a program that is compiled already.
    everywhere = jnp.broadcast_to(data, (c, *data.shape)), jnp.broadcast_to(point, (c, point.size))
    density = gradients(Target(centred, data), *everywhere)[0][0]
    tested = thinned(np.column_stack([chains.draws, chains.log_density.ravel()]), configuration.tested)
    write_arrays(
        folder / "chains.npz", theta=np.asarray(theta), draws=chains.draws, data=np.asarray(data), truth=np.asarray(truth),
        mean=chains.product_mean, std=chains.product_std,
    )  # fmt: skip
    found = {number.name: float(number.value) for number in convergence(**chains.evidence).numbers}
    found |= {"acceptance": float(chains.acceptance.mean()), "step": chains.step_size, "seconds": seconds}
    found |= {"sampling": chains.gradients_per_draw * chains.log_density.size}
    looked = read_arrays(folder.parent / "coordinates.response" / "coordinates.npz")
    estimate = regress(looked["theta"], looked["summaries"], _summaries(np.asarray(data)[None]))[0]
    for name, rows in (("truth", [[*theta, density]]), ("estimate", [estimate]), ("draw", tested)):
        found |= {f"{name}/{j}/{k}": float(value) for j, row in enumerate(rows) for k, value in enumerate(row)}
    return Measured(found | _compared(Fields(centred), truth, chains.product_mean, chains.product_std), 1, chains.gradients)


def _compared(fields: Fields, truth, mean, std) -> dict[str, float]:
    """Correlation of mean fields with the truth, and squared errors over variances."""
    true, found, deviation = (fields.parts(np.asarray(vector, np.float64)) for vector in (truth, mean, std))
    values = {f"z2/{name}": float(np.mean(((true[name] - found[name]) / deviation[name]) ** 2)) for name in true}
    maps = [fields_["kappa"].reshape(fields.model.data_shape) for fields_ in (true, found)]
    for bin_ in range(maps[0].shape[-1]):
        one, other = (each[..., bin_].ravel() for each in maps)
        values[f"correlation/kappa/{bin_ + 1}"] = float(np.corrcoef(one, other)[0, 1])
    for name in ("white", "told"):
        values[f"correlation/{name}"] = float(np.corrcoef(true[name], found[name])[0, 1])
    return values


def _judge(configuration: ExplicitStructureConfiguration, model: StructureModel, found: Mapping[str, Measured]) -> Report:
    cells = [found[f"truth/{i}"] for i in range(configuration.truths)]
    column = lambda name: np.array([cell.values[name] for cell in cells])  # noqa: E731
    enough, names = configuration.truths >= LEAST_TRUTHS, model.parameters.names
    numbers = []
    for name in names:
        hats, sizes = column(f"chains/{name}/rhat"), column(f"chains/{name}/ess_bulk")
        numbers += [
            Number(f"convergence/{name}/largest R-hat", hats.max(), bar="<= 1.1" if enough else None),
            Number(f"convergence/{name}/median R-hat", float(np.median(hats))),
            Number(
                f"convergence/{name}/least effective draws", sizes.min(), bar=f">= {configuration.tested}" if enough else None
            ),
            Number(f"convergence/{name}/median effective draws", float(np.median(sizes))),
        ]
    gradients_ = np.array([cell.gradients for cell in cells])
    least = np.min([column(f"chains/{name}/ess_bulk") for name in names], axis=0)
    divergences = column("chains/divergences").sum()
    numbers += [
        Number("convergence/divergences", divergences),
        Number("convergence/acceptance", *_mean(column("acceptance"))),
        Number("convergence/step, radians", *_mean(column("step"))),
        Number("cost/gradients of a map", *_mean(gradients_)),
        Number("cost/sampling gradients per effective draw", float(np.median(column("sampling") / least))),
        Number("cost/seconds of a map", float(np.median(column("seconds")))),
        Number("information/directions", found["coordinates/response"].values["directions"]),
    ]
    for kind in ("kappa", "told", "white"):
        label = {"kappa": "kappa", "told": "initial conditions that data tell", "white": "initial conditions"}[kind]
        bins = [f"kappa/{bin_ + 1}" for bin_ in range(model.data_shape[-1])] if kind == "kappa" else [kind]
        for one in bins:
            numbers.append(Number(f"{label}/correlation{one.removeprefix(kind)}", *_mean(column(f"correlation/{one}"))))
        bar = "in [0.8, 1.2]" if enough else None
        numbers.append(Number(f"{label}/squared error over variance", *_mean(column(f"z2/{kind}")), bar=bar))
    return merge((Report(tuple(numbers)), _calibration(configuration, model, cells).report))


def _calibration(configuration, model, cells):
    """Ranks, coverage and balls of the parameters, and ranks of the joint density of parameters, latents and data."""
    p = model.parameters.size

    def table(name, rows, columns):
        return np.array([[[cell.values[f"{name}/{j}/{k}"] for k in range(columns)] for j in range(rows)] for cell in cells])

    truths, draws = table("truth", 1, p + 1)[:, 0], table("draw", configuration.tested, p + 1)
    return calibrate(
        truths[:, :p], draws[..., :p], names=model.parameters.names, estimates=table("estimate", 1, p)[:, 0],
        quantities={"log_density": (truths[:, p], draws[..., p])}, key=_key(configuration, "tests"),
    )  # fmt: skip


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def _pictures(
    configuration: ExplicitStructureConfiguration, model: StructureModel, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    space, side = model.parameters, model.survey.sky.side
    first = read_arrays(directory.checkpoint("truth.0") / "chains.npz")
    fields = Fields(_centred(model, directory.checkpoint("truth.0")))
    prior = np.asarray(space.sample(_key(configuration, "prior"), (4000,)))
    contours = plots.corner(first["draws"], space.labels, space.bounds, truth=first["theta"], others={"prior": prior})
    true, mean, std = (fields.parts(first[name]) for name in ("truth", "mean", "std"))
    maps = [first["data"], *(one["kappa"].reshape(model.data_shape) for one in (true, mean, std))]
    # White noise is seen along the line of sight.
    noise = [one["white"].reshape(fields.model.shape).mean(axis=-1) for one in (true, mean)]
    curves = _calibration(configuration, model, [found[f"truth/{i}"] for i in range(configuration.truths)]).ranks.curves
    ranks = plots.rank_curves(
        curves.alpha, curves.values - curves.alpha, np.stack([curves.low, curves.high]) - curves.alpha,
        [*space.labels, r"\mathrm{density}"],
    )  # fmt: skip
    titles = ("data", "truth", "mean", "deviation")
    return [
        Illustration("Parameters", "posterior", contours, "The first truth. Contours hold 68 % and 95 %."),
        Illustration(
            "Maps", "maps", plots.map_row(np.stack([one[..., -1] for one in maps]), titles, side=side),
            "The first truth, in the last bin: data, convergence without noise, and mean and deviation of the draws.",
        ),
        Illustration(
            "Maps", "initial-conditions",
            plots.map_row(np.stack(noise), ("truth", "mean"), label="white noise, mean along the line of sight"),
            "Initial conditions of the first truth: what data tell of them.",
        ),
        Illustration(
            "Calibration", "ranks", ranks,
            f"Ranks of {configuration.truths} truths among the draws, of the parameters and of their joint density with "
            "initial conditions and data. Grey: 95 % band of one curve.",
        ),
    ]  # fmt: skip
