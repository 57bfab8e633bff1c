"""Training of the joint denoiser.

With û, v̂ from the denoiser and (1 - t)² / (t² + (1 - t)²) what a unit Gaussian's errors would be,

    L = E [ Σ_blocks mean (x̂ - x)² (t² + (1 - t)²) / (1 - t)² ],

so that each block counts alike, however few its numbers and whatever its time. Of every pair, field and parameters are seen on
one of two paths, at equal times or with the parameters known, and parameters by themselves.
"""

import os
from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.generative.coordinates import Colour
from fullfield.generative.denoiser import Condition, JointDenoiser
from fullfield.generative.solvers import HIGHEST, LOWEST
from fullfield.networks import AbstractBranch, UNetBranch
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History


EXAMPLES = 2048  # for coordinates
ALONE = 8  # noises for each pair's parameters by themselves, which cost next to nothing
SPREAD = 1.6  # of λ about 0.3, for half of the times; the other half lies evenly over the solvers' grid


class Layout(eqx.Module):
    """How a field, the expected one and a summary lie in one row of simulations.

    Args:
        shape: (n, n, bins) of both fields.
        summary: length of the summary.
    """

    shape: tuple[int, int, int] = eqx.field(static=True)
    summary: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Length of a row."""
        return 2 * int(np.prod(self.shape)) + self.summary

    def pack(self, field: Float[Any, "*m n n b"], condition: Condition) -> Float[np.ndarray, "*m k"]:
        """Rows (m, k) of fields and what was seen of them."""
        parts = (field, condition.expected, condition.summary)
        lead = np.shape(condition.summary)[:-1]
        return np.concatenate([np.reshape(part, (*lead, -1)) for part in parts], axis=-1, dtype=np.float32)

    def unpack(self, rows: Float[Array, "*m k"]) -> tuple[Float[Array, "*m n n b"], Condition]:
        """The fields, and what was seen of them.

        Raises:
            ShapeError: the rows are not of this length.
        """
        if rows.shape[-1] != self.size:
            raise ShapeError("rows", expected=f"{self.size} numbers in each", got=rows.shape[-1])
        size, lead = int(np.prod(self.shape)), rows.shape[:-1]
        field, expected = (rows[..., i * size : (i + 1) * size].reshape(*lead, *self.shape) for i in range(2))
        return field, Condition(expected, rows[..., 2 * size :])


class JointLoss(eqx.Module):
    """Mean squared error of both blocks, each in units of a Gaussian's.

    Args:
        parameters: the parameters, for their unconstrained coordinates.
        layout: of the rows.
        known: part of the pairs that are seen with their parameters known.
    """

    parameters: ParameterSpace
    layout: Layout
    known: float = 0.5

    def __call__(
        self, module: JointDenoiser, theta: Float[Array, "b p"], data: Float[Array, "b k"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, p) and rows (b, k), each pair with times and noise of its own."""
        field, condition = self.layout.unpack(data)
        u, v = jax.vmap(module.white)(self.parameters.to_unconstrained(theta), field, condition)
        count = len(u)
        t, alone = draw_times(stream(key, "times"), count), draw_times(stream(key, "times alone"), ALONE * count)
        known = jax.random.bernoulli(stream(key, "known"), self.known, (count,))
        t_theta = jnp.where(known, 1.0, t)
        noises = jax.random.normal(stream(key, "noise of parameters"), (1 + ALONE, *u.shape))
        noise = jax.random.normal(stream(key, "noise of field"), v.shape)
        noisy = _mixed(u, noises[0], t_theta)
        found_u, found_v = jax.vmap(module)(noisy, _mixed(v, noise, t), (t_theta, t), condition)
        losses = jnp.where(known, 0.0, _scaled(found_u - u, t)) + _scaled(found_v - v, t)
        u, summary = (jnp.tile(each, (ALONE, 1)) for each in (u, condition.summary))
        other = _mixed(u, noises[1:].reshape(u.shape), alone)
        by_itself = jax.vmap(module.parameters)(other, alone, summary)
        return jnp.mean(losses) + jnp.mean(_scaled(by_itself - u, alone))


