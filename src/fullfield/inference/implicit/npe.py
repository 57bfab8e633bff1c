"""Neural posterior estimation.

A conditional density q is fitted to pairs (theta, summary) drawn from the joint distribution by minimising

    L(q) = - E log q(u(theta) | summary),

whose minimum over all densities is the posterior under the prior of the simulations (Papamakarios & Murray 2016,
arXiv:1605.06376, proposition 1). u are the unconstrained coordinates of `ParameterSpace`, in which the prior has no edges.
"""

import math
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.inference.posterior import FlowPosterior
from fullfield.networks import AbstractDensity, spline_flow
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History


class NPELoss(eqx.Module):
    """Mean of -log q(u(theta) | summary) over a batch.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
    """

    parameters: ParameterSpace

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of a density on parameters (b, p) and summaries (b, s); `key` is ignored."""
        return -jnp.mean(jax.vmap(module.log_prob)(self.parameters.to_unconstrained(theta), data))


def train_npe(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = spline_flow,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    patience: int = 15,
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
        optimiser: optax transformation; `cosine_adam(3e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The posterior given a summary, and the training history. Its loss is that of the unconstrained parameters.
    """
    shard = next(simulations.shards(stream(key, "examples")))
    batches = min(int(shard.steps), math.ceil(EXAMPLES / simulations.batch_size))
    built = _build(density, parameters, shard, batches, key)
    fitted, history = fit(
        built,
        NPELoss(parameters),
        simulations,
        validation=validation,
        key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(3e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs,
        patience=patience,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return FlowPosterior(parameters, fitted, eqx.nn.Identity(), (built.condition_size,)), history


EXAMPLES = 8192


@eqx.filter_jit
def _build(density, parameters: ParameterSpace, shard: AbstractShard, batches: int, key: Key[Array, ""]) -> AbstractDensity:
    """The untrained density, standardised by some batches of examples; in one program, since eager steps compile one by one."""
    examples_key = stream(key, "examples")
    draw = lambda i: shard.draw(jax.random.fold_in(examples_key, i), i)  # noqa: E731
    theta, summary = jax.lax.map(draw, jnp.arange(batches, dtype=jnp.int32))
    theta, summary = theta.reshape(-1, theta.shape[-1]), summary.reshape(-1, summary.shape[-1])
    built = density(parameters.size, summary.shape[-1], key=stream(key, "weights"))
    return built.fitted_to(parameters.to_unconstrained(theta), summary)
