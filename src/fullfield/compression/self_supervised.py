"""Summaries learnt without labels: views of one cosmology are to have the same summary, views of others another.

What the views of a row share is kept, what they vary is forgotten. The loss reads embeddings z = g(t) of the summaries, where
the expander g is left behind after training (Bardes, Ponce & LeCun 2022, ICLR, arXiv:2105.04906; for cosmological simulations
Akhmetzhanova, Mishra-Sharma & Dvorkin 2024, MNRAS 527, 7459, arXiv:2308.09751).
"""

import abc
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import DataError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.compression.base import check_varying, Compressor, standardising
from fullfield.compression.objective import first_batch
from fullfield.datasets import AbstractSimulations
from fullfield.networks import MLP
from fullfield.training import cosine_adam, fit, History


OFTEN = 0.1  # of the numbers of a parameter


class AbstractAgreement(eqx.Module):
    """What embeddings of pairs of views are trained for."""

    @abc.abstractmethod
    def __call__(self, first: Float[Array, "b d"], second: Float[Array, "b d"]) -> Float[Array, ""]:
        """Loss of a batch, whose rows are different cosmologies."""


class VICReg(AbstractAgreement):
    """λ s + μ (v + v') + ν (c + c'): invariance, variance and covariance of embeddings.

    s is the squared distance of partners, v what the deviations of the embedding's numbers lack of one, and c their
    off-diagonal covariances squared, per number (Akhmetzhanova et al. 2024, equations 1 to 5). Both views' v are summed, as
    there; the public code of Bardes et al. halves each, so that its μ is twice ours.

    Args:
        invariance: λ.
        variance: μ.
        covariance: ν.
        summed: whether s is summed over the embedding's d numbers, as equation 1 of the paper has it, or their mean, as the
            public codes of that paper and of Bardes et al. have it, to which published weights belong.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    summed: bool = False

    def __call__(self, first: Float[Array, "b d"], second: Float[Array, "b d"]) -> Float[Array, ""]:
        """Loss of a batch."""
        distance = jnp.mean(jnp.sum((first - second) ** 2, axis=1)) / (1 if self.summed else first.shape[1])
        spread = _lacking(first) + _lacking(second)
        redundancy = _redundancy(first) + _redundancy(second)
        return self.invariance * distance + self.variance * spread + self.covariance * redundancy


def _lacking(z):
    return jnp.mean(jax.nn.relu(1.0 - jnp.sqrt(jnp.var(z, axis=0, ddof=1) + 1e-4)))


def _redundancy(z):
    n, d = z.shape
    centred = z - jnp.mean(z, axis=0)
    covariance = centred.T @ centred / (n - 1)
    return (jnp.sum(covariance**2) - jnp.sum(jnp.diagonal(covariance) ** 2)) / d


class SimCLR(AbstractAgreement):
    """Cross entropy of finding a view's partner among all views of the batch, by the cosine of their embeddings.

    Mean over both views of all rows; the sum in the denominator runs over all views but the one itself (Chen et al. 2020,
    ICML, arXiv:2002.05709, equation 1; the print of C1 in Akhmetzhanova et al. 2024 has another index there).

    Args:
        temperature: by which cosines are divided.
    """

    temperature: float = 0.1

    def __call__(self, first: Float[Array, "b d"], second: Float[Array, "b d"]) -> Float[Array, ""]:
        """Loss of a batch."""
        b = len(first)
        z = jnp.concatenate([first, second])
        z = z / jnp.maximum(jnp.linalg.norm(z, axis=1, keepdims=True), 1e-12)
        logits = jnp.where(jnp.eye(2 * b, dtype=bool), -jnp.inf, z @ z.T / self.temperature)
        partners = jnp.roll(jnp.arange(2 * b), b)
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - logits[jnp.arange(2 * b), partners])


class Embedded(eqx.Module):
    """What is trained: the compressor, and the expander that is left behind.

    Args:
        compressor: data to summary (s,).
        expander: summary to embedding (d,).
    """

    compressor: Compressor
    expander: Callable


class AgreementLoss(eqx.Module):
    """An agreement of views, a mean over the pairs of each row.

    Args:
        agreement: what embeddings are trained for.
    """

    agreement: AbstractAgreement

    def __call__(
        self, module: Embedded, theta: Float[Array, "b p"], data: Float[Array, "b k ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on views (b, k, ...), neighbours of which are pairs; parameters and `key` are not looked at."""
        z = jax.vmap(jax.vmap(lambda view: module.expander(module.compressor(view))))(data)
        return jnp.mean(jax.vmap(self.agreement, in_axes=(1, 1))(z[:, 0::2], z[:, 1::2]))


