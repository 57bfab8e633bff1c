"""An automatic on/off check: train with and without simulator scores, and keep what predicts held-out simulations better."""

import functools
import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.mapped import one_epoch
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.inference.implicit.scores import check_takes_scores, WEIGHT
from fullfield.inference.posterior import AbstractPosterior
from fullfield.networks import apply_many, smooth_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import History


SMOOTH = functools.partial(train_npe, density=smooth_flow)
MARGIN = 0.01  # nats; a smaller gain may be an accident of the epoch that was kept


class Choice(eqx.Module):
    """What was chosen, and why.

    Args:
        gain: mean gain in held-out log-probability by scores.
        error: its standard error, from the same simulations seen by both.
    """

    gain: float
    error: float

    @property
    def used(self) -> bool:
        """Whether scores were used: where they help by `MARGIN` nats at least, and by more than one standard error."""
        return self.gain > max(MARGIN, self.error)


def choose(without: Float[np.ndarray, " n"], with_scores: Float[np.ndarray, " n"]) -> Choice:
    """Whether scores helped.

    One standard error, since to leave out scores that help costs as much as to take some that do not. It is that of the
    simulations; how far a second training would come out elsewhere is not in it.

    Args:
        without, with_scores: log-probability of each held-out simulation after either training.
    """
    gains = np.asarray(with_scores, float) - np.asarray(without, float)
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / gains.size**0.5) if gains.size > 1 else math.inf
    return Choice(gain, error)


def guarded(
    values: Float[Array | np.ndarray, " n"], log_prior: Float[Array | np.ndarray, " n"], simulations: int
) -> Float[Array, " n"]:
    """Log density with a share of one in so many simulations of the prior mixed in.

    What happens less often the simulations cannot exclude, and a single one that a sharp density misses would decide a mean.

    Args:
        values: log densities of a posterior.
        log_prior: those of the prior, in the same coordinates.
        simulations: as many as the posterior was trained on.
    """
    return jnp.logaddexp(jnp.log1p(-1.0 / simulations) + values, log_prior - jnp.log(1.0 * simulations))


def held_out_log_probs(
    posterior: AbstractPosterior, theta: Float[np.ndarray, "n p"], summaries: Float[np.ndarray, "n s"]
) -> Float[np.ndarray, " n"]:
    """Log-probability (n,) that was trained for: of parameters, or for a learned likelihood of summaries."""
    function, theta = posterior.log_prob, np.asarray(posterior.parameters.off_edge(jnp.asarray(theta)))
    if isinstance(posterior, AbstractSampledPosterior):
        space = posterior.parameters
        function = lambda t, s: posterior.log_likelihood(space.to_unconstrained(t), posterior.summarise(s))  # noqa: E731
    return np.asarray(apply_many(function, theta, summaries, batch_size=256), np.float64)


def train_with_scores(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    train: Callable[..., tuple[AbstractPosterior, History]] = SMOOTH,
    weight: float = WEIGHT,
    **settings: object,
) -> tuple[AbstractPosterior, History, Choice]:
    """Train a density without and with the score term, and keep the one of better held-out log-probability.

    Both trainings start from the same weights and see the same batches. A wrong weight harms (arXiv:2409.17975,
    section 5), and noisy joint scores may help at no weight at all; this way they are used only where they help by more than
    one standard error (`choose`). The held-out simulations have stopped both trainings too, so that each looks a little
    better on them than it is.

    Args:
        parameters: the parameters.
        simulations, validation: rows of summary and score (p,) side by side.
        key: scalar key.
        train: `train_npe`, `train_nle` or `train_amortised`, or a partial of one; NPE with `smooth_flow`, whose gradients are
            worth matching, if not given.
        weight: weight of the score term, relative to a loss in which the gradient zero costs one.
        settings: further arguments of `train`; a `checkpoint` serves as the stem of two.

    Returns:
        The better posterior, its history, and the comparison.

    Raises:
        ConfigurationError: `train` takes no scores.
    """
    check_takes_scores(train)
    checkpoint = settings.pop("checkpoint", None)
    results = []
    for name, used in (("without", 0.0), ("with", weight)):
        file = None if checkpoint is None else f"{checkpoint}.{name}-scores"
        results.append(
            train(parameters, simulations, validation, key=stream(key, "both"), score_weight=used, checkpoint=file, **settings)
        )
    size = results[0][0].data_shape[0]
    theta, rows = one_epoch(validation, stream(key, "held-out"))
    choice = choose(*(held_out_log_probs(posterior, theta, rows[:, :size]) for posterior, _ in results))
    return (*results[int(choice.used)], choice)
