"""The blocks of a field-level run: warm-up stage by stage, then sampling."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import DataError, each_row, stream
from fullfield.inference.explicit.kernel import begin, energy_variance, settled, Totals, tuning_variance, walk, Walker
from fullfield.inference.explicit.moments import Moments
from fullfield.inference.explicit.precondition import expected, gradients, learnt, Preconditioner
from fullfield.inference.explicit.record import Chains, Recorder
from fullfield.inference.explicit.samplers import AbstractSampler
from fullfield.inference.explicit.target import Target


STAGES = ("latents", "approach", "parameters", "step", "measure", "sampling")
MEASUREMENTS = 24  # most blocks for the correction of the step size; the report fails if it is still too large


class Run(eqx.Module):
    """All that the next block needs.

    Args:
        walkers: the chains, in white coordinates.
        preconditioner: the map from there.
        position: moments of the points since the last change of coordinates, per chain.
        outer: sum of the unconstrained parameters' outer products over the same draws (chains, p, p).
        product: moments of the field product, per chain.
        measured: sums over the transitions since the step size was last corrected.
        sampling: sums over the transitions that are kept.
        gradients: evaluations of the gradient so far.
        theta: parameters of the draws (chains, draws, p), zero where still to come.
        log_density: of the draws.
        energy: total energy of the draws.
    """

    walkers: Walker
    preconditioner: Preconditioner
    position: Moments
    outer: Float[Array, "c p p"]
    product: Moments
    measured: Totals
    sampling: Totals
    gradients: Float[Array, ""]
    theta: Float[Array, "c n p"]
    log_density: Float[Array, "c n"]
    energy: Float[Array, "c n"]


class Plan(eqx.Module):
    """How a run goes from block to block.

    Args:
        sampler: the Markov kernel.
        target: the posterior.
        product: field product.
        chains: number of chains.
        blocks: blocks that are kept.
        stage_blocks: blocks of each of the four stages of tuning.
        block: draws in a block.
    """

    sampler: AbstractSampler
    target: Target
    product: Any
    chains: int = eqx.field(static=True)
    blocks: int = eqx.field(static=True)
    stage_blocks: int = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def begin(self, points: Float[Array, "c D"], theta: Float[Array, " p"], key: Key[Array, ""]) -> Run:
        """First state of a run, with the preconditioner of an average observation at `theta`."""
        values, slopes = gradients(self.target, self._data(), points)
        if not bool(jnp.all(jnp.isfinite(values)) & jnp.all(jnp.isfinite(slopes))):
            raise DataError(
                "start", expected="a finite log density and gradient at every starting point",
                got=f"log densities {np.asarray(values)}", remedy="Start elsewhere, or look at the model there.",
            )  # fmt: skip
        preconditioner, spent = expected(self.target, key=stream(key, "preconditioner"), theta=theta, simulations=self.chains)
        held = self.target.sites and not self.target.model.whitened  # else parameters and latents are about white together
        preconditioner = preconditioner.held() if held else preconditioner
        run = self._fresh(points, preconditioner, key)
        return self._placed(run, points, preconditioner, stream(key, "walkers"), first=True, spent=spent)

    def like(self) -> Run:
        """Shapes of a run."""
        points = jnp.zeros((self.chains, self.target.size))
        build = lambda: self._fresh(points, Preconditioner.unit(self.target), jax.random.key(0))  # noqa: E731
        return eqx.filter_eval_shape(build)

    def _fresh(self, points, preconditioner, key) -> Run:
        c, p, n = self.chains, self.target.parameters, self.blocks * self.block
        size = jnp.asarray(self.sampler.first_step_size(self.target.size))
        build = lambda x, k: begin(self.sampler, x, jnp.zeros(()), x, size, k)  # noqa: E731
        walkers = jax.vmap(build)(points, jax.random.split(key, c))
        shape = jax.eval_shape(self._product, points[0]).shape
        return Run(
            walkers, preconditioner, Moments.zero((self.target.size,), c), jnp.zeros((c, p, p)), Moments.zero(shape, c),
            Totals.zero((c,)), Totals.zero((c,)), jnp.zeros(()), jnp.zeros((c, n, p)), jnp.zeros((c, n)), jnp.zeros((c, n)),
        )  # fmt: skip

    def _product(self, point):
        unconstrained, latents = self.target.split(point)
        return self.product(self.target.model.parameters.to_constrained(unconstrained), latents)

    def _data(self):
        return jnp.broadcast_to(self.target.data, (self.chains, *self.target.data.shape))

    def _placed(self, run: Run, points, preconditioner: Preconditioner, key, *, first: bool = False, spent: int = 0) -> Run:
        """The run with its chains at given points of new coordinates, and moments and tuners begun anew."""
        values, slopes = gradients(self.target, self._data(), points)
        size = jnp.asarray(self.sampler.first_step_size(self.target.size)) if first else settled(self.sampler, run.walkers)
        walkers = _walkers(self.sampler, preconditioner, points, values, slopes, size, jax.random.split(key, self.chains))
        cost = run.gradients + self.chains + spent
        return _forgetting(
            eqx.tree_at(lambda r: (r.walkers, r.preconditioner, r.gradients), run, (walkers, preconditioner, cost))
        )

    def advance(self, run: Run, place: dict[str, int], key: Key[Array, ""]) -> tuple[Run, Float[Array, "c ..."]]:
        """One block, and what follows it; moves `place` on. Returns the last map of each chain too."""
        name, now = STAGES[place["stage"]], place["within"]
        tune = jnp.asarray(name not in ("measure", "sampling"))
        run, totals, out, maps = _advance(self, run, stream(key, "steps"), tune)
        place["block"], place["within"] = place["block"] + 1, now + 1
        done = now + 1 == (self.blocks if name == "sampling" else self.stage_blocks)
        if name == "sampling":
            rows = slice(now * self.block, (now + 1) * self.block)
            arrays = (
                run.theta.at[:, rows].set(out[0]),
                run.log_density.at[:, rows].set(out[1]),
                run.energy.at[:, rows].set(out[2]),
            )
            run = eqx.tree_at(lambda r: (r.theta, r.log_density, r.energy, r.sampling), run, (*arrays, run.sampling + totals))
        elif name == "measure":
            run, held = self._corrected(run, totals)
            # One lucky block says nothing: errors have heavy tails, and a stop at the first small value would choose such.
            done = held >= max(2, self.stage_blocks) or now + 1 == MEASUREMENTS
            run = _forgetting(run) if done else run
        elif done:
            run = self._learn(run, name, key)
        if done:
            place["stage"], place["within"] = place["stage"] + 1, 0
        return run, maps

    def _corrected(self, run: Run, totals: Totals) -> tuple[Run, int]:
        """The run with a smaller step if energy errors since the last correction ask for it, and the blocks it has stood."""
        pooled, held = run.measured + totals, run.walkers.step_size
        better = self.sampler.corrected(held, tuning_variance(pooled, self.target.size))
        if not bool(jnp.all(better == held)):
            pooled = jax.tree.map(jnp.zeros_like, pooled)
        run = eqx.tree_at(lambda r: (r.walkers.step_size, r.measured), run, (better, pooled))
        return run, round(float(pooled.transitions[0]) / (self.block * self.sampler.steps_per_draw))

    def _learn(self, run: Run, stage: str, key: Key[Array, ""]) -> Run:
        if stage == "step":
            size = jnp.broadcast_to(settled(self.sampler, run.walkers), (self.chains,))
            return eqx.tree_at(lambda r: r.walkers.step_size, run, size)
        target, data, points = self.target, self._data(), jax.vmap(run.preconditioner)(run.walkers.state.position)
        preconditioner, spent = learnt(run.preconditioner, target, data, points, run.position.mean, key=stream(key, "probes"))
        if stage == "parameters":
            preconditioner = preconditioner.with_covariance(_covariance(run, target.parameters))
        return self._placed(run, points, preconditioner, stream(key, "walkers"), spent=spent)

    def chains_of(self, run: Run, recorder: Recorder | None) -> Chains:
        """The finished chains."""
        mean, std = run.product.pooled()
        sums = run.sampling
        energy, wanted = np.asarray(run.energy), getattr(self.sampler, "energy_variance", None)
        return Chains(
            names=self.target.model.parameters.names,
            theta=np.asarray(run.theta),
            log_density=np.asarray(run.log_density),
            energy=energy if energy.any() else None,
            energy_variance=None if wanted is None else float(energy_variance(sums, self.target.size)),
            energy_target=wanted,
            acceptance=np.asarray(sums.acceptance / sums.transitions),
            divergences=np.asarray(sums.divergent),
            step_size=float(run.walkers.step_size[0]),
            gradients=int(run.gradients),
            gradients_per_draw=float(jnp.sum(sums.gradients)) / run.log_density.size,
            product_mean=np.asarray(mean),
            product_std=np.asarray(std),
            directory=recorder.directory if recorder else None,
        )


def _advance(plan: Plan, run: Run, key: Key[Array, ""], tune: Bool[Array, ""]):
    rows = (run.walkers, run.position, run.outer, run.product, jax.random.split(key, plan.chains))
    walkers, position, outer, product, totals, maps, out = each_row(Block(plan, run.preconditioner, tune), rows)
    cost = run.gradients + jnp.sum(totals.gradients)
    moved = (walkers, position, outer, product, cost)
    run = eqx.tree_at(lambda r: (r.walkers, r.position, r.outer, r.product, r.gradients), run, moved)
    return run, totals, out, maps


class Block(eqx.Module):
    """The draws of one block of one chain."""

    plan: Plan
    preconditioner: Preconditioner
    tune: Bool[Array, ""]

    @eqx.filter_jit
    def __call__(self, chain):
        """Advance a walker with its sums, given a key; also the sums over the transitions, the last map, and the draws."""
        plan, preconditioner = self.plan, self.preconditioner
        target, sampler, p = plan.target, plan.sampler, plan.target.parameters
        walker, position, outer, product, key = chain

        def density(white):
            return target(preconditioner(white))

        def draw(carry, k):
            walker, position, outer, product, totals, _ = carry
            walker, more, energy = walk(sampler, density, walker, k, sampler.steps_per_draw, self.tune)
            point = preconditioner(walker.state.position)
            field = plan._product(point)
            outer = outer + jnp.outer(point[:p], point[:p])
            carry = (walker, position.add(point), outer, product.add(field), totals + more, field)
            return carry, (target.theta(point), walker.state.logdensity, energy)

        start = (walker, position, outer, product, Totals.zero(), jnp.zeros_like(product.mean))
        carry, out = jax.lax.scan(draw, start, jax.random.split(key, plan.block))
        return *carry, out


@eqx.filter_jit
def _walkers(sampler, preconditioner, points, values, slopes, size, keys):
    def one(point, value, slope, key):
        return begin(sampler, preconditioner.inverse(point), value, preconditioner.transposed(slope), size, key)

    return jax.vmap(one)(points, values, slopes, keys)


def _forgetting(run: Run) -> Run:
    empty = jax.tree.map(jnp.zeros_like, (run.position, run.outer, run.product))
    return eqx.tree_at(lambda r: (r.position, r.outer, r.product), run, empty)


def _covariance(run: Run, p: int) -> np.ndarray:
    """Covariance of the unconstrained parameters over all chains, with a little of its diagonal for few draws."""
    count = float(jnp.sum(run.position.count))
    mean = np.asarray(jnp.mean(run.position.mean, axis=0), np.float64)[:p]
    covariance = np.asarray(jnp.sum(run.outer, axis=0), np.float64) / count - np.outer(mean, mean)
    covariance[np.diag_indices(p)] = np.maximum(np.diag(covariance), 1e-8)
    shrunk = 0.9
    return shrunk * covariance + (1 - shrunk) * np.diag(np.diag(covariance))
