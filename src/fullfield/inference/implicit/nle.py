"""Neural likelihood estimation.

A conditional density of summaries is fitted by minimising - E log q(summary | u(theta)), whose minimum is the likelihood,
whatever the parameters were drawn from (Papamakarios, Sterratt & Murray 2019, arXiv:1805.07226). With the prior it is an
unnormalised posterior, which `LikelihoodPosterior` samples.
"""

import os
from collections.abc import Callable

import equinox as eqx
import optax
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.estimate import Begin, columns, train_density
from fullfield.inference.implicit.mapped import Mapped, one_epoch, Selected, varying
from fullfield.inference.implicit.sampled import LikelihoodPosterior
from fullfield.inference.implicit.scores import AbstractDensityLoss, likelihood_gradient
from fullfield.inference.observation import remember
from fullfield.networks import AbstractDensity, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import History


class NLELoss(AbstractDensityLoss):
    """Mean of -log q(summary | u(theta)) over a batch.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
    """

    parameters: ParameterSpace

    def log_density(
        self, module: AbstractDensity, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]
    ) -> Float[Array, ""]:
        """Log q(summary | u)."""
        return module.log_prob(summary, unconstrained)

    def target(self, unconstrained: Float[Array, " p"], score: Float[Array, " p"]) -> Float[Array, " p"]:
        """Gradient (p,) of the log likelihood in u."""
        return likelihood_gradient(self.parameters, unconstrained, score)

    def summary_size(self, module: AbstractDensity) -> int:
        """Length of the summaries that a density was built for."""
        return module.size


def train_nle(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = spline_flow,
    score_weight: float | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    patience: int = 15,
    average: float = 0.0,
    leave_out_constant: bool = False,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "likelihood",
) -> tuple[LikelihoodPosterior, History]:
    """Fit the likelihood of summaries given parameters.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters, drawn from anything inside the prior, and summaries (s,) to train on.
        validation: held-out pairs, for early stopping.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
        score_weight: if given, rows of both sources carry summary and simulator score (p,) side by side, and the score term is
            added with this weight (`fullfield.inference.implicit.scores`).
        optimiser: optax transformation; `cosine_adam(3e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss, which never contains the score term.
        average: decay per step of a running average of the weights, 0 for none.
        leave_out_constant: whether summaries that never vary are left out with a warning, or refused. What never varies says
            nothing about the parameters, unless it is another number in the observation.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The posterior given a summary, and the training history.

    Raises:
        DataError: there are fewer simulations than the flow's linear regression needs, parameters lie outside the prior, or
            a summary never varies.

    Warns:
        FewSimulationsWarning: there are fewer than a network plausibly needs; says how many that is.
        ConstantSummaryWarning: summaries were left out; says which.
    """
    known, summarise, size = (
        None,
        eqx.nn.Identity(),
        columns(simulations, key) - (0 if score_weight is None else parameters.size),
    )
    if leave_out_constant:
        data = one_epoch(simulations, key)[1][:, :size]
        # An observation may differ in what is left out.
        kept, known = varying(data), remember(data)
        if len(kept) < size:
            rows = Selected(summarise, (*kept, *range(size, columns(simulations, key))))
            simulations, validation, summarise = Mapped(simulations, rows), Mapped(validation, rows), Selected(summarise, kept)
    fitted, history, seen = train_density(
        NLELoss(parameters),
        Begin(density, of_summaries=True),
        simulations,
        validation,
        key=key,
        varying=True,
        score_weight=score_weight,
        optimiser=optimiser,
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return LikelihoodPosterior(parameters, fitted, summarise, (size,), known or seen), history
