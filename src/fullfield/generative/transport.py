"""Conditional flow matching: a flow that carries maps of a cheap simulator to those of a costly one, parameters held fixed.

Pairs (x₀, θ₀), (x₁, θ₁) of a triangular plan (`fullfield.generative.pairing`) are joined by straight lines,

    x_t = (1 - t) x₀ + t x₁,    θ_t = (1 - t) θ₀ + t θ₁,    v(t, x, θ) = E[x₁ - x₀ | x_t = x, θ_t = θ],

and the flow of v at fixed θ carries the law of x₀ given θ to that of x₁ (Kerrigan, Migliorini & Smyth 2024, arXiv:2404.04240).
Partners are never of quite the same cosmology. The condition therefore moves on the line, so that either end has its own, and
both maps are rescaled to the spectra at θ_t before they are joined. Of Gaussian fields of power P ∝ exp(θ), paired with a mean
mismatch of 0.3 prior widths, the law learnt would have spectra that are wrong by 13 % with the condition θ₀ throughout, by 3 %
with θ_t, and by nothing with both (a calculation, not a training).

Were the maps stationary Gaussian fields of power P₀ and P₁, and ρ the correlation of their modes under the plan, then

    v = V'/(2V) x,    V(t, ℓ, θ) = (1 - t)² P₀ + 2 t (1 - t) ρ √(P₀ P₁) + t² P₁,

mode by mode, whose flow is x₁ = √(P₁/P₀) x₀ whatever ρ: the transfer function. A network u has to learn only what is beyond
that, in coordinates in which a Gaussian field stands still,

    w = V^-½ x,    dw/dt = u(t, w, θ) = V^-½ (v - V'/(2V) x).

A flow has an inverse, and changes densities by ln |∂x₁/∂x₀| = ½ Σ_ℓ ln(P₁/P₀) + ∫ tr ∂u/∂w dt.
"""

import dataclasses
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.generative.coordinates import ring_numbers
from fullfield.generative.coupled import CoupledSimulations
from fullfield.generative.denoiser import filtered, WAVES, waves
from fullfield.generative.integrators import AbstractIntegrator, Midpoint
from fullfield.generative.joint import examples
from fullfield.generative.transfer import ring_means, TransferFunction
from fullfield.networks import AbstractBranch, apply_many, ResidualMLP, UNetBranch
from fullfield.simulators import Simulations
from fullfield.training import cosine_adam, fit, History


EXAMPLES = 2048  # for the correlation of modes


