"""Sampling a density in a few dimensions, in one program: for `jit`, and for `vmap` over observations."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ShapeError, stream
from fullfield.inference.explicit.kernel import begin, energy_variance, settled, Totals, tuning_variance, walk, Walker
from fullfield.inference.explicit.record import warn_of_divergences
from fullfield.inference.explicit.samplers import AbstractSampler, LogDensity, NUTS


SEGMENTS = 8  # of the warm-up: four that learn the covariance, one for the step size alone, three that measure it


class Draws(eqx.Module):
    """Draws of a density, and how they were made.

    Args:
        positions: draws (chains, n, D).
        log_density: at the draws (chains, n).
        energy: total energy at the draws (chains, n), zero for samplers that draw none.
        step_size: after tuning.
        energy_variance: mean squared energy error per dimension while sampling.
        acceptance: mean acceptance of each chain.
        divergences: of each chain while sampling.
        gradients: evaluations of the gradient in all chains, warm-up included.
        names: of the dimensions.
        energy_target: what the energy variance was to be at most, None for samplers that are adjusted.
    """

    positions: Float[Array, "c n D"]
    log_density: Float[Array, "c n"]
    energy: Float[Array, "c n"]
    step_size: Float[Array, ""]
    energy_variance: Float[Array, ""]
    acceptance: Float[Array, " c"]
    divergences: Float[Array, " c"]
    gradients: Float[Array, ""]
    names: tuple[str, ...] = eqx.field(static=True)
    energy_target: float | None = eqx.field(static=True)

    @property
    def evidence(self) -> dict[str, Any]:
        """Arguments of `fullfield.diagnostics.convergence`, which judges the chains; of one target, outside `jit`."""
        energy, adjusted = np.asarray(self.energy), self.energy_target is None
        return {
            "draws": np.asarray(self.positions),
            "names": self.names,
            "gradients": int(self.gradients),
            "divergences": np.asarray(self.divergences),
            "energy": energy if energy.any() else None,
            "energy_variance": None if adjusted else float(self.energy_variance),
            "energy_target": self.energy_target,
            "acceptance": np.asarray(self.acceptance) if adjusted else None,
        }


def sample_density(
    log_density: LogDensity,
    start: Float[Array, "c D"],
    *,
    key: Key[Array, ""],
    n: int,
    sampler: AbstractSampler | None = None,
    warmup: int = 400,
    names: Sequence[str] | None = None,
) -> Draws:
    """Draw from a density in a few dimensions by several chains that share one metric.

    Warm-up learns the covariance of all chains together, then the step size, then measures the energy error and shrinks the
    step until it meets the sampler's target.

    Args:
        log_density: function of a point (D,), finite everywhere.
        start: one starting point per chain, dispersed.
        key: scalar key.
        n: draws per chain.
        sampler: `NUTS()` if not given.
        warmup: draws per chain before the first that is kept.
        names: of the dimensions, for the report of convergence; x_1 and so on if not given.

    Returns:
        Draws (c, n, D) with their statistics.

    Raises:
        ShapeError: there is less than two chains, or another number of names than of dimensions.
        ConfigurationError: the sampler cannot move in one dimension.

    Warns:
        DivergenceWarning: transitions diverged after the warm-up; not under `jit` and `vmap`, where `Draws.evidence` tells.
    """
    sampler = sampler or NUTS()
    chains, size = start.shape
    if chains < 2:
        raise ShapeError("start", expected="at least two chains", got=start.shape)
    sampler.check(size)
    names = tuple(f"x_{i + 1}" for i in range(size)) if names is None else tuple(names)
    if len(names) != size:
        raise ShapeError("names", expected=f"one for each of {size} dimensions", got=len(names))
    length = max(1, warmup // SEGMENTS)
    segments = SEGMENTS - (-n // length)
    value, gradient = jax.vmap(jax.value_and_grad(log_density))(start)
    first = jnp.asarray(sampler.first_step_size(size))
    restart = jax.vmap(lambda *args: begin(sampler, *args), in_axes=(0, 0, 0, None, 0))

    def segment(carry, inputs):
        root, walker, totals = carry
        index, k = inputs
        tune = index < SEGMENTS - 3

        def draw(walker, key):
            keys = jax.random.split(key, chains)
            move = lambda w, k: walk(sampler, lambda q: log_density(root @ q), w, k, sampler.steps_per_draw, tune)  # noqa: E731
            walker, totals, energy = jax.vmap(move)(walker, keys)
            return walker, (walker.state.position @ root.T, walker.state.logdensity, energy, totals)

        walker, (points, values, energies, sums) = jax.lax.scan(draw, walker, jax.random.split(k, length))
        sums = jax.tree.map(lambda leaf: leaf.sum(0), sums)
        learnt = index < SEGMENTS - 4
        new_root = jnp.where(learnt, _root(points.reshape(-1, size), root), root)
        # White coordinates of the same points, and their gradients, change with the root.
        there = jax.scipy.linalg.solve_triangular(new_root, (walker.state.position @ root.T).T, lower=True).T
        slope = jax.scipy.linalg.solve_triangular(root, jnp.asarray(walker.state.logdensity_grad).T, lower=True, trans=1).T
        renewed = restart(
            there, walker.state.logdensity, slope @ new_root, first, jax.random.split(stream(k, "restart"), chains)
        )
        kept = jnp.where(index == SEGMENTS - 4, settled(sampler, walker), walker.step_size)
        measured = tuning_variance(sums, size)
        measuring = (index > SEGMENTS - 4) & (index < SEGMENTS)
        kept = jnp.where(measuring, sampler.corrected(kept, measured), kept)
        held = Walker(walker.state, walker.tuner, jnp.broadcast_to(kept, (chains,)))
        walker = jax.tree.map(lambda new, old: jnp.where(learnt, new, old), renewed, held)
        sampling = jnp.where(index >= SEGMENTS, 1.0, 0.0)
        totals = (totals[0] + jax.tree.map(lambda leaf: sampling * leaf, sums), totals[1] + sums.gradients.sum())
        return (new_root, walker, totals), (points, values, energies)

    walker = restart(start, value, gradient, first, jax.random.split(stream(key, "start"), chains))
    carry = (jnp.eye(size), walker, (Totals.zero((chains,)), jnp.asarray(float(chains))))
    inputs = (jnp.arange(segments), jax.random.split(stream(key, "segments"), segments))
    (_, walker, (totals, gradients)), out = jax.lax.scan(segment, carry, inputs)
    points, values, energies = (jnp.moveaxis(array[SEGMENTS:].reshape(-1, *array.shape[2:])[:n], 0, 1) for array in out)
    draws = Draws(
        points, values, energies, walker.step_size[0], energy_variance(totals, size), totals.acceptance / totals.transitions,
        totals.divergent, gradients, names, getattr(sampler, "energy_variance", None),
    )  # fmt: skip
    warn_of_divergences(draws)
    return draws


def _root(points, root):
    """Root of the covariance of points, kept as it was where they do not span the space; a little of it is always added."""
    size = points.shape[-1]
    shrunk = len(points) / (len(points) + 5.0 * size)
    covariance = jnp.atleast_2d(jnp.cov(points.T)) * shrunk + (1 - shrunk) * jnp.diag(jnp.var(points, axis=0))
    new = jnp.linalg.cholesky(covariance)
    return jnp.where(jnp.all(jnp.isfinite(new)) & jnp.all(jnp.diag(new) > 0), new, root)
