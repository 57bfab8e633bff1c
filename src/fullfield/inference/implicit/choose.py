"""An automatic on/off check: train with and without simulator scores, and keep what predicts held-out simulations better."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Key

from fullfield._core import stream
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.implicit.scores import WEIGHT
from fullfield.inference.posterior import AbstractPosterior
from fullfield.parameters import ParameterSpace
from fullfield.training import History


MARGIN = 0.01  # nats of held-out log-probability; a smaller gain may be an accident of the epoch that was kept


class Choice(eqx.Module):
    """What was chosen, and why.

    Args:
        used: whether scores were used.
        without, with_scores: lowest held-out loss of either training, minus a mean log probability.
    """

    used: bool
    without: float
    with_scores: float


def train_with_scores(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    train: Callable[..., tuple[AbstractPosterior, History]] = train_npe,
    weight: float = WEIGHT,
    **settings: object,
) -> tuple[AbstractPosterior, History, Choice]:
    """Train a density without and with the score term, and keep the one of better held-out log-probability.

    Both trainings start from the same weights and see the same batches. A wrong weight harms (arXiv:2409.17975,
    section 5), and noisy joint scores may help at no weight at all; this way they are used
    only where they help by `MARGIN` or more.

    Args:
        parameters: the parameters.
        simulations, validation: rows of summary and score (p,) side by side.
        key: scalar key.
        train: `train_npe` or `train_nle`, or a partial of one; `smooth_flow` is the density for scores.
        weight: weight of the score term, relative to a loss in which the gradient zero costs one.
        settings: further arguments of `train`; a `checkpoint` serves as the stem of two.

    Returns:
        The better posterior, its history, and the comparison.
    """
    checkpoint = settings.pop("checkpoint", None)
    results = []
    for name, used in (("without", 0.0), ("with", weight)):
        file = None if checkpoint is None else f"{checkpoint}.{name}-scores"
        results.append(
            train(parameters, simulations, validation, key=stream(key, "both"), score_weight=used, checkpoint=file, **settings)
        )
    (_, plain), (_, scored) = results
    choice = Choice(scored.best < plain.best - MARGIN, plain.best, scored.best)
    return (*results[int(choice.used)], choice)
