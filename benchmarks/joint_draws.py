"""Seconds for one joint draw of six parameters and maps of 64² x 5 pixels, against the sampler settings of the paper."""

import time

import jax
import jax.numpy as jnp

from fullfield.generative import AbstractSolver, Adams, Condition, Heun, JointDenoiser, JointPosterior
from fullfield.recipes.joint_bench import branch
from fullfield.recipes.joint_settings import DenoiserSettings
from fullfield.simulators import lsst_y10_model


PIXELS, BINS, SUMMARY, TOGETHER = 64, 5, 120, 50
# Remy et al. 2026 (arXiv:2606.31988, public code): 128 steps of Heun's method, two evaluations each.
PUBLISHED = 256
BAR = 5.0  # draws per second on two cores


def run() -> list[dict]:
    ours, peer = seconds(Adams(16)), seconds(Heun(PUBLISHED))
    return [
        {
            "name": "joint draw, 64² x 5",
            "ours": ours * 1e3,
            "peer": peer * 1e3,
            "ratio": peer / ours,
            "unit": "ms",
            "bar": f"<= {2e3 / BAR:.3g}",
            "met": ours <= 2 / BAR,
            "note": f"{1 / ours:.1f} draws per second on one core; beside it the same network in {PUBLISHED} evaluations",
        }
    ]


def seconds(solver: AbstractSolver) -> float:
    """Of one draw among many; weights say nothing about speed, and are drawn at random."""
    space, survey = lsst_y10_model(PIXELS).parameters, jnp.ones((PIXELS, PIXELS, 1))
    network = branch(DenoiserSettings(), BINS)
    denoiser = JointDenoiser.make(space.size, SUMMARY, BINS, survey, key=jax.random.key(0), branch=network)
    posterior = JointPosterior(space, denoiser, lambda data: data, solver)
    condition = Condition(jnp.zeros((PIXELS, PIXELS, BINS)), jnp.zeros(SUMMARY))
    jax.block_until_ready(posterior.draw(jax.random.key(0), condition, TOGETHER))
    start = time.perf_counter()
    jax.block_until_ready(posterior.draw(jax.random.key(1), condition, TOGETHER))
    return (time.perf_counter() - start) / TOGETHER
