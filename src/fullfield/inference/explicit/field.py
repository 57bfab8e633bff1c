"""Field-level posteriors: parameters and latents sampled together, block by block."""

import math
import os
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpyro.diagnostics import effective_sample_size

from fullfield._core import ConfigurationError, digest, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.inference.explicit.plan import MEASUREMENTS, Plan, STAGES
from fullfield.inference.explicit.record import Chains, Recorder, warn_of_divergences
from fullfield.inference.explicit.samplers import AbstractSampler, MCLMC
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel


Product = Callable[[Float[Array, " p"], dict[str, Float[Array, "..."]]], Float[Array, "..."]]


def sample_field(
    model: AbstractForwardModel,
    data: Float[Array | np.ndarray, "..."],
    *,
    key: Key[Array, ""],
    sampler: AbstractSampler | None = None,
    draws: int = 1000,
    chains: int = 4,
    start: Float[Array | np.ndarray, "chains ..."] | None = None,
    warmup: int = 200,
    block: int = 25,
    product: Product | None = None,
    directory: str | os.PathLike | None = None,
    progress: Progress = silent,
) -> Chains:
    """Sample the posterior of parameters and latents of an explicit model given data.

    Chains move in coordinates whitened by a `Preconditioner`, which the warm-up improves: from simulations, then from the
    chains' own places and means. At first the parameters are held, since latents far from what the data allow would drive them
    into corners of the prior; then all move. Last the step size is tuned, its energy error measured, and the step shrunk until
    it meets the sampler's target. All randomness of a block follows from `key` and the block's number, so that a run continued
    from `directory` equals the uninterrupted one bit for bit.

    Args:
        model: the forward model.
        data: the observation.
        key: scalar key.
        sampler: `MCLMC()` if not given.
        draws: draws kept per chain, rounded up to whole blocks.
        chains: number of chains.
        start: where chains start: parameters (chains, p), say from an amortised posterior, with latents from the prior; or
            whole points (chains, D). Draws from the prior if not given, which are dispersed.
        warmup: draws per chain before those kept, rounded up to four blocks at least.
        block: draws between two checkpoints.
        product: function of parameters and latents whose posterior mean and standard deviation are wanted, one draw of which is
            kept per chain and block; the model's noiseless convergence if it has one, else all latents.
        directory: folder for checkpoint and map draws, to continue from if it holds a run.
        progress: told after every block, with the smallest effective sample size per second.

    Returns:
        The chains.

    Raises:
        ConfigurationError: the model has no joint density (says which methods remain), a setting is impossible, the sampler
            cannot move in one dimension, or the folder holds another run.
        ShapeError: data or start have the wrong shape.
        DataError: data or the density at a starting point are not finite, or the disk is full.

    Warns:
        DivergenceWarning: transitions diverged after the warm-up.
    """
    sampler = MCLMC() if sampler is None else sampler
    if not isinstance(sampler, AbstractSampler):
        raise ConfigurationError("sampler", expected="MCLMC(), MAMS(), NUTS() or SplitHMC()", got=sampler)
    target = Target(model, data)
    sampler.check(target.size)
    _check(draws=draws, chains=chains, warmup=warmup, block=block)
    product = _default_product(target) if product is None else product
    plan = Plan(sampler, target, product, chains, math.ceil(draws / block), max(1, math.ceil(warmup / block / 4)), block)
    recorder = None
    if directory is not None:
        settings = {"model": model, "data": target.data, "key": key, "sampler": sampler, "chains": chains, "draws": draws}
        settings |= {"start": start, "warmup": warmup, "block": block, "product": product}
        recorder = Recorder(directory, {name: digest(value) for name, value in settings.items()})
    found = recorder.read(plan.like()) if recorder else None
    if found is None:
        points, theta = _starting_points(target, start, chains, stream(key, "start"))
        run, place = plan.begin(points, theta, stream(key, "begin")), {"block": 0, "stage": 0, "within": 0}
    else:
        run, place = found
    clock, spent = time.monotonic(), 0
    while place["stage"] < len(STAGES):
        name = STAGES[place["stage"]]
        now = place["within"]
        run, maps = plan.advance(run, place, stream(key, f"block {place['block']}"))
        if name == "sampling":
            if recorder and maps.size:
                recorder.write_maps(now, plan.blocks, np.asarray(maps))
            spent += 1
        if recorder:
            recorder.write(run, place)
        if name == "sampling":
            rate = _least_ess(run.theta[:, (now + 1 - spent) * block : (now + 1) * block]) / (time.monotonic() - clock)
            progress("sampling", now + 1, plan.blocks, ess_per_second=rate)
        else:
            clock = time.monotonic()
            total = MEASUREMENTS if name == "measure" else plan.stage_blocks
            height = float(jnp.mean(run.walkers.state.logdensity))
            progress(f"warm-up, {name}", now + 1, total, log_density=height, step_size=float(run.walkers.step_size[0]))
    chains_found = plan.chains_of(run, recorder)
    warn_of_divergences(chains_found)
    return chains_found


def _starting_points(target: Target, start, chains: int, key) -> tuple[Float[Array, "c D"], Float[Array, " p"]]:
    """Starting points, and the parameters about which to precondition first."""
    if start is None:
        return eqx.filter_jit(target.dispersed)(key, chains), target.model.parameters.fiducial
    start = jnp.asarray(start, float)
    if start.ndim != 2 or len(start) != chains or start.shape[1] not in (target.parameters, target.size):
        expected_shape = f"({chains}, {target.parameters}) or ({chains}, {target.size})"
        raise ShapeError("start", expected=expected_shape, got=start.shape, remedy="One row per chain.")
    if start.shape[1] == target.parameters:
        target.model.parameters.check(start)
        at = eqx.filter_jit(lambda keys, thetas: jax.lax.map(lambda pair: target.at(*pair), (keys, thetas)))
        return at(jax.random.split(key, chains), start), jnp.mean(start, axis=0)
    return start, target.model.parameters.to_constrained(jnp.mean(start[:, : target.parameters], axis=0))


class Convergence(eqx.Module):
    """Noiseless convergence of a lensing model."""

    model: Any

    def __call__(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, "..."]:
        """Maps (n, n, bins)."""
        return self.model.convergence(theta, latents["white"])


class Latents(eqx.Module):
    """All latents in one vector."""

    def __call__(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, "..."]:
        """Latents (m,), site after site by name."""
        return jnp.concatenate([jnp.zeros(0), *(latents[name].ravel() for name in sorted(latents))])


def _default_product(target: Target) -> Product:
    names = [name for name, _ in target.sites]
    return Convergence(target.model) if hasattr(target.model, "convergence") and names == ["white"] else Latents()


def _least_ess(theta) -> float:
    theta = np.asarray(theta)
    return float(np.min(effective_sample_size(theta))) if theta.shape[1] >= 4 else 0.0


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ConfigurationError(name, expected="at least one", got=value)
