"""Simulator scores: gradients that a differentiable simulator gives away with every simulation.

To the loss of any density that depends on theta one may add

    weight * mean |∇ log q - score|² / mean |score|²,

whose minimum is the same density, since the joint score ∂ log p(data, latents | theta) / ∂theta is the marginal score plus
noise of zero mean (Brehmer et al. 2020, PNAS 117, 5242, eq. 12). Both gradients are taken in unconstrained coordinates, in
which parameters are of order one, and each component counts relative to its own mean square: one weight fits all models.

A posterior density moreover begins from scores: the Gaussian below the flow follows from them by linear regression, from
far fewer simulations than from parameters alone (`ConditionalFlow.fitted_to_gradients`).

Source: Zeghal et al. 2022 (arXiv:2207.05636) for posteriors; arXiv:2409.17975, section 5, for likelihoods.
"""

import abc
import inspect
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield.datasets import AbstractSimulations
from fullfield.networks import AbstractDensity
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractExplicitModel, even_batch


WEIGHT = 3.0  # what the study `gradients` measures, in units of the scores' own mean square; the check turns it off
LEAST_MEAN_SQUARE = 1e-12  # of scores that are all zero


@eqx.filter_jit
def simulate_with_scores(
    model: AbstractExplicitModel, key: Key[Array, ""], n: int, summarise: Callable | None = None
) -> tuple[Float[Array, "n p"], Float[Array, "n columns"]]:
    """Simulate from the prior, with the joint score that comes with every simulation.

    Args:
        model: an explicit model.
        key: scalar key.
        n: number of simulations.
        summarise: data to summary (s,), a callable module; the data themselves if not given.

    Returns:
        Parameters (n, p), and rows of summary and joint score ∂ log p(data, latents | theta) / ∂ theta side by side (n, s + p),
        as `score_weight` asks for.
    """

    def one(key):
        theta = model.parameters.sample(stream(key, "prior"))
        return theta, summary_and_score(model, stream(key, "data"), theta, summarise)

    return jax.lax.map(one, jax.random.split(key, n), batch_size=even_batch(n, model.batch_size))


def summary_and_score(
    model: AbstractExplicitModel, key: Key[Array, ""], theta: Float[Array, " p"], summarise: Callable | None = None
) -> Float[Array, " columns"]:
    """Simulate at `theta`: summary (s,) and joint score (p,) side by side."""
    latents, data = model.simulate_with_latents(key, theta)
    summary = data if summarise is None else summarise(data)
    return jnp.concatenate([summary, model.score(theta, latents, data)])


def check_takes_scores(train: Callable) -> None:
    """Refuse a method that cannot learn from scores.

    Raises:
        ConfigurationError: names those that can.
    """
    known = inspect.signature(train).parameters.values()
    if not any(entry.name == "score_weight" or entry.kind is entry.VAR_KEYWORD for entry in known):
        raise ConfigurationError(
            "train", expected="a method whose density has gradients to match: train_npe, train_nle or train_amortised",
            got=getattr(getattr(train, "func", train), "__name__", type(train).__name__), remedy="Or leave the scores out.",
        )  # fmt: skip


class AbstractDensityLoss(eqx.Module):
    """Mean of minus a log density of or given unconstrained parameters."""

    parameters: eqx.AbstractVar[ParameterSpace]

    @abc.abstractmethod
    def log_density(
        self, module: AbstractDensity, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]
    ) -> Float[Array, ""]:
        """Log density of one pair."""

    @abc.abstractmethod
    def target(self, unconstrained: Float[Array, " p"], score: Float[Array, " p"]) -> Float[Array, " p"]:
        """Gradient (p,) in unconstrained coordinates that the density should have where the simulator's score is `score`."""

    @abc.abstractmethod
    def summary_size(self, module: AbstractDensity) -> int:
        """Length of the summaries that a density was built for."""

    def begun_from_scores(
        self,
        module: AbstractDensity,
        unconstrained: Float[Array, "n p"],
        summaries: Float[Array, "n s"],
        scores: Float[Array, "n p"],
    ) -> AbstractDensity:
        """The untrained density, begun from what scores say; as it was, where nothing better is known."""
        del unconstrained, summaries, scores
        return module

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of a density on parameters (b, p) and summaries (b, s); `key` is ignored."""
        unconstrained = self.parameters.to_unconstrained(theta)
        return -jnp.mean(jax.vmap(lambda u, summary: self.log_density(module, u, summary))(unconstrained, data))


class ScoreLoss(eqx.Module):
    """A density's loss plus the score term.

    Args:
        loss: loss of the density alone.
        weight: weight of the score term.
        mean_square: mean square (p,) of the target gradients over the training simulations.
    """

    loss: AbstractDensityLoss
    weight: Float[Array, ""]
    mean_square: Float[Array, " p"]

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b p"], data: Float[Array, "b columns"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on rows of summary and score side by side, or on summaries alone, where it is the loss of the density alone."""
        size = self.loss.summary_size(module)
        summary, score = data[:, :size], data[:, size:]
        if score.shape[1] == 0:
            return self.loss(module, theta, summary, key=key)
        values, distances = jax.vmap(lambda t, x, s: self._terms(module, t, x, s))(theta, summary, score)
        return jnp.mean(self.weight * distances - values)

    def _terms(self, module, theta, summary, score):
        u = self.loss.parameters.to_unconstrained(theta)
        value, gradient = jax.value_and_grad(lambda u: self.loss.log_density(module, u, summary))(u)
        return value, jnp.mean((gradient - self.loss.target(u, score)) ** 2 / self.mean_square)


def mean_square_target(
    loss: AbstractDensityLoss, simulations: AbstractSimulations, summary_size: int, *, key: Key[Array, ""]
) -> Float[Array, " p"]:
    """Mean square (p,) of the target gradients over one shard of the simulations."""
    return _mean_square(loss, next(simulations.shards(key)), summary_size, key)


@eqx.filter_jit
def _mean_square(loss, shard, summary_size, key):
    def add(i, total):
        theta, data = shard.draw(jax.random.fold_in(key, i), i)
        targets = jax.vmap(loss.target)(loss.parameters.to_unconstrained(theta), data[:, summary_size:])
        return total + jnp.mean(targets**2, axis=0)

    first = jnp.zeros((), jnp.int32)
    total = jax.lax.fori_loop(first, shard.steps.astype(jnp.int32), add, jnp.zeros(loss.parameters.size))
    return total / shard.steps


def likelihood_gradient(
    parameters: ParameterSpace, unconstrained: Float[Array, " p"], score: Float[Array, " p"]
) -> Float[Array, " p"]:
    """Gradient in unconstrained coordinates of a log density whose gradient in theta is `score`."""
    return jax.vjp(parameters.to_constrained, unconstrained)[1](score.astype(unconstrained.dtype))[0]


def prior_gradient(parameters: ParameterSpace, unconstrained: Float[Array, " p"]) -> Float[Array, " p"]:
    """Gradient of the prior's log density in unconstrained coordinates, the volume element included."""
    return jax.grad(lambda u: log_prior(parameters, u))(unconstrained)


def log_prior(parameters: ParameterSpace, unconstrained: Float[Array, " p"]) -> Float[Array, ""]:
    """Log density of the prior in unconstrained coordinates, normalised there."""
    theta = parameters.to_constrained(unconstrained)
    return parameters.log_prob(theta) - parameters.log_det_unconstrained(theta)
