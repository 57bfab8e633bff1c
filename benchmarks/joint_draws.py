"""Seconds for one joint draw of six parameters and maps of 64² x 5 pixels, against the sampler settings of the paper.

On one core, and in one process on every core.
"""

import functools
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp

from fullfield.generative import AbstractSolver, Adams, as_seen, Condition, Heun, JointDenoiser, JointPosterior, left_as_drawn
from fullfield.inference.explicit import ShearLatents
from fullfield.recipes import RECIPES
from fullfield.recipes.joint_bench import branch
from fullfield.recipes.mass_map_bench import ShearBench, ShearFrame


PIXELS, TOGETHER = 64, 20
# Remy et al. 2026 (arXiv:2606.31988, public code): 128 steps of Heun's method, two evaluations each.
PUBLISHED = 256
BAR = 5.0  # draws per second on two cores


def run() -> list[dict]:
    ours, peer = seconds(Adams(16), exact=True), seconds(Heun(PUBLISHED), exact=False)
    every = functools.partial(os.sched_setaffinity, 0, range(os.cpu_count() or 1)) if hasattr(os, "sched_setaffinity") else None
    # Before JAX is imported, because XLA counts its threads then.
    done = subprocess.run([sys.executable, __file__, "every"], capture_output=True, text=True, check=True, preexec_fn=every)
    cores, together = int(done.stdout.split()[0]), float(done.stdout.split()[1])
    allowed = 2 / BAR / cores
    return [
        {
            "name": "joint draw, 64² x 5, one core",
            "ours": ours * 1e3,
            "peer": peer * 1e3,
            "ratio": peer / ours,
            "unit": "ms",
            "note": f"{1 / ours:.1f} draws per second, measured ({cores / ours:.1f} on {cores} such cores, extrapolated); "
            "parameters and latents moved by the model's density; beside it the same network in "
            f"{PUBLISHED} evaluations, without either",
        },
        {
            "name": f"joint draw, 64² x 5, one process on {cores} cores",
            "ours": together * 1e3,
            "peer": None,
            "ratio": None,
            "unit": "ms",
            "bar": f"<= {allowed * 1e3:.3g}",
            "met": together <= allowed,
            "note": f"{1 / together:.1f} draws per second, measured, {TOGETHER} of one observation at once",
        },
    ]


def seconds(solver: AbstractSolver, *, exact: bool) -> float:
    """Of one draw among many, with or without what the model adds; weights say nothing about speed, and are random."""
    bench = ShearBench(RECIPES["mass-map-cosmology"].configure({"pixels": PIXELS}))
    settings, layout, space = bench.configuration, bench.layout, bench.model.parameters
    frame = ShearFrame(bench.truth, ShearLatents.of(bench.model, key=jax.random.key(0)), settings.together, settings.moves)
    denoiser = JointDenoiser.make(
        space.size, layout.summary, layout.shape[-1], jnp.asarray(bench.survey), key=jax.random.key(0),
        branch=branch(settings.denoiser, layout.shape[-1]), colour=bench.colour,
    )  # fmt: skip
    given, correct = (frame.given, frame.correction) if exact else (as_seen, left_as_drawn)
    posterior = JointPosterior(space, denoiser, lambda data: data, solver, given=given, decode=frame.maps, correct=correct)
    condition = Condition(jnp.zeros(layout.shape), jnp.zeros(layout.summary), bench.observe(0)[2])
    jax.block_until_ready(posterior.draw(jax.random.key(0), condition, TOGETHER))
    start = time.perf_counter()
    jax.block_until_ready(posterior.draw(jax.random.key(1), condition, TOGETHER))
    return (time.perf_counter() - start) / TOGETHER


if __name__ == "__main__" and sys.argv[1:] == ["every"]:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(count, seconds(Adams(16), exact=True))
elif __name__ == "__main__":
    for line in run():
        print(line)
