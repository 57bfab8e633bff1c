"""Neural posterior estimation.

A conditional density q is fitted to pairs (theta, summary) drawn from the joint distribution by minimising

    L(q) = - E log q(u(theta) | summary),

whose minimum over all densities is the posterior under the prior of the simulations (Papamakarios & Murray 2016,
arXiv:1605.06376, proposition 1). u are the unconstrained coordinates of `ParameterSpace`, in which the prior has no edges.
"""

import os
from collections.abc import Callable

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.estimate import Begin, train_density
from fullfield.inference.implicit.scores import AbstractDensityLoss, likelihood_gradient, prior_gradient
from fullfield.inference.posterior import FlowPosterior
from fullfield.networks import AbstractDensity, ConditionalFlow, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import History


class NPELoss(AbstractDensityLoss):
    """Mean of -log q(u(theta) | summary) over a batch.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
    """

    parameters: ParameterSpace

    def log_density(
        self, module: AbstractDensity, unconstrained: Float[Array, " p"], summary: Float[Array, " s"]
    ) -> Float[Array, ""]:
        """Log q(u | summary)."""
        return module.log_prob(unconstrained, summary)

    def target(self, unconstrained: Float[Array, " p"], score: Float[Array, " p"]) -> Float[Array, " p"]:
        """Gradient (p,) of log posterior in u: that of the likelihood, whose gradient in theta is `score`, and of the prior."""
        likelihood = likelihood_gradient(self.parameters, unconstrained, score)
        return likelihood + prior_gradient(self.parameters, unconstrained)

    def summary_size(self, module: AbstractDensity) -> int:
        """Length of the summaries that a density was built for."""
        return module.condition_size

    def begun_from_scores(
        self,
        module: AbstractDensity,
        unconstrained: Float[Array, "n p"],
        summaries: Float[Array, "n s"],
        scores: Float[Array, "n p"],
    ) -> AbstractDensity:
        """The density with the regression below its flow measured with the gradients of the log posterior."""
        if not isinstance(module, ConditionalFlow):
            return module
        return module.fitted_to_gradients(unconstrained, summaries, jax.vmap(self.target)(unconstrained, scores))


def train_npe(
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
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "posterior",
) -> tuple[FlowPosterior, History]:
    """Fit the posterior of parameters given summaries.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters and summaries (s,) to train on.
        validation: held-out pairs, for early stopping.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
        score_weight: if given, rows of both sources carry summary and simulator score (p,) side by side, and the score term is
            added with this weight (`fullfield.inference.implicit.scores`); `smooth_flow` is the density for it.
        optimiser: optax transformation; `cosine_adam(3e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss, which never contains the score term.
        average: decay per step of a running average of the weights, 0 for none.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The posterior given a summary, and the training history. Its loss is that of the unconstrained parameters.

    Raises:
        DataError: there are fewer simulations than the flow's linear regression needs, or parameters lie outside the prior.

    Warns:
        FewSimulationsWarning: there are fewer than a network plausibly needs; says how many that is.
        ConstantSummaryWarning: a summary never varies; says which.
    """
    fitted, history, seen = train_density(
        NPELoss(parameters),
        Begin(density),
        simulations,
        validation,
        key=key,
        score_weight=score_weight,
        optimiser=optimiser,
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return FlowPosterior(parameters, fitted, eqx.nn.Identity(), (fitted.condition_size,), seen), history
