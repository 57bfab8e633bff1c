"""Cells of the lensing benchmark: reference chains, their cost, the compressor, and every implicit method against them."""

import functools
import pathlib
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import load_module, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import canonical
from fullfield.diagnostics import (
    agreement,
    c2st,
    convergence,
    ess_bulk,
    figure_of_merit,
    misspecification,
    thinned,
)
from fullfield.inference import sample_many
from fullfield.inference.explicit import Chains, MCLMC, NUTS, ReconstructedScore, sample_field
from fullfield.inference.implicit import sequential, train_nle
from fullfield.networks import regression
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.recipes.lensing import LENSING
from fullfield.recipes.lensing_benchmark import LensingBenchmarkConfiguration
from fullfield.recipes.lensing_judge import judge
from fullfield.recipes.lensing_pictures import pictures
from fullfield.recipes.lensing_summaries import summaries, Summary
from fullfield.recipes.problem import Problem
from fullfield.recipes.sbi_measure import amortise, BATCH, HELD_OUT, Method, METHODS as ALL_METHODS
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import LensingModel, linear_bands, modes_of_sky, SpectrumModel


# Summaries of a map are Gaussian about a smooth mean, so that rounds need no more than a regression of them.
METHODS = ALL_METHODS | {"snle": Method(functools.partial(train_nle, density=regression, max_epochs=1), 20, hold_out=False)}
MOMENTS = 64  # simulations for mean and covariance of the score about each point
# Unadjusted: by adjusted chains as many effective draws cost several times as many gradients, and C2ST sees single draws
# repeated. At 64 x 64 pixels w₀ is .06 of its deviation lower than theirs.
REFERENCE = MCLMC()
# The energy variance that its authors recommend. Kept four times as often as by default, so that as many draws are compared as
# the reference has.
COMPARED, OFTEN = MCLMC(energy_variance=5e-4, steps_per_draw=2), 4
COSTLY = NUTS(doublings=6)
LEAST = 100  # simulations in a round
SKY = 100 / 41_253  # fraction whose modes the published analysis of spectra counts, and not those of the periodic patch
UNITS = 60  # of the classifier, as in the published benchmark


def lensing_study(configuration: LensingBenchmarkConfiguration) -> Study:
    """The reference, chains that are compared, the classical analysis, the compressor, and implicit methods at every budget."""
    published = configuration.observation == "published-mock"
    settings = {"model": {"pixels": configuration.pixels, "physics": "sbi_lens" if published else "lsst_y10"}}
    problem = LENSING.build(LENSING.configure(settings | ({"observation": "published-mock"} if published else {})))
    bench = Bench(configuration, problem)
    common = configuration.model_dump(include={"seed", "pixels", "observation", "reference"}) | {"sampler": REFERENCE}
    chains, nuts, spectra = (
        common | {"explicit": configuration.explicit.model_dump(include={"chains", "warmup", own}), "compared": sampler}
        for own, sampler in (("gradients", COMPARED), ("nuts_draws", COSTLY), ("spectrum_draws", None))
    )
    implicit = common | configuration.model_dump(include={"draws", "compression"})
    cells = [
        Cell("explicit/reference", common, functools.partial(_reference, bench), effort=30),
        Cell("reference/floor", (common, configuration.draws), functools.partial(_floor, bench)),
    ]
    if configuration.explicit.compared:
        cells += [
            Cell("explicit/mclmc", chains, functools.partial(_mclmc, bench, False), effort=20),
            Cell("explicit/nuts", nuts, functools.partial(_nuts, bench), effort=8),
        ]
    cells += [
        Cell("spectra/fixed", spectra, functools.partial(_spectra, bench, True), effort=5),
        Cell("spectra/varying", spectra, functools.partial(_spectra, bench, False), effort=5),
    ]
    if configuration.methods:
        cells.append(Cell("compressor/canonical", implicit, functools.partial(_compress, bench), effort=10))
    most = max(configuration.budgets)
    if bench.teacher:
        cells += [
            Cell(f"simulations/{seed}", (seed, most, implicit), functools.partial(_simulate, bench, seed, most), effort=4)
            for seed in range(configuration.seeds)
        ]
    cells += [
        Cell(
            f"{method}/{budget}/{seed}",
            (method, budget, seed, implicit),
            functools.partial(_implicit, bench, method, budget, seed),
        )
        for method in configuration.methods
        for budget in configuration.budgets
        for seed in range(configuration.seeds)
    ]
    if bench.teacher and configuration.explicit.compared:
        cells.append(
            Cell("explicit/warm", (chains, implicit, bench.teacher), functools.partial(_mclmc, bench, True), effort=20)
        )
    return Study(cells, functools.partial(judge, configuration), functools.partial(pictures, configuration, problem))


