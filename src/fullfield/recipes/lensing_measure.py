"""Cells of the lensing benchmark: reference chains, their cost, the compressor, and every implicit method against them."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import load_module, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import compress, Compressor, standardising, train_vmim
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import c2st, convergence, ess_bulk, figure_of_merit, Number, Report
from fullfield.inference import sample_many
from fullfield.inference.explicit import AbstractSampler, Chains, MCLMC, NUTS, sample_field
from fullfield.inference.implicit import sequential
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.lensing import LENSING
from fullfield.recipes.lensing_benchmark import LensingBenchmarkConfiguration, PUBLISHED
from fullfield.recipes.problem import Problem
from fullfield.recipes.sbi_measure import BATCH, HELD_OUT, METHODS
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import AbstractForwardModel
from fullfield.training import cosine_adam


UNITS = 60  # of the classifier, as in the published benchmark
GRADIENTS = 63_000


def lensing_study(configuration: LensingBenchmarkConfiguration) -> Study:
    """The reference, the chains that are compared, the compressor, and every implicit method at every budget."""
    problem = LENSING.build(LENSING.configure({"model": {"pixels": configuration.pixels}}))
    settings = configuration.model_dump(exclude={"recipe", "scale", "methods", "budgets", "seeds"})
    bench, lengths = Bench(configuration, problem), configuration.reference
    chains = {
        "reference": (MCLMC(), lengths.draws),
        "mclmc": (MCLMC(), lengths.explicit_draws),
        "nuts": (NUTS(), lengths.nuts_draws),
    }
    cells = [
        Cell(f"explicit/{name}", (name, settings), functools.partial(_explicit, bench, name, sampler, draws))
        for name, (sampler, draws) in chains.items()
    ]
    cells.append(Cell("compressor/vmim", settings, functools.partial(_compress, bench)))
    cells += [
        Cell(
            f"{method}/{budget}/{seed}",
            (method, budget, seed, settings),
            functools.partial(_implicit, bench, method, budget, seed),
        )
        for method in configuration.methods
        for budget in configuration.budgets
        for seed in range(configuration.seeds)
    ]
    return Study(cells, functools.partial(_judge, configuration))


@dataclass(frozen=True)
class Bench:
    """What all cells share, and where they find what earlier ones left beside their own folder."""

    configuration: LensingBenchmarkConfiguration
    problem: Problem

    @property
    def model(self) -> AbstractForwardModel:
        """Forward model of the maps."""
        return self.problem.model

    def key(self, name: str) -> jax.Array:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def observe(self) -> jax.Array:
        """The observation: maps at the fiducial parameters."""
        return eqx.filter_jit(self.model.simulate_at)(self.key("observation"), self.model.parameters.fiducial)

    def distance(self, folder: pathlib.Path, draws: np.ndarray, name: str) -> float:
        """C2ST of draws (n, p) against as many of the reference, evenly thinned."""
        theta = read_arrays(folder.parent / "explicit.reference" / "chains.npz")["theta"]
        reference = _thinned(theta.reshape(-1, theta.shape[-1]), len(draws))
        report = c2st(draws, reference, units=UNITS, key=self.key(f"c2st {name}"))
        return float(report.numbers[0].value)

    def network(self) -> Callable[..., jax.Array]:
        """The compressor's network before training."""
        assert self.problem.network is not None
        return self.problem.network(self.model.parameters.size, self.key("network"))

    def compressor(self, folder: pathlib.Path) -> Compressor:
        """The trained compressor."""
        skeleton = standardising(self.network(), jnp.zeros((1, *self.model.data_shape)))
        return load_module(folder.parent / "compressor.vmim" / "compressor.eqx", skeleton)


def _thinned(draws: np.ndarray, n: int) -> np.ndarray:
    return draws[np.linspace(0, len(draws) - 1, n).astype(int)]


def _explicit(
    bench: Bench, name: str, sampler: AbstractSampler, draws: int, folder: pathlib.Path, progress: Progress
) -> Measured:
    settings = bench.configuration.reference
    chains = sample_field(
        bench.model, bench.observe(),
        key=bench.key(name), sampler=sampler, draws=draws, chains=settings.chains, warmup=settings.warmup,
        directory=folder, progress=progress,
    )  # fmt: skip
    write_arrays(folder / "chains.npz", theta=chains.theta)
    kept = chains.theta.shape[0] * chains.theta.shape[1]
    values = _convergence(chains) | {"ess_per_gradient": _least_ess(chains.theta) / (chains.gradients_per_draw * kept)}
    merit = figure_of_merit(chains.draws, names=bench.model.parameters.names).numbers
    values |= {number.name: number.value for number in merit}
    if name == "mclmc":
        values |= _by_cost(bench, folder, chains)
    return Measured(values, gradients=chains.gradients)


