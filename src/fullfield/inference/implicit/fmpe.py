"""Flow-matching posterior estimation.

A velocity field is regressed on the straight paths from noise to parameters,

    L(v) = E |v(t, (1 - t) ε + t z, c) - (z - ε)|²,    ε ~ N(0, 1),

with z the unconstrained parameters whitened by their linear regression on the summary c; its flow carries noise into the
posterior (Wildberger et al. 2023, arXiv:2305.17161, eq. 6). No Jacobian is needed to train, so that any network will do.
"""

import os
from collections.abc import Callable
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.implicit.estimate import Begin, train_estimator
from fullfield.inference.posterior import FlowPosterior
from fullfield.networks import ConditionalFlow, velocity_flow, VelocityFlow
from fullfield.parameters import ParameterSpace
from fullfield.training import History


class FMPELoss(eqx.Module):
    """Mean squared distance of the velocity from that of the straight paths.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
        alpha: times are drawn with density ∝ t^(1/(1 + alpha)), more of them near the data the smaller alpha is
            (arXiv:2305.17161, section 3.3).
    """

    parameters: ParameterSpace
    alpha: float = 1.0

    def __call__(
        self, module: ConditionalFlow, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, p) and summaries (b, s), with one time and one noise vector per pair."""
        z, condition = jax.vmap(module.whitened)(self.parameters.to_unconstrained(theta), data)
        power = (1 + self.alpha) / (2 + self.alpha)
        # Evenly spread times, moved together: the same density with less scatter between batches.
        even = (jnp.arange(len(z)) + jax.random.uniform(stream(key, "time"))) / len(z)
        time = jax.random.permutation(stream(key, "order"), even)[:, None] ** power
        noise = jax.random.normal(stream(key, "noise"), z.shape)
        flow = cast(VelocityFlow, module.flow)
        velocity = jax.vmap(flow.velocity)(time[:, 0], (1 - time) * noise + time * z, condition)
        return jnp.mean(jnp.sum((velocity - (z - noise)) ** 2, axis=1))


def train_fmpe(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., ConditionalFlow] = velocity_flow,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 300,
    patience: int = 100,
    average: float = 0.999,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "posterior",
) -> tuple[FlowPosterior, History]:
    """Fit the posterior of parameters given summaries by flow matching.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters and summaries (s,) to train on.
        validation: held-out pairs, for early stopping.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, `velocity_flow` or a partial of it.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of a running average of the weights, which the noisy loss needs.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The posterior given a summary, whose draws and log densities solve the flow's equation, and the training history.

    Raises:
        DataError: there are fewer simulations than the flow's linear regression needs, or parameters lie outside the prior.

    Warns:
        FewSimulationsWarning: there are fewer than a network plausibly needs; says how many that is.
        ConstantSummaryWarning: a summary never varies; says which.
    """
    fitted, history, seen = train_estimator(
        Begin(density),
        FMPELoss(parameters),
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
    return FlowPosterior(parameters, fitted, eqx.nn.Identity(), (fitted.condition_size,), seen), history
