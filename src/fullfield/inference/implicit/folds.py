"""Few simulations, each of them learned from and held out in turn."""

import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import StoredSimulations
from fullfield.inference.implicit.choose import held_out_log_probs
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, History


LOOK = 20  # training steps between two looks at the held-out simulations
BATCH = 128


def train_folds(
    parameters: ParameterSpace,
    theta: Float[Array | np.ndarray, "n p"],
    rows: Float[Array | np.ndarray, "n s"],
    *,
    key: Key[Array, ""],
    train: Callable[..., tuple[AbstractPosterior, History]] = train_npe,
    folds: int = 5,
    steps: int = 2000,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "training",
    **settings: object,
) -> tuple[EnsemblePosterior, Float[np.ndarray, " n"]]:
    """Train on few simulations, several times, with another part of them held out each time, and mix what was found.

    No simulation is lost to the held-out part, and a comparison of two ways of training (`choose`) looks at all of them.

    Args:
        parameters: the parameters.
        theta: their values.
        rows: summaries, or summary and score (p,) side by side if `score_weight` is among the settings.
        key: scalar key.
        train: `train_npe`, `train_nle` or a partial of one.
        folds: number of parts.
        steps: most training steps of each.
        checkpoint: folder of a file for each training.
        progress: told after every epoch.
        stage: what `progress` calls it.
        settings: further arguments of `train`.

    Returns:
        The equal mixture, and the log-probability of each simulation under the training that did not see it.

    Raises:
        ConfigurationError: there are fewer simulations than parts.
    """
    theta, rows = np.asarray(theta), np.asarray(rows)
    if not 2 <= folds <= len(theta):
        raise ConfigurationError("folds", expected=f"between 2 and the number of simulations, {len(theta)}", got=folds)
    members, found = [], np.zeros(len(theta))
    for fold in range(folds):
        held_out = np.arange(len(theta)) % folds == fold
        batch = min(BATCH, int(np.sum(~held_out)))
        source, validation = (
            StoredSimulations(theta[part], rows[part], batch_size=batch, passes=passes)
            for part, passes in ((~held_out, -(-LOOK * batch // int(np.sum(~held_out)))), (held_out, 1))
        )
        epochs = max(1, steps // source.steps_per_epoch)
        posterior, _ = train(
            parameters, source, validation,
            key=stream(jax.random.fold_in(key, fold), "training"),
            optimiser=cosine_adam(1e-3, epochs * source.steps_per_epoch), max_epochs=epochs, patience=max(20, epochs // 4),
            checkpoint=None if checkpoint is None else pathlib.Path(checkpoint) / str(fold),
            progress=progress, stage=f"{stage}, {fold + 1} of {folds}", **settings,
        )  # fmt: skip
        members.append(posterior)
        found[held_out] = held_out_log_probs(posterior, theta[held_out], rows[held_out, : posterior.data_shape[0]])
    return EnsemblePosterior(tuple(members)), found
