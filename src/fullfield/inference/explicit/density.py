"""Sampling a density in a few dimensions, in one program: for `jit`, and for `vmap` over observations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ShapeError, stream
from fullfield.inference.explicit.kernel import begin, energy_variance, settled, Totals, walk, Walker
from fullfield.inference.explicit.samplers import AbstractSampler, LogDensity, NUTS


SEGMENTS = 8  # of the warm-up: four that learn the covariance, one for the step size alone, three that measure it


class Draws(eqx.Module):
    """Draws of a density, and how they were made.

    Args:
        positions: draws (chains, n, D).
        log_density: at the draws (chains, n).
        step_size: after tuning.
        energy_variance: mean squared energy error per dimension while sampling.
        acceptance: mean acceptance of each chain.
        divergences: of each chain while sampling.
        gradients: evaluations of the gradient in all chains, warm-up included.
    """

    positions: Float[Array, "c n D"]
    log_density: Float[Array, "c n"]
    step_size: Float[Array, ""]
    energy_variance: Float[Array, ""]
    acceptance: Float[Array, " c"]
    divergences: Float[Array, " c"]
    gradients: Float[Array, ""]


def sample_density(
    log_density: LogDensity,
    start: Float[Array, "c D"],
    *,
    key: Key[Array, ""],
    n: int,
    sampler: AbstractSampler | None = None,
    warmup: int = 400,
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

    Returns:
        Draws (c, n, D) with their statistics.

    Raises:
        ShapeError: there is less than two chains or two dimensions.
    """
    sampler = sampler or NUTS()
    chains, size = start.shape
    if chains < 2 or size < 2:
        raise ShapeError("start", expected="at least two chains in two dimensions", got=start.shape)
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
            walker, totals, _ = jax.vmap(move)(walker, keys)
            return walker, (walker.state.position @ root.T, walker.state.logdensity, totals)

        walker, (points, values, sums) = jax.lax.scan(draw, walker, jax.random.split(k, length))
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
        measured = energy_variance(sums, size)
        measuring = (index > SEGMENTS - 4) & (index < SEGMENTS)
        kept = jnp.where(measuring, sampler.corrected(kept, measured), kept)
        held = Walker(walker.state, walker.tuner, jnp.broadcast_to(kept, (chains,)))
        walker = jax.tree.map(lambda new, old: jnp.where(learnt, new, old), renewed, held)
        sampling = jnp.where(index >= SEGMENTS, 1.0, 0.0)
        totals = (totals[0] + jax.tree.map(lambda leaf: sampling * leaf, sums), totals[1] + sums.gradients.sum())
        return (new_root, walker, totals), (points, values)

    walker = restart(start, value, gradient, first, jax.random.split(stream(key, "start"), chains))
    carry = (jnp.eye(size), walker, (Totals.zero((chains,)), jnp.asarray(float(chains))))
    inputs = (jnp.arange(segments), jax.random.split(stream(key, "segments"), segments))
    (_, walker, (totals, gradients)), (points, values) = jax.lax.scan(segment, carry, inputs)
    points, values = (jnp.moveaxis(array[SEGMENTS:].reshape(-1, *array.shape[2:])[:n], 0, 1) for array in (points, values))
    return Draws(
        points, values, walker.step_size[0], energy_variance(totals, size), totals.acceptance / totals.transitions,
        totals.divergent, gradients,
    )  # fmt: skip


def _root(points, root):
    """Root of the covariance of points, kept as it was where they do not span the space; a little of it is always added."""
    size = points.shape[-1]
    shrunk = len(points) / (len(points) + 5.0 * size)
    covariance = jnp.cov(points.T) * shrunk + (1 - shrunk) * jnp.diag(jnp.var(points, axis=0))
    new = jnp.linalg.cholesky(covariance)
    return jnp.where(jnp.all(jnp.isfinite(new)) & jnp.all(jnp.diag(new) > 0), new, root)
