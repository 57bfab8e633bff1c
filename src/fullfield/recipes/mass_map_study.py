"""The joint study of tomographic shear: scores before it, and after it other mass maps and warm starts of chains."""

import functools
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.diagnostics import merge
from fullfield.inference.explicit import sample_field
from fullfield.recipes.joint_measure import posterior
from fullfield.recipes.joint_study import inputs_of, joint_study
from fullfield.recipes.mass_map import MassMapConfiguration
from fullfield.recipes.mass_map_baselines import baseline_cell
from fullfield.recipes.mass_map_bench import estimate_cell, SAMPLER, ShearBench, ShearFrame, worst
from fullfield.recipes.mass_map_judge import chain_numbers, map_numbers, map_pictures, RHAT
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.simulators import ShearModel


def mass_map_study(configuration: MassMapConfiguration) -> Study:
    """The joint study, with scores before, other mass maps and warm starts after."""
    bench, warm = ShearBench(configuration), configuration.warm
    first = (estimate_cell(bench),)
    common = configuration.seed, bench.model, warm.draws, warm.warmups, configuration.reference.chains
    starts = [
        Cell(
            f"start/{kind}/{i}", (common, inputs_of(bench, first).drawn if kind == "warm" else None),
            functools.partial(_start, bench, kind, i), effort=2,
        )
        for i in range(warm.observations)
        for kind in ("warm", "dispersed")
    ]  # fmt: skip
    study = joint_study(bench, first, (baseline_cell(bench, first), *starts))
    return Study(
        study.cells,
        lambda found: merge([study.judge(found), map_numbers(found), chain_numbers(found)]),
        lambda found, directory: [*study.illustrate(found, directory), *map_pictures(found)],
    )


def _start(bench: ShearBench, kind: str, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Gradients until chains of a fixed length agree, from joint draws or from the prior."""
    settings, chains = bench.configuration.warm, bench.configuration.reference.chains
    data, key = bench.observe(i)[2], jax.random.fold_in(bench.key(f"start {kind}"), i)
    points, frame = None, bench.frame(folder)
    if kind == "warm":
        found = eqx.tree_at(lambda drawn: drawn.decode, posterior(bench, folder), _Points(bench.model, frame))
        _, points = found.sample(stream(key, "points"), data, chains)
    values, spent = {}, 0
    first = chains * frame.gradients if kind == "warm" else 0
    for warmup in settings.warmups:
        if values.get("rhat", np.inf) <= RHAT:
            break
        run = sample_field(
            bench.model, data, key=jax.random.fold_in(key, warmup), sampler=SAMPLER, draws=settings.draws, chains=chains,
            start=points, warmup=warmup, block=max(5, warmup // 4), progress=progress,
        )  # fmt: skip
        values = {**worst(run), "warmup": float(warmup), "gradients": float(first + run.gradients)}
        spent += run.gradients
    return Measured(values, gradients=first + spent)


class _Points(eqx.Module):
    """Where chains start."""

    model: ShearModel
    frame: ShearFrame

    def __call__(self, theta, field, condition):
        white = self.frame.white(theta, field, condition)["white"]
        return jnp.concatenate([self.model.parameters.to_unconstrained(theta), white.ravel()])