class Transport(eqx.Module):
    """Carries maps (n, n, bins) of one simulator to those of another, at fixed parameters.

    Args:
        transfer: what it is for Gaussian fields.
        correlation: ρ (r, b) of modes of pairs.
        size: deviation of the maps (b,).
        trunk: what parameters and time become for the branch.
        branch: U-Net from white maps and maps to white maps.
        integrator: of the flow.
        last: rescales carried maps, to mend what training and integrator have left to miss of the spectra; see `mended`.
    """

    transfer: TransferFunction
    correlation: paramax.NonTrainable | Float[Array, "r b"]
    size: paramax.NonTrainable | Float[Array, " b"]
    trunk: ResidualMLP
    branch: AbstractBranch
    integrator: AbstractIntegrator
    last: TransferFunction | None = None

    @classmethod
    def begun(
        cls,
        simulations: CoupledSimulations,
        *,
        key: Key[Array, ""],
        branch: Callable[..., AbstractBranch] = UNetBranch,
        context: int = 64,
        width: int = 128,
        integrator: AbstractIntegrator | None = None,
    ) -> "Transport":
        """The transport before training, which is the transfer function.

        Args:
            simulations: pairs, on whose suites spectra and on whose pairs correlations are measured.
            key: key of the initial weights.
            branch: `(shape, outputs, context, *, key) -> branch`.
            context: length of what the branch is told of parameters and time.
            width: of the network that makes it.
            integrator: of the flow; `Midpoint()` if not given.

        Raises:
            DataError: there are too few simulations for spectra as functions of parameters.
        """
        suites = simulations.suites
        transfer = TransferFunction.of_suites(*suites)
        theta, maps = examples(simulations, stream(key, "examples"), EXAMPLES)
        size = jnp.sqrt((jnp.var(suites[0].data, axis=(0, 1, 2)) + jnp.var(suites[1].data, axis=(0, 1, 2))) / 2)
        n, bins, parameters = maps.shape[1], len(size), theta.shape[1] // 2
        return cls(
            transfer,
            paramax.NonTrainable(_correlation(transfer, theta, maps)),
            paramax.NonTrainable(jnp.where(size > 0, size, 1.0)),
            ResidualMLP(parameters + 2 * WAVES, context, key=stream(key, "trunk"), width=width),
            branch((n, n, 2 * bins), bins, context, key=stream(key, "branch")),
            integrator or Midpoint(),
        )

    def __call__(self, theta: Float[Array, " p"], maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Costly maps of cheap ones, at parameters (p,)."""
        self.transfer.check(maps)
        carried = self._coloured(1.0, theta, self.integrator.solve(self._rate(theta), self._white(0.0, theta, maps)))
        return carried if self.last is None else self.last(theta, carried)

    def mended(self, simulations: CoupledSimulations, *, batch_size: int = 64) -> "Transport":
        """The same with spectra of carried maps measured on the cheap suite, and brought to the costly one's by a last filter.

        A velocity that is not learnt to the end is too small, and the power of what it carries too low by some per cent.

        Args:
            simulations: both suites.
            batch_size: maps at a time.
        """
        bare = dataclasses.replace(paramax.unwrap(self), last=None)
        cheap, costly = simulations.suites
        carried = apply_many(bare, cheap.theta, cheap.data, batch_size=batch_size)
        last = TransferFunction.of_suites(Simulations(cheap.theta, jnp.asarray(carried)), costly)
        return dataclasses.replace(self, last=last)

    def inverse(self, theta: Float[Array, " p"], maps: Float[Array, "n n b"]) -> Float[Array, "n n b"]:
        """Cheap maps of costly ones: the way back along the flow, to within the integrator's error."""
        maps = maps if self.last is None else self.last.inverse(theta, maps)
        back = self.integrator.solve(self._rate(theta), self._white(1.0, theta, maps), backwards=True)
        return self._coloured(0.0, theta, back)

    def with_log_det(
        self, theta: Float[Array, " p"], maps: Float[Array, "n n b"]
    ) -> tuple[Float[Array, "n n b"], Float[Array, ""]]:
        """Costly maps, and ln |∂ costly / ∂ cheap|: by so much their log density is below that of the cheap ones.

        The trace is exact. Every evaluation of the flow takes the D = n² bins columns of its Jacobian, each at the cost of two
        evaluations and all in memory together: for maps of up to some thousand numbers.
        """
        rate = self._rate(theta)

        def both(t, state):
            flat = lambda w: rate(t, w.reshape(maps.shape)).ravel()  # noqa: E731
            w = state[0].ravel()
            return flat(w).reshape(maps.shape), jnp.trace(jax.jacfwd(flat)(w))

        start = (self._white(0.0, theta, maps), jnp.zeros(()))
        white, growth = self.integrator.solve(both, start)
        carried, growth = self._coloured(1.0, theta, white), growth + self.transfer.log_det(theta)
        if self.last is None:
            return carried, growth
        return self.last(theta, carried), growth + self.last.log_det(theta)

    def rate(self, t: Float[Array, ""], white: Float[Array, "n n b"], theta: Float[Array, " p"]) -> Float[Array, "n n b"]:
        """u, the velocity of white maps."""
        maps = self._coloured(t, theta, white) / paramax.unwrap(self.size)
        told = self.trunk(jnp.concatenate([self.transfer.scale(theta), waves(t)]))
        return self.branch.decode(self.branch.encode(jnp.concatenate([white, maps], axis=-1), told), told)

    def wanted(
        self,
        t: Float[Array, ""],
        theta: tuple[Float[Array, " p"], Float[Array, " p"]],
        maps: tuple[Float[Array, "n n b"], Float[Array, "n n b"]],
    ) -> tuple[Float[Array, "n n b"], Float[Array, "n n b"]]:
        """w at a time on the line between the maps of a pair, and the u that this pair would have there; cheap ones first."""
        between = (1 - t) * theta[0] + t * theta[1]
        root, slope = self._variance(t, between)
        there = (1 - t) * maps[0] + t * maps[1]
        rest = maps[1] - maps[0] - self._filter(there, slope)
        return self._filter(there, 1 / root), self._filter(rest, 1 / root)

    def moved(
        self,
        t: Float[Array, ""],
        theta: tuple[Float[Array, " p"], Float[Array, " p"]],
        maps: tuple[Float[Array, "n n b"], Float[Array, "n n b"]],
    ) -> tuple[Float[Array, "n n b"], Float[Array, "n n b"]]:
        """Both maps of a pair, rescaled to the spectra at the parameters that the line between theirs has reached."""
        to = self.transfer.roots((1 - t) * theta[0] + t * theta[1])
        first, second = (self._filter(maps[i], to[i] / self.transfer.roots(theta[i])[i]) for i in range(2))
        return first, second

    def _rate(self, theta):
        return lambda t, white: self.rate(t, white, theta)

    def _variance(self, t, theta):
        """√V and V' / (2 V), in each ring and bin."""
        cheap, costly = self.transfer.roots(theta)
        both = paramax.unwrap(self.correlation) * cheap * costly
        variance = ((1 - t) * cheap) ** 2 + 2 * t * (1 - t) * both + (t * costly) ** 2
        return jnp.sqrt(variance), (t * costly**2 - (1 - t) * cheap**2 + (1 - 2 * t) * both) / variance

    def _white(self, t, theta, maps):
        return self._filter(maps, 1 / self._variance(t, theta)[0])

    def _coloured(self, t, theta, white):
        return self._filter(white, self._variance(t, theta)[0])

    def _filter(self, maps, factor):
        return filtered(maps, factor[ring_numbers(len(maps))])


@eqx.filter_jit
def _correlation(transfer, theta, maps):
    """ρ (r, b), of pairs."""

    def one(theta, maps):
        here, there = jnp.split(theta, 2)
        cheap, costly = jnp.split(jnp.fft.rfft2(maps, axes=(0, 1), norm="ortho"), 2, axis=-1)
        return ring_means((jnp.conj(cheap) * costly).real) / (transfer.roots(here)[0] * transfer.roots(there)[1])

    return jnp.clip(jnp.mean(jax.lax.map(lambda pair: one(*pair), (theta, maps), batch_size=64), axis=0), 0.0, 1.0)


class FlowMatchingLoss(eqx.Module):
    """Mean square of the network's velocity less that of pairs, in white coordinates: each mode counts alike.

    Args:
        rescaled: whether maps are rescaled to the spectra at the parameters of the line; not for couplings that pair any
            cosmology with any other, whose point is what they learn without.
    """

    rescaled: bool = True

    def __call__(
        self, module: Transport, theta: Float[Array, "b q"], data: Float[Array, "b n n c"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, 2 p) and maps (b, n, n, 2 bins) of pairs, each at a time of its own."""
        # Evenly spread times, moved together: uniform, with less scatter between batches.
        even = (jnp.arange(len(data)) + jax.random.uniform(stream(key, "time"))) / len(data)
        t = jax.random.permutation(stream(key, "order"), even)
        here, there = jnp.split(theta, 2, axis=1)
        cheap, costly = jnp.split(data, 2, axis=-1)
        if self.rescaled:
            cheap, costly = jax.vmap(module.moved)(t, (here, there), (cheap, costly))
        white, wanted = jax.vmap(module.wanted)(t, (here, there), (cheap, costly))
        between = (1 - t[:, None]) * here + t[:, None] * there
        return jnp.mean((jax.vmap(module.rate)(t, white, between) - wanted) ** 2)


def train_transport(
    simulations: CoupledSimulations,
    validation: CoupledSimulations,
    *,
    key: Key[Array, ""],
    branch: Callable[..., AbstractBranch] = UNetBranch,
    context: int = 64,
    width: int = 128,
    integrator: AbstractIntegrator | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 40,
    patience: int = 40,
    average: float = 0.999,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "transport",
) -> tuple[Transport, History]:
    """Learn to carry cheap maps to costly ones from suites of both, by flow matching, and mend the spectra in the end.

    Of couplings that pair any cosmology with any other, the baselines, all is left as it was learnt.

    Args:
        simulations: pairs to train on.
        validation: held-out pairs, which choose the epoch.
        key: scalar key.
        branch, context, width, integrator: as of `Transport.begun`.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The transport and the history of its training. Losses do not go to zero: two maps of equal parameters differ.

    Raises:
        DataError: there are too few simulations for spectra as functions of parameters.
        DivergenceError: a loss is not finite.
    """
    start = Transport.begun(
        simulations, key=stream(key, "weights"), branch=branch, context=context, width=width, integrator=integrator
    )
    loss = FlowMatchingLoss(simulations.coupling.conditional)
    found, history = fit(
        start, loss, simulations, validation=validation, key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs, patience=patience, average=average, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return (found.mended(simulations) if simulations.coupling.conditional else found), history
