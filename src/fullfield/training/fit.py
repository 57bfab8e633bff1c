"""The one function that trains: any module, any loss, any source of simulations."""

import dataclasses
import functools
import math
import os
import time
from typing import TypeVar

import jax
import optax
from jaxtyping import Key

from fullfield._core import ConfigurationError, FullfieldError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.datasets.simulations import check_positive
from fullfield.training import checkpoint as checkpoints
from fullfield.training.epoch import (
    choose_steps,
    device_mesh,
    held_out_loss,
    join_trained,
    Loss,
    split_trained,
    train_epoch,
    Training,
)
from fullfield.training.history import History


M = TypeVar("M")


class DivergenceError(FullfieldError):
    """Training met a loss that is not finite."""


@functools.lru_cache(maxsize=64)
def cosine_adam(
    learning_rate: float, steps: int, *, warmup: float = 0.05, clip: float = 1.0
) -> optax.GradientTransformationExtraArgs:
    """Adam whose rate rises linearly and falls to zero along a cosine, with the gradient's global norm clipped.

    Equal arguments give the same object, so that a second training like the first is not compiled anew.

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
    measure: Loss | None = None,
    key: Key[jax.Array, ""],
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
    with its `paramax` wrappers resolved. Batches, their order and all noise of epoch e depend on `key` and e alone, so a
    run continued from a checkpoint equals the uninterrupted one bit for bit. Held-out loss is measured in inference mode,
    with the same noise after every epoch. Batches are spread over all devices that divide them.

    Args:
        module: any pytree, usually an `eqx.Module`.
        loss: what to minimise, a mean over the batch.
        simulations: where training examples come from.
        validation: where held-out examples come from.
        measure: what held-out examples are measured by; `loss` if not given.
        key: scalar key.
        optimiser: any optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of an exponential moving average of the weights, which is then what is measured and returned;
            0 for none. It is shortened to t / (t + 10) in early steps t.
        checkpoint: file to continue from if it exists; kept up to date, also on Ctrl-C or any error.
        progress: told about every epoch.
        stage: name of this training for `progress`.

    Returns:
        The module with its best weights, and the history of the run.

    Raises:
        DivergenceError: a loss is not finite; says in which epoch.
        ConfigurationError: a setting is impossible, or the checkpoint is of another module, loss, measure, optimiser, key or
            data; names the first difference.
        DataError: the disk does not take the checkpoint.
        DamagedDataError: the checkpoint's bytes are not those written.
    """
    check_positive(max_epochs=max_epochs, patience=patience)
    if not 0 <= average < 1:
        raise ConfigurationError("average", expected="a decay of at least 0 and below 1", got=average)
    optimiser = optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch)
    weights, static = split_trained(module)
    mesh = device_mesh(simulations.batch_size, validation.batch_size)
    training = Training(static, loss, optimiser, average, mesh)
    state, best, history = training.start(weights), weights, History()
    file = None
    if checkpoint is not None:
        settings = {"module": module, "loss": loss, "optimiser": optimiser, "average": average, "key": key}
        if measure is not None:
            settings["measure"] = measure
        sources = {"simulations": simulations.identity, "validation": validation.identity}
        file = checkpoints.Checkpoint(checkpoint, checkpoints.configuration_of(settings | sources))
        state, best, history = file.read(state, best)
    state, best, training = training.everywhere((state, best, training))
    judge = training if measure is None else dataclasses.replace(training, loss=measure)
    all_steps = choose_steps(training, state, simulations, max_epochs * simulations.steps_per_epoch)
    saved = time.monotonic()
    try:
        while history.epochs < max_epochs and history.epochs - 1 - history.best_epoch < patience:
            start, epoch = time.perf_counter(), history.epochs
            epoch_key = jax.random.fold_in(stream(key, "epoch"), epoch)
            new, train_loss = train_epoch(training, state, simulations, epoch_key, all_steps)
            _check_finite(train_loss, "loss", epoch)
            candidate = new.averaged()
            held_out = held_out_loss(judge, candidate, validation, stream(key, "held-out"), all_steps)
            _check_finite(held_out, "held-out loss", epoch)
            used = simulations.cost(epoch + 1) + validation.cost(1)
            # One assignment: an interruption finds either the whole epoch done or nothing of it.
            state, best, history = (
                new,
                candidate if held_out < history.best else best,
                history.with_epoch(train_loss, held_out, time.perf_counter() - start, used),
            )
            if file is not None and time.monotonic() - saved > checkpoints.SECONDS:
                file.write(state, best, history)
                saved = time.monotonic()
            progress(stage, history.epochs, max_epochs, train_loss=train_loss, held_out=held_out)
    finally:
        if file is not None:
            file.write(state, best, history)
    return join_trained(best, static), history


def _check_finite(value: float, name: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise DivergenceError(
            name,
            expected="a finite number",
            got=f"{value} in epoch {epoch + 1}",
            remedy="Lower the learning rate, clip gradients harder, or look for extreme values in the data.",
        )