@dataclass(frozen=True)
class Bench:
    """What all cells share, and where they find what earlier ones left beside their own folder."""

    configuration: LensingBenchmarkConfiguration
    problem: Problem

    @property
    def model(self) -> LensingModel:
        """Forward model of the maps."""
        assert isinstance(self.problem.model, LensingModel)
        return self.problem.model

    @property
    def teacher(self) -> str | None:
        """Cell whose draws the warm chains start from: amortised, and of the most simulations."""
        amortised = [method for method in self.configuration.methods if METHODS[method].rounds == 1]
        return f"{amortised[0]}/{max(self.configuration.budgets)}/0" if amortised else None

    def key(self, name: str) -> jax.Array:
        """Key of the stream called `name`."""
        return stream(jax.random.key(self.configuration.seed), name)

    def observe(self) -> jax.Array:
        """The observation: the published maps, or ones simulated at the fiducial parameters."""
        if self.problem.observation is not None:
            return jnp.asarray(self.problem.observation)
        return self.truth()[1]

    def truth(self) -> tuple[dict[str, jax.Array], jax.Array]:
        """Latents and data of the simulated observation."""
        return eqx.filter_jit(self.model.simulate_with_latents)(self.key("observation"), self.model.parameters.fiducial)

    def reference(self, folder: pathlib.Path) -> np.ndarray:
        """Draws of the reference by chains (c, n, p)."""
        return read_arrays(folder.parent / "explicit.reference" / "chains.npz")["theta"]

    def distance(self, folder: pathlib.Path, draws: np.ndarray, name: str) -> float:
        """C2ST of draws (n, p) against as many of the reference, the longer of both evenly thinned."""
        others = _flat(self.reference(folder))
        n = min(len(draws), len(others))
        return self._distance(thinned(draws, n), thinned(others, n), name)

    def _distance(self, draws: np.ndarray, others: np.ndarray, name: str) -> float:
        report = c2st(draws, others, units=UNITS, key=self.key(f"c2st {name}"))
        return float(report.numbers[0].value)

    def floor(self, folder: pathlib.Path) -> float:
        """C2ST of one half of the reference's chains against the other."""
        one, other = (_flat(half) for half in np.array_split(self.reference(folder), 2))
        n = min(self.configuration.draws, len(one), len(other))
        return self._distance(thinned(one, n), thinned(other, n), "floor")

    def compressor(self, folder: pathlib.Path) -> Summary:
        """The compressor that was found."""
        blank = Summary.blank(self.model, self.configuration.compression.points)
        return load_module(folder.parent / "compressor.canonical" / "compressor.eqx", blank)


def _flat(theta: np.ndarray) -> np.ndarray:
    return theta.reshape(-1, theta.shape[-1])


