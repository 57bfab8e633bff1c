"""Tempered sampling-importance-resampling: draws of a low-dimensional density of several modes, with the modes' right weights.

Particles start as draws of the prior, and the likelihood L is let in by degrees, L^β with β from 0 to 1: at each step
particles are weighted by L^(Δβ), with Δβ such that the effective number of weights stays at a set fraction, resampled, and
moved by Metropolis steps whose proposals are differences of other particles. The product of the mean weights estimates the
evidence.

Source: Del Moral, Doucet & Jasra 2006 (JRSS B 68, 411); differences of particles: ter Braak 2006 (Stat. Comput. 16, 239).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from fullfield._core import stream


class Tempered(eqx.Module):
    """Particles of the target, its evidence, and what they cost.

    Args:
        particles: equally weighted draws (n, d).
        log_evidence: log ∫ prior L.
        evaluations: of the likelihood.
    """

    particles: Float[Array, "n d"]
    log_evidence: Float[Array, ""]
    evaluations: Int[Array, ""]


class _State(eqx.Module):
    particles: Float[Array, "n d"]
    log_likelihood: Float[Array, " n"]
    beta: Float[Array, ""]
    log_evidence: Float[Array, ""]
    step: Int[Array, ""]
    finished: Int[Array, ""]


def temper(
    log_prior: Callable[[Float[Array, " d"]], Float[Array, ""]],
    log_likelihood: Callable[[Float[Array, " d"]], Float[Array, ""]],
    start: Float[Array, "n d"],
    *,
    key: Key[Array, ""],
    moves: int = 6,
    fraction: float = 0.5,
    steps: int = 60,
    extra: int = 0,
) -> Tempered:
    """Carry draws of the prior to draws of prior times likelihood.

    Args:
        log_prior, log_likelihood: functions of one point (d,).
        start: draws of the prior (n, d), n even.
        key: scalar key.
        moves: Metropolis steps of every particle after each resampling.
        fraction: effective number of weights, relative to n, that a step of β may leave.
        steps: most steps; the last one goes to β = 1 whatever it costs.
        extra: further rounds of moves at β = 1.
    """
    n = len(start)
    evaluate = jax.vmap(log_likelihood)

    def advance(state):
        last = state.step >= steps - 1
        beta = jnp.where(last, 1.0, _next_beta(state.beta, state.log_likelihood, fraction * n))
        log_weights = (beta - state.beta) * state.log_likelihood
        step_key = jax.random.fold_in(key, state.step)
        rows = _resample(stream(step_key, "resample"), log_weights)
        particles, likelihood = state.particles[rows], state.log_likelihood[rows]
        # Neighbours would be copies of one particle, and their differences zero.
        order = jax.random.permutation(stream(step_key, "order"), n)
        moved = _move(log_prior, evaluate, particles[order], likelihood[order], beta, moves, stream(step_key, "moves"))
        evidence = state.log_evidence + jax.nn.logsumexp(log_weights) - jnp.log(n)
        return _State(*moved, beta, evidence, state.step + 1, state.finished + (beta == 1))

    zero, none = jnp.zeros(()), jnp.zeros((), jnp.int32)
    first = _State(start, _finite(evaluate(start)), zero, zero, none, none)
    final = jax.lax.while_loop(lambda state: state.finished < 1 + extra, advance, first)
    return Tempered(final.particles, final.log_evidence, n * (1 + final.step * moves))


def _next_beta(beta, log_likelihood, wanted):
    """Largest β up to one whose weights keep the wanted effective number."""

    def enough(candidate):
        log_weights = (candidate - beta) * log_likelihood
        return 2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights) >= jnp.log(wanted)

    def halve(_, ends):
        low, high = ends
        # In the logarithm, since the first steps from β = 0 may be tiny.
        middle = jnp.exp(0.5 * (jnp.log(low) + jnp.log(high)))
        good = enough(beta + middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    low, _ = jax.lax.fori_loop(0, 30, halve, (jnp.asarray(1e-9), 1 - beta + 1e-9))
    return jnp.where(enough(1.0), 1.0, jnp.minimum(beta + low, 1.0))


def _resample(key, log_weights):
    """Systematic resampling: each particle once per unit of weight, by one random offset."""
    n = log_weights.size
    cumulative = jnp.cumsum(jax.nn.softmax(log_weights))
    positions = (jnp.arange(n) + jax.random.uniform(key)) / n
    return jnp.clip(jnp.searchsorted(cumulative / cumulative[-1], positions), 0, n - 1)


def _move(log_prior, evaluate, particles, likelihood, beta, moves, key):
    """Metropolis steps by differences of particles of the other half, so that every step keeps the target."""
    half = len(particles) // 2
    dimensions = particles.shape[1]

    def step(carry, key):
        particles, likelihood = carry
        mine, others = particles[:half], particles[half:]
        pick, scale, jitter, accept = jax.random.split(key, 4)
        first, second = jax.random.randint(pick, (2, half), 0, half)
        # From steps that suit one mode's whole width down to a hundredth of it, and at times the whole way between two modes.
        kind = jax.random.uniform(scale, (half, 2))
        factor = 2.38 / jnp.sqrt(2.0 * dimensions) * 10.0 ** (-2 * kind[:, :1])
        factor = jnp.where(kind[:, 1:] < 0.2, 1.0, factor)
        difference = others[first] - others[second]
        noise = 1e-5 * jax.random.normal(jitter, mine.shape)
        proposed = mine + factor * difference + noise
        new = _finite(evaluate(proposed))
        gain = jax.vmap(log_prior)(proposed) - jax.vmap(log_prior)(mine) + beta * (new - likelihood[:half])
        taken = jnp.log(jax.random.uniform(accept, (half,))) < gain
        mine = jnp.where(taken[:, None], proposed, mine)
        likelihood = jnp.concatenate([likelihood[half:], jnp.where(taken, new, likelihood[:half])])
        return (jnp.concatenate([others, mine]), likelihood), None

    keys = jax.random.split(key, 2 * moves)
    return jax.lax.scan(step, (particles, likelihood), keys)[0]


def _finite(values):
    return jnp.where(jnp.isfinite(values), values, -1e30)
