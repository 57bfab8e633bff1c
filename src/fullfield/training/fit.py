"""The one function that trains: any module, any loss, any source of simulations."""

import os
import time
from typing import Any, Protocol, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import paramax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from fullfield._core import FullfieldError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.training.history import History


M = TypeVar("M")


class Loss(Protocol):
    """What `fit` minimises: a mean over the batch."""

    def __call__(
        self, module: Any, theta: Float[Array, "b p"], data: Shaped[Array, "b ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of `module` on a batch of parameters (b, p) and data (b, ...)."""
        ...


class DivergenceError(FullfieldError):
    """Training met a loss that is not finite."""


class State(eqx.Module):
    """What one step hands to the next: the trained arrays, their running average, the optimiser's state."""

    weights: PyTree
    average: PyTree
    optimiser: PyTree
    step: Int[Array, ""]


def cosine_adam(
    learning_rate: float, steps: int, *, warmup: float = 0.05, clip: float = 1.0
) -> optax.GradientTransformationExtraArgs:
    """Adam whose rate rises linearly and falls to zero along a cosine, with the gradient's global norm clipped.

    Args:
        learning_rate: highest learning rate.
        steps: number of steps until the rate is zero.
        warmup: fraction of the steps over which the rate rises from zero.
        clip: largest global norm of a gradient.
    """
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, max(1, round(warmup * steps)), max(2, steps))
    return optax.named_chain(("clip", optax.clip_by_global_norm(clip)), ("adam", optax.adam(rate)))


def fit(
    module: M,
    loss: Loss,
    simulations: AbstractSimulations,
    *,
    validation: AbstractSimulations,
    key: Key[Array, ""],
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 100,
    patience: int = 20,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "training",
) -> tuple[M, History]:
    """Train a module and return it with the weights of its best epoch on held-out simulations.

    Floating-point arrays of the module are trained, except those inside `paramax.NonTrainable`; the loss sees the module
    with its `paramax` wrappers resolved. Batches, their order and all noise of epoch e depend on `key` and e alone.
    Held-out loss is measured in inference mode, with the same noise after every epoch.

    Args:
        module: any pytree, usually an `eqx.Module`.
        loss: what to minimise, a mean over the batch.
        simulations: where training examples come from.
        validation: where held-out examples come from.
        key: scalar key.
        optimiser: any optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of an exponential moving average of the weights, which is then what is measured and returned;
            0 for none. It is shortened to t / (t + 10) in early steps t.
        checkpoint: file to continue from if it exists, and to keep up to date.
        progress: told about every epoch.
        stage: name of this training for `progress`.

    Returns:
        The module with its best weights, and the history of the run.

    Raises:
        DivergenceError: a loss is not finite; says in which epoch.
    """
    optimiser = optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch)
    weights, static = eqx.partition(module, eqx.is_inexact_array, is_leaf=_is_frozen)
    state = State(weights, _in_float32(weights), optimiser.init(weights), jnp.zeros((), jnp.int32))
    best, history = weights, History()
    held_out_key = stream(key, "held-out")
    while history.epochs < max_epochs and history.epochs - 1 - history.best_epoch < patience:
        start = time.perf_counter()
        epoch_key = jax.random.fold_in(stream(key, "epoch"), history.epochs)
        state, train_loss = _train_epoch(state, static, simulations, epoch_key, loss, optimiser, average)
        _check_finite(train_loss, "loss", history.epochs)
        candidate = jax.tree.map(lambda mean, like: mean.astype(like.dtype), state.average, state.weights)
        held_out = _held_out_loss(candidate, static, validation, held_out_key, loss)
        _check_finite(held_out, "held-out loss", history.epochs)
        best = candidate if held_out < history.best else best
        used = simulations.cost(history.epochs + 1) + validation.cost(1)
        history = history.with_epoch(train_loss, held_out, time.perf_counter() - start, used)
        progress(stage, history.epochs, max_epochs, train_loss=train_loss, held_out=held_out)
    return eqx.combine(best, static, is_leaf=_is_frozen), history


def _train_epoch(state, static, simulations, key, loss, optimiser, average):
    total, steps = 0.0, 0
    for number, shard in enumerate(simulations.shards(stream(key, "order"))):
        # One shard computes while the host reads the next, and no more than one waits.
        jax.block_until_ready(state)
        state, part = _train_shard(state, static, shard, jax.random.fold_in(key, number), loss, optimiser, average)
        total, steps = total + part, steps + int(shard.steps)
    return state, float(total) / steps


def _held_out_loss(weights, static, validation, key, loss):
    total, steps = 0.0, 0
    for number, shard in enumerate(validation.shards(stream(key, "order"))):
        jax.block_until_ready(total)
        total = total + _measure_shard(weights, static, shard, jax.random.fold_in(key, number), loss)
        steps += int(shard.steps)
    return float(total) / steps


@eqx.filter_jit
def _train_shard(
    state: State, static: PyTree, shard: AbstractShard, key: Key[Array, ""], loss: Loss, optimiser: Any, average: float
) -> tuple[State, Float[Array, ""]]:
    """Take all steps of a shard; the sum of their losses comes back."""

    def step(i, carry):
        state, total = carry
        draw_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
        theta, data = shard.draw(draw_key, i)
        value, gradient = jax.value_and_grad(_loss_of)(state.weights, static, theta, data, loss_key, loss)
        updates, optimiser_state = optimiser.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        decay = jnp.minimum(average, state.step / (state.step + 10.0))
        mean = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, weights)
        mean = jax.tree.map(lambda new, old: new.astype(old.dtype), mean, state.average)
        return State(weights, mean, optimiser_state, state.step + 1), total + value.astype(jnp.float32)

    return jax.lax.fori_loop(0, shard.steps, step, (state, jnp.zeros((), jnp.float32)))


@eqx.filter_jit
def _measure_shard(weights: PyTree, static: PyTree, shard: AbstractShard, key: Key[Array, ""], loss: Loss) -> Float[Array, ""]:
    """Sum of the losses of a shard's batches."""
    static = eqx.nn.inference_mode(static)

    def step(i, total):
        draw_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
        theta, data = shard.draw(draw_key, i)
        return total + _loss_of(weights, static, theta, data, loss_key, loss).astype(jnp.float32)

    return jax.lax.fori_loop(0, shard.steps, step, jnp.zeros((), jnp.float32))


def _loss_of(weights, static, theta, data, key, loss):
    module = paramax.unwrap(eqx.combine(weights, static, is_leaf=_is_frozen))
    return loss(module, theta, data, key=key)


def _is_frozen(leaf: Any) -> bool:
    return isinstance(leaf, paramax.NonTrainable)


def _in_float32(weights: PyTree) -> PyTree:
    # An average that moves by less than a bfloat16 can hold would stand still.
    return jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), weights)


def _check_finite(value: float, name: str, epoch: int) -> None:
    if not jnp.isfinite(value):
        raise DivergenceError(
            name,
            expected="a finite number",
            got=f"{value} in epoch {epoch + 1}",
            remedy="Lower the learning rate, clip gradients harder, or look for extreme values in the data.",
        )
