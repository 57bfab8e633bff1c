"""Seconds for one joint draw of six parameters and maps of 64² x 5 pixels, against the sampler settings of the paper."""

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
    return [
        {
            "name": "joint draw, 64² x 5",
            "ours": ours * 1e3,
            "peer": peer * 1e3,
            "ratio": peer / ours,
            "unit": "ms",
            "bar": f"<= {2e3 / BAR:.3g}",
            "met": ours <= 2 / BAR,
            "note": f"{1 / ours:.1f} draws per second on one core, parameters and latents moved by the model's density; "
            f"beside it the same network in {PUBLISHED} evaluations, without either",
        }
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