def _reference(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    settings = bench.configuration.reference
    chains = sample_field(
        bench.model, bench.observe(),
        key=bench.key("reference"), sampler=REFERENCE, draws=settings.draws, chains=settings.chains,
        warmup=settings.warmup, directory=folder, progress=progress,
    )  # fmt: skip
    return _measured(bench, chains, folder)


def _floor(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    progress("comparing", 0, 1)
    return Measured({"c2st": bench.floor(folder)})


def _mclmc(bench: Bench, warm: bool, folder: pathlib.Path, progress: Progress) -> Measured:
    """Chains as long as the dearest accuracy asks for, from draws of the prior or of an amortised posterior."""
    settings, start = bench.configuration.explicit, None
    if warm:
        assert bench.teacher is not None
        taught = read_arrays(folder.parent / bench.teacher.replace("/", ".") / "draws.npz")["theta"]
        start = thinned(taught, settings.chains)
    per_draw = 2 * COMPARED.steps_per_draw * settings.chains
    chains = sample_field(
        bench.model, bench.observe(),
        key=bench.key("warm" if warm else "mclmc"), sampler=COMPARED, draws=max(settings.gradients) // per_draw,
        chains=settings.chains, warmup=OFTEN * settings.warmup, block=OFTEN * 25, start=start,
        directory=folder, progress=progress,
    )  # fmt: skip
    measured = _measured(bench, chains, folder)
    tuning = chains.gradients - per_draw * chains.theta.shape[1]
    accuracy = {}
    for cost in settings.gradients:
        part = round((cost - tuning) // per_draw)
        if part * settings.chains >= min(1000, bench.configuration.draws):  # of fewer, a classifier learns nothing
            draws = _flat(chains.theta[:, :part])
            draws = thinned(draws, min(len(draws), bench.configuration.draws))
            accuracy[f"c2st/{cost}"] = bench.distance(folder, draws, f"{'warm' if warm else 'mclmc'} {cost}")
    return Measured(dict(measured.values) | accuracy, gradients=chains.gradients)


def _nuts(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    settings = bench.configuration.explicit
    chains = sample_field(
        bench.model, bench.observe(),
        key=bench.key("nuts"), sampler=COSTLY, draws=settings.nuts_draws, chains=settings.chains,
        warmup=settings.warmup, directory=folder, progress=progress,
    )  # fmt: skip
    measured = _measured(bench, chains, folder)
    agreed = {"agreement": agreement(chains.theta, bench.reference(folder))}
    return Measured(dict(measured.values) | agreed, gradients=chains.gradients)


def _spectra(bench: Bench, fixed: bool, folder: pathlib.Path, progress: Progress) -> Measured:
    """The classical analysis: a Gaussian likelihood of all auto- and cross-spectra."""
    settings, bands = bench.configuration.explicit, linear_bands(bench.model.survey.sky)
    published = bench.configuration.observation == "published-mock"
    model = SpectrumModel(
        bench.model, bands,
        fixed_at=bench.model.parameters.fiducial if fixed else None,
        modes=modes_of_sky(bands, SKY) if published else None,
    )  # fmt: skip
    chains = sample_field(
        model, eqx.filter_jit(model.measure)(bench.observe()),
        key=bench.key("spectra"), draws=settings.spectrum_draws, chains=settings.chains, warmup=settings.warmup,
        directory=folder, progress=progress,
    )  # fmt: skip
    return _measured(bench, chains, folder)


def _measured(bench: Bench, chains: Chains, folder: pathlib.Path) -> Measured:
    """Convergence, cost and figure of merit of chains, which stay in the cell's folder with the field's moments."""
    write_arrays(
        folder / "chains.npz", theta=chains.theta, observation=np.asarray(bench.observe()),
        product_mean=chains.product_mean, product_std=chains.product_std,
    )  # fmt: skip
    values = {number.name: float(number.value) for number in convergence(**chains.evidence).numbers}
    kept = chains.theta.shape[0] * chains.theta.shape[1]
    if chains.energy_target is not None:
        values["energy_target"] = chains.energy_target
    values["ess_per_gradient"] = _least_ess(chains.theta) / (chains.gradients_per_draw * kept)
    values |= {number.name: number.value for number in figure_of_merit(chains.draws, names=chains.names).numbers}
    return Measured(values, gradients=chains.gradients)


def _least_ess(theta: np.ndarray) -> float:
    return min(ess_bulk(theta[..., i]) for i in range(theta.shape[-1]))


def _compress(bench: Bench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Scores about parameters that a first, rough posterior of the observation finds likely, and their best combinations."""
    settings, model, observation = bench.configuration.compression, bench.model, bench.observe()
    rough = ReconstructedScore.about(model, key=bench.key("fiducial score"), simulations=MOMENTS)
    pilot, _ = sequential(
        METHODS["snle"].train, model, observation,
        key=bench.key("pilot"), rounds=settings.rounds, simulations=settings.pilot, summarise=rough, local=True, hold_out=False,
        batch_size=min(BATCH, settings.pilot // HELD_OUT), directory=folder / "pilot", progress=progress,
    )  # fmt: skip
    theta = pilot.sample(bench.key("pilot draws"), eqx.filter_jit(rough)(observation), settings.simulations + settings.points)
    points, theta = jnp.split(theta, [settings.points])
    score = ReconstructedScore.about(model, key=bench.key("scores"), theta=points, simulations=MOMENTS)
    rows = summaries(model, score, bench.key("compressor simulations"), theta, progress)
    found = Summary(score, canonical(model.parameters, theta, rows))
    save_module(folder / "compressor.eqx", found)
    # In all scores, of which the summary's combinations are those that the parameters can follow.
    n = settings.simulations // 2
    doubt = misspecification(np.asarray(eqx.filter_jit(score)(observation)), rows[n:], rows[:n])
    piloted, moments = settings.rounds * settings.pilot, MOMENTS * (1 + settings.points)
    return Measured(
        {number.name: float(number.value) for number in doubt.report.numbers},
        simulations=moments + piloted + settings.simulations,
        gradients=rough.gradients * (moments + piloted) + score.gradients * settings.simulations,
    )


def _simulate(bench: Bench, seed: int, n: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Summaries of simulations that all amortised methods share, so that they are compared on the same ones."""
    key = jax.random.fold_in(bench.key("simulations"), seed)
    theta = bench.model.parameters.sample(stream(key, "prior"), (n,))
    compressor = bench.compressor(folder)
    summary = summaries(bench.model, compressor, stream(key, "simulations"), theta, progress)
    write_arrays(folder / "simulations.npz", theta=np.asarray(theta), summaries=summary)
    return Measured({}, simulations=n, gradients=n * compressor.score.gradients)


def _implicit(bench: Bench, method: str, budget: int, seed: int, folder: pathlib.Path, progress: Progress) -> Measured:
    chosen, model = METHODS[method], bench.model
    key = jax.random.fold_in(bench.key(f"{method} {budget}"), seed)
    compressor, observation = bench.compressor(folder), bench.observe()
    if chosen.rounds > 1:
        rounds = min(chosen.rounds, budget // LEAST)
        each = budget // rounds
        posterior, _ = sequential(
            chosen.train, model, observation,
            key=key, rounds=rounds, simulations=each, summarise=compressor, local=True, hold_out=chosen.hold_out,
            batch_size=min(BATCH, each // HELD_OUT), directory=folder, progress=progress,
        )  # fmt: skip
    else:
        shared = read_arrays(folder.parent / f"simulations.{seed}" / "simulations.npz")
        posterior = amortise(
            chosen, model.parameters, shared["theta"][:budget], shared["summaries"][:budget],
            key=stream(key, "training"), checkpoint=folder / "training", progress=progress, stage=f"{method}, {budget}",
        )  # fmt: skip
    observed = eqx.filter_jit(compressor)(observation)
    draws = sample_many(posterior, stream(key, "draws"), observed[None], bench.configuration.draws)[0]
    write_arrays(folder / "draws.npz", theta=draws)
    # What amortised methods were given is counted once, where it was simulated.
    made = budget if chosen.rounds > 1 else 0
    distance = bench.distance(folder, draws, f"{method} {budget} {seed}")
    return Measured({"c2st": distance}, simulations=made, gradients=made * compressor.score.gradients)