def draw_times(key: Key[Array, ""], count: int) -> Float[Array, " count"]:
    """Times (count,) that cover the whole grid of the solvers, most of them where field and noise are alike."""
    even = (jnp.arange(count) + jax.random.uniform(stream(key, "even"))) / count
    middle = 0.3 + SPREAD * jax.scipy.special.ndtri(even)
    wide = LOWEST + (HIGHEST - LOWEST) * jax.random.permutation(stream(key, "wide"), even)
    chosen = jnp.where(jax.random.bernoulli(stream(key, "which"), 0.5, (count,)), middle, wide)
    return jax.nn.sigmoid(jax.random.permutation(stream(key, "order"), jnp.clip(chosen, LOWEST - 2, HIGHEST)))


def _mixed(x, noise, t):
    t = t.reshape(-1, *[1] * (x.ndim - 1))
    return t * x + (1 - t) * noise


def _scaled(error, t):
    mean = jnp.mean(error**2, axis=tuple(range(1, error.ndim)))
    return mean * (t**2 + (1 - t) ** 2) / (1 - t) ** 2


def train_joint(
    parameters: ParameterSpace,
    layout: Layout,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    survey: Float[Array | np.ndarray, "n n c"] | None = None,
    branch: Callable[..., AbstractBranch] = UNetBranch,
    width: int = 128,
    known: float = 0.5,
    colour: Colour | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 40,
    patience: int = 40,
    average: float = 0.999,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "denoiser",
) -> tuple[JointDenoiser, History]:
    """Train a denoiser of parameters and field, given what was seen of the field or nothing.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        layout: of the rows.
        simulations: pairs of parameters and rows to train on.
        validation: held-out pairs.
        key: scalar key.
        survey: maps (n, n, c) that are the same for all observations, such as the depth, none if not given. The `noise` of
            observations that come as `ShearMaps` must go as one over it.
        branch: the field's network, `UNetBranch`, `TransformerBranch` or a partial of one.
        width: of the parameters' network.
        known: part of the pairs whose field is seen with the parameters known, the others at equal times; 1.0 if what is
            expected of a field is expected at its own parameters.
        colour: from white latents to the field they stand for, if those are what rows hold as the field.
        optimiser: optax transformation; `cosine_adam(2e-3, all steps)` if not given.
        max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The denoiser and the history of its training.

    Raises:
        DataError: there are too few simulations for the regression that coordinates need.
        ShapeError: rows do not fit the layout.
    """
    theta, rows = examples(simulations, stream(key, "examples"), EXAMPLES)
    field, condition = layout.unpack(rows)
    n, _, bins = layout.shape
    survey = jnp.zeros((n, n, 0)) if survey is None else jnp.asarray(survey, jnp.float32)
    untrained = JointDenoiser.make(
        parameters.size,
        layout.summary,
        bins,
        survey,
        key=stream(key, "weights"),
        branch=branch,
        width=width,
        colour=colour,
    )
    start = untrained.fitted_to(parameters.to_unconstrained(theta), field, condition)
    return fit(
        start, JointLoss(parameters, layout, known), simulations, validation=validation, key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(2e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs, patience=patience, average=average, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip


def examples(
    simulations: AbstractSimulations, key: Key[Array, ""], least: int
) -> tuple[Float[Array, "m p"], Float[Array, "m ..."]]:
    """Parameters and data of `least` simulations in whole batches, or of as many as the first shard holds."""
    shard, parts, count = next(simulations.shards(key)), [], 0
    for step in range(int(shard.steps)):
        if count >= least:
            break
        parts.append(shard.draw(jax.random.fold_in(key, step), jnp.asarray(step, jnp.int32)))
        count += len(parts[-1][0])
    theta, rows = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return theta, cast(Array, rows)