def _by_cost(bench: Bench, folder: pathlib.Path, chains: Chains) -> dict[str, float]:
    """C2ST of the first draws of all chains, by the gradients spent until then, the warm-up included."""
    count, n = chains.theta.shape[:2]
    tuning = chains.gradients - chains.gradients_per_draw * count * n
    values = {}
    for part in np.unique(np.geomspace(min(50, n), n, 6).astype(int)):
        draws = chains.theta[:, :part].reshape(-1, chains.theta.shape[-1])
        draws = _thinned(draws, min(len(draws), bench.configuration.draws))
        spent = round(tuning + chains.gradients_per_draw * count * part)
        values[f"c2st/{spent}"] = bench.distance(folder, draws, f"explicit {part}")
    return values


def _convergence(chains: Chains) -> dict[str, float]:
    report = convergence(
        chains.theta, names=chains.names, gradients=chains.gradients, divergences=chains.divergences, energy=chains.energy,
        energy_variance=chains.energy_variance, energy_target=chains.energy_target,
    )  # fmt: skip
    return {number.name: float(number.value) for number in report.numbers}


def _least_ess(theta: np.ndarray) -> float:
    return min(ess_bulk(theta[..., i]) for i in range(theta.shape[-1]))


def _compress(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    settings, model = bench.configuration.compression, bench.model
    n = settings.simulations // HELD_OUT
    simulations = model.simulate(bench.key("compressor simulations"), settings.simulations)
    theta, data = np.asarray(simulations.theta), np.asarray(simulations.data)
    source = StoredSimulations(theta[n:], data[n:], batch_size=64, augment=bench.problem.augment)
    held_out = StoredSimulations(theta[:n], data[:n], batch_size=64)
    compressor, history = train_vmim(
        bench.network(), model.parameters, source, held_out,
        key=bench.key("compressor"), optimiser=cosine_adam(2e-3, settings.epochs * source.steps_per_epoch),
        max_epochs=settings.epochs, patience=settings.epochs, checkpoint=folder / "training", progress=progress,
    )  # fmt: skip
    save_module(folder / "compressor.eqx", compressor)
    return Measured({"held_out": history.best}, simulations=settings.simulations)


def _implicit(bench: Bench, method: str, budget: int, seed: int, folder: pathlib.Path, progress: Progress) -> Measured:
    chosen, model = METHODS[method], bench.model
    key = jax.random.fold_in(bench.key(f"{method} {budget}"), seed)
    compressor, observation, batch = bench.compressor(folder), bench.observe(), min(BATCH, budget // HELD_OUT)
    if chosen.rounds > 1:
        posterior, _ = sequential(
            chosen.train, model, observation,
            key=key, rounds=chosen.rounds, simulations=budget // chosen.rounds, summarise=compressor, batch_size=batch,
            directory=folder, progress=progress,
        )  # fmt: skip
    else:
        simulations = model.simulate(stream(key, "simulations"), budget)
        theta, summaries = np.asarray(simulations.theta), np.asarray(compress(compressor, simulations.data))
        n = budget // HELD_OUT
        source, held_out = (
            StoredSimulations(theta[part], summaries[part], batch_size=batch) for part in (slice(n, None), slice(n))
        )
        posterior, _ = chosen.train(
            model.parameters, source, held_out,
            key=stream(key, "training"), checkpoint=folder / "training", progress=progress, stage=f"{method}, {budget}",
        )  # fmt: skip
    draws = sample_many(posterior, stream(key, "draws"), compressor(observation)[None], bench.configuration.draws)[0]
    return Measured({"c2st": bench.distance(folder, draws, f"{method} {budget} {seed}")}, simulations=budget)


def _judge(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> Report:
    reference, mclmc, nuts = (found[f"explicit/{name}"].values for name in ("reference", "mclmc", "nuts"))
    numbers = [
        Number(f"reference/{name}", value, bar="<= 1.01" if name.endswith("/rhat") else None)
        for name, value in reference.items()
    ]
    by_cost = {int(name.removeprefix("c2st/")): value for name, value in mclmc.items() if name.startswith("c2st/")}
    numbers += [Number(f"explicit/c2st/{spent}", value) for spent, value in by_cost.items()]
    affordable = [value for spent, value in by_cost.items() if spent <= GRADIENTS]
    if affordable:
        numbers.append(Number(f"explicit/c2st within {GRADIENTS}", affordable[-1], bar="<= 0.61", published=0.765))
    ratio = mclmc["ess_per_gradient"] / nuts["ess_per_gradient"]
    numbers.append(Number("explicit/ess per gradient over NUTS", ratio, bar=">= 5" if configuration.pixels == 64 else None))
    best: dict[int, float] = {}
    for method in configuration.methods:
        for budget in configuration.budgets:
            values = np.array([found[f"{method}/{budget}/{seed}"].values["c2st"] for seed in range(configuration.seeds)])
            error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else None
            numbers.append(
                Number(f"c2st/{method}/{budget}", float(values.mean()), error, published=PUBLISHED.get((method, budget)))
            )
            best[budget] = min(best.get(budget, 1.0), float(values.mean()))
    for budget, bar, published in ((1000, "<= 0.6", 0.612), (2000, "<= 0.56", 0.586)):
        if budget in best:
            numbers.append(Number(f"c2st/best/{budget}", best[budget], bar=bar, published=published))
    return Report(tuple(numbers))
