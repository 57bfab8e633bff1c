"""Variational mutual information maximisation.

The mutual information of parameters and summary t = f(data) is bounded from below for any density q,

    I(theta; t) ≥ H(theta) + E log q(theta | t),

with equality when q is the posterior given t (Barber & Agakov 2003, NIPS 16; for cosmology Jeffrey et al. 2021, MNRAS 501, 954,
arXiv:2009.08459, eq. 7). Maximising the right side over f and q together makes t as informative as its length and network
allow, and sufficient in the ideal. Mutual information does not change under the bijection u(theta), so q lives in the
unconstrained coordinates of `ParameterSpace`, where all parameters have about unit variance and no edges.
"""

import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress, silent
from fullfield.compression.base import Compressor, standardising
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.networks import AbstractDensity, real_nvp
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History


class VMIM(eqx.Module):
    """What is trained: the compressor, and the companion density that reads its summaries.

    Args:
        compressor: data to summary (s,).
        companion: density of unconstrained parameters (p,) given the summary.
    """

    compressor: Compressor
    companion: AbstractDensity


class VMIMLoss(eqx.Module):
    """Mean of -log q(u(theta) | f(data)) over a batch.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
    """

    parameters: ParameterSpace

    def __call__(
        self, module: VMIM, theta: Float[Array, "b p"], data: Float[Array, "b ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of compressor and companion on parameters (b, p) and data (b, ...); `key` is ignored."""
        summary = jax.vmap(module.compressor)(data)
        return -jnp.mean(jax.vmap(module.companion.log_prob)(self.parameters.to_unconstrained(theta), summary))


def train_vmim(
    network: Callable,
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = real_nvp,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 30,
    patience: int = 10,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "compressor",
) -> tuple[Compressor, History]:
    """Train a network to keep all information on the parameters.

    Args:
        network: data to summary (s,), e.g. an entry of `fullfield.networks.NETWORKS`; s = p is the usual choice.
        parameters: the parameters, in the order of the simulations' theta.
        simulations: parameters and data to train on.
        validation: held-out simulations, for early stopping.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`; the companion, not needed after training.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The compressor, and the training history. Minus its loss, plus the entropy of the unconstrained parameters under the
        prior, is the bound on the mutual information in nats.
    """
    compressor = standardising(network, _first_batch(simulations, stream(key, "examples")))
    companion = eqx.filter_jit(density)(parameters.size, compressor.summary_size, key=stream(key, "companion"))
    pair, history = fit(
        VMIM(compressor, companion),
        VMIMLoss(parameters),
        simulations,
        validation=validation,
        key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs,
        patience=patience,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )
    return pair.compressor, history


def _first_batch(simulations: AbstractSimulations, key: Key[Array, ""]) -> Float[Array, "b ..."]:
    return _draw_data(next(simulations.shards(key)), key)


@eqx.filter_jit
def _draw_data(shard: AbstractShard, key):
    return shard.draw(key, jnp.zeros((), jnp.int32))[1]