def train_self_supervised(
    agreement: AbstractAgreement,
    network: Callable,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    expander: Callable[..., Callable] = MLP,
    embedding: int = 64,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 100,
    patience: int = 20,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "compressor",
) -> tuple[Compressor, History]:
    """Train a network to summarise what the views of a cosmology share, without looking at parameters.

    Args:
        agreement: `VICReg` or `SimCLR`.
        network: data to summary (s,).
        simulations: groups of views (v, ...), such as `StoredSimulations(theta, views, augment=Pairs())`; theta are the
            parameters that all views of a group share, by which a group in both parts is found.
        validation: held-out groups of other cosmologies, for early stopping.
        key: scalar key.
        expander: `(summary size, embedding size, *, key) -> function`, e.g. `MLP` or a partial of it.
        embedding: length of the embedding.
        optimiser, max_epochs, patience, average, checkpoint, progress, stage: as `train_compressor` has them.

    Returns:
        The compressor, and the training history.

    Raises:
        DataError: groups of fewer than two views or an odd number of them, in training or held out; batches of one cosmology, a
            cosmology both in training and held out, or data that never vary or are not finite.
        ShapeError: theta of training and held-out groups have different numbers of parameters.
        DivergenceError: a loss is not finite.
    """
    _check_apart(simulations, validation)
    views = _checked("simulations", simulations, key)
    _checked("validation", validation, key)
    examples = views.reshape(-1, *views.shape[2:])
    check_varying(examples)
    compressor = standardising(network, examples)
    start = Embedded(compressor, expander(compressor.summary_size, embedding, key=stream(key, "expander")))
    trained, history = fit(
        start, AgreementLoss(agreement), simulations,
        validation=validation, key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch), max_epochs=max_epochs,
        patience=patience, average=average, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return trained.compressor, history


def _checked(name: str, simulations: AbstractSimulations, key: Key[Array, ""]) -> Float[Array, "b v ..."]:
    """Views of a first batch, in which there are pairs and cosmologies to be told apart."""
    _, views = first_batch(simulations, stream(key, "examples"))
    if views.ndim < 3 or views.shape[1] < 2 or views.shape[1] % 2:
        raise DataError(
            name, expected="groups (v, ...) of an even number of views, at least two", got=f"data of shape {views.shape[1:]}",
            remedy="Stack views of one cosmology on the first axis of its data, and draw pairs with augment=Pairs().",
        )  # fmt: skip
    if len(views) < 2:
        raise DataError(
            name, expected="batches of at least two cosmologies, which views are told apart by", got="one in each",
            remedy="Give more groups of views, or a larger batch_size.",
        )  # fmt: skip
    return views


def _check_apart(simulations, validation) -> None:
    """Refuse groups that are in both, where that can be seen."""
    found = []
    for part in (simulations, validation):
        theta, rows = getattr(part, "theta", None), getattr(part, "rows", None)  # rows of what is streamed from disk
        if theta is None:
            return
        found.append(np.asarray(theta if rows is None else theta[rows], np.float32))
    sizes = [part.shape[1] for part in found]
    if sizes[0] != sizes[1]:
        raise ShapeError("validation", expected=f"{sizes[0]} parameters, as in training", got=sizes[1])
    shared = _shared(*found)
    known, held_out = ([bytes(row) for row in np.ascontiguousarray(part[:, shared])] for part in found)
    trained = set(known)
    if both := [i for i, row in enumerate(held_out) if row in trained]:
        varied = "" if shared.all() else f" Leave columns {np.flatnonzero(~shared).tolist()} out of theta if views vary them."
        raise DataError(
            "validation", expected="cosmologies that are not trained on",
            got=f"{len(both)} that are among {len(held_out)}, first in its row {both[0]}",
            remedy=f"Split by cosmology, all of whose views belong together.{varied}",
        )  # fmt: skip


def _shared(known: Float[np.ndarray, "n p"], held_out: Float[np.ndarray, "m p"]) -> Bool[np.ndarray, " p"]:
    """Columns in which one cosmology is the same in both parts, which nuisances, drawn anew for every view, are not.

    They are those whose numbers often recur in the other part, though there are many of them; all columns if there are none.
    """
    recur = [
        np.isin(after, before).mean() >= OFTEN and len(np.unique(before)) >= OFTEN * len(before)
        for before, after in zip(known.T, held_out.T, strict=True)
    ]
    return np.array(recur, bool) | (not any(recur))
