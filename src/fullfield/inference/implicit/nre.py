"""Neural ratio estimation.

A classifier learns to tell parameters that belong to a summary from parameters that do not; its logit is then
log r(theta, summary) = log p(summary | theta) / p(summary), and prior times r is the posterior, which `RatioPosterior` samples.
"""

import abc
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.estimate import Begin, train_estimator
from fullfield.inference.implicit.sampled import RatioPosterior
from fullfield.networks import RatioClassifier
from fullfield.parameters import ParameterSpace
from fullfield.training import History


CANDIDATES = 10


class AbstractContrast(eqx.Module):
    """Which question a ratio estimator is trained to answer."""

    @property
    @abc.abstractmethod
    def others(self) -> int:
        """How many parameters of other simulations each summary is held against."""

    @abc.abstractmethod
    def loss(self, log_ratios: Float[Array, "b k"]) -> Float[Array, ""]:
        """Mean loss of log ratios (b, 1 + others), of which the first column belongs together."""


class Binary(AbstractContrast):
    """Does this one parameter vector belong to the summary? Hermans et al. 2020 (arXiv:1903.04057), known as NRE-A."""

    @property
    def others(self) -> int:
        """One."""
        return 1

    def loss(self, log_ratios: Float[Array, "b k"]) -> Float[Array, ""]:
        """Binary cross-entropy with as many pairs of either kind."""
        return jnp.mean(jax.nn.softplus(-log_ratios[:, 0])) + jnp.mean(jax.nn.softplus(log_ratios[:, 1]))


class Multiclass(AbstractContrast):
    """Which of these parameter vectors belongs to the summary? Durkan et al. 2020 (arXiv:2002.03712), known as NRE-B.

    The log ratio is learnt up to a function of the summary, which does not matter for a posterior.

    Args:
        candidates: how many parameter vectors there are.
    """

    candidates: int = eqx.field(default=CANDIDATES, static=True)

    def __check_init__(self):
        _check_at_least("candidates", self.candidates, 2)

    @property
    def others(self) -> int:
        """All candidates but one."""
        return self.candidates - 1

    def loss(self, log_ratios: Float[Array, "b k"]) -> Float[Array, ""]:
        """Cross-entropy of the right candidate."""
        return -jnp.mean(jax.nn.log_softmax(log_ratios, axis=1)[:, 0])


class Contrastive(AbstractContrast):
    """Which of these parameter vectors belongs to the summary, if any? Miller et al. 2022 (arXiv:2210.06170, eq. 9), NRE-C.

    Args:
        candidates: number K of parameter vectors.
        gamma: odds γ that one of them belongs to the summary.
    """

    candidates: int = eqx.field(default=CANDIDATES, static=True)
    gamma: float = 1.0

    def __check_init__(self):
        _check_at_least("candidates", self.candidates, 1)
        if not self.gamma > 0:
            raise ConfigurationError("gamma", expected="positive odds", got=self.gamma)

    @property
    def others(self) -> int:
        """As many as there are candidates."""
        return self.candidates

    def loss(self, log_ratios: Float[Array, "b k"]) -> Float[Array, ""]:
        """Cross-entropy of "none" and of the right candidate, weighted by 1 to γ."""
        k, gamma = self.candidates, self.gamma
        # log of K + γ Σ r, over candidates of which none or the first belongs to the summary
        total = lambda r: jnp.logaddexp(jnp.log(1.0 * k), jnp.log(gamma) + jax.nn.logsumexp(r, axis=1))  # noqa: E731
        none = jnp.mean(jnp.log(1.0 * k) - total(log_ratios[:, 1:]))
        right = jnp.mean(jnp.log(gamma) + log_ratios[:, 0] - total(log_ratios[:, :k]))
        return -(none + gamma * right) / (1 + gamma)


def _check_at_least(name, value, least):
    if value < least:
        raise ConfigurationError(name, expected=f"at least {least}", got=value)


class NRELoss(eqx.Module):
    """Loss of a log ratio on a batch, whose own parameters, moved by one, two, ... examples, are those that do not belong.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
        contrast: the question.
    """

    parameters: ParameterSpace
    contrast: AbstractContrast

    def __call__(
        self, module: Callable, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, p) and summaries (b, s); `key` is ignored, since batches come in random order."""
        if len(theta) <= self.contrast.others:
            raise ConfigurationError(
                "batch_size", expected=f"more than {self.contrast.others}, as the contrast needs", got=len(theta),
                remedy="Take larger batches, or a contrast with fewer candidates.",
            )  # fmt: skip
        u = self.parameters.to_unconstrained(theta)
        candidates = jnp.stack([jnp.roll(u, -shift, axis=0) for shift in range(1 + self.contrast.others)], axis=1)
        log_ratios = jax.vmap(jax.vmap(module, in_axes=(0, None)))(candidates, data)
        return self.contrast.loss(log_ratios)


def train_nre(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    classifier: Callable[..., RatioClassifier] = RatioClassifier,
    contrast: AbstractContrast | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    patience: int = 15,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "ratio",
) -> tuple[RatioPosterior, History]:
    """Fit the ratio of likelihood to evidence.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters, drawn from anything inside the prior, and summaries (s,) to train on.
        validation: held-out pairs, for early stopping.
        key: scalar key.
        classifier: `(size, condition_size, *, key) -> classifier`, `RatioClassifier` or a partial of it.
        contrast: `Binary()`, `Multiclass()` or `Contrastive()`; if not given `Contrastive`, of ten candidates or of as many as
            the smallest batch has.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of a running average of the weights, 0 for none.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The posterior given a summary, and the training history.

    Raises:
        DataError: there are fewer simulations than the classifier's linear regression needs, or parameters lie outside the
            prior.
        ConfigurationError: batches are too small for the contrast.

    Warns:
        FewSimulationsWarning: there are fewer than a network plausibly needs; says how many that is.
        ConstantSummaryWarning: a summary never varies; says which.
    """
    if contrast is None:
        fewest = min(simulations.batch_size, validation.batch_size)
        contrast = Contrastive(candidates=max(1, min(CANDIDATES, fewest - 1)))
    fitted, history, seen = train_estimator(
        Begin(classifier),
        NRELoss(parameters, contrast),
        parameters,
        simulations,
        validation,
        key=key,
        optimiser=optimiser,
        learning_rate=1e-3,
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return RatioPosterior(parameters, fitted, eqx.nn.Identity(), (fitted.condition_size,), seen), history
