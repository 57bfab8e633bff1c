"""Information-maximising neural networks: summaries whose Fisher matrix about given parameters is as large as it can be.

Of summaries t with mean μ and covariance C at θ₀,

    F = ∂μᵀ C⁻¹ ∂μ,    L = -½ log det F + r Λ,    Λ = |C - 1|² + |C⁻¹ - 1|²,    r = λ Λ / (Λ + exp(-α Λ)),

where the second term fixes the scale that the first leaves free, and steps back once Λ is small (Charnock, Lavaux & Wandelt
2018, arXiv:1802.03537; in this form Makinen et al. 2021, arXiv:2107.07405). Derivatives of the mean are those of every
simulation, carried through the network: no step size, no seeds to match.
"""

import math
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, DataError, full_precision, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.compression.base import check_varying, Compressor, standardising
from fullfield.compression.objective import first_batch
from fullfield.datasets import AbstractSimulations
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractForwardModel
from fullfield.training import cosine_adam, fit, History


class Tangents(AbstractForwardModel):
    """Simulations at fixed parameters with their derivatives, as a forward model of data (k, 1 + p, ...).

    Along the second axis come the data at a point and their derivatives in every parameter, at fixed random numbers. The
    parameters that it is asked to simulate at are not looked at.

    Args:
        model: a forward model that can be differentiated.
        points: θ₀ (k, p).
    """

    model: AbstractForwardModel
    points: Float[Array, "k p"]
    parameters: ParameterSpace

    def __init__(self, model: AbstractForwardModel, points: Float[Array, "k p"]):
        self.model, self.points, self.parameters = model, points, model.parameters

    @full_precision
    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "k columns ..."]:
        """Data and derivatives at every point, one realisation for each; `theta` is ignored."""

        def at(key, point):
            data, push = jax.linearize(lambda t: self.model.simulate_at(key, t), point)
            return jnp.concatenate([data[None], jax.vmap(push)(jnp.eye(len(point)))])

        return jax.vmap(at)(jax.random.split(key, len(self.points)), self.points)


class FisherLoss(eqx.Module):
    """The loss above, mean over points.

    Args:
        strength: λ, the largest weight of the covariance's term.
        closeness: ε, the deviation of the covariance at which its term begins to fade.
    """

    strength: float = 10.0
    closeness: float = 0.1

    @property
    def rate(self) -> float:
        """α = -log(ε (λ - 1) + ε² / (1 + ε)) / ε."""
        e = self.closeness
        return -math.log(e * (self.strength - 1) + e**2 / (1 + e)) / e

    @full_precision
    def __call__(
        self, module: Compressor, theta: Float[Array, "b p"], data: Float[Array, "b k columns ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on data and their derivatives (b, k, 1 + p, ...); `theta` and `key` are ignored."""
        means, covariances = summary_moments(module, data)

        def at(mean, covariance):
            identity = jnp.eye(len(covariance))
            inverse = jnp.linalg.inv(covariance)
            off = jnp.sum((covariance - identity) ** 2) + jnp.sum((inverse - identity) ** 2)
            weight = jax.lax.stop_gradient(self.strength * off / (off + jnp.exp(-self.rate * off)))
            return -0.5 * jnp.linalg.slogdet(mean @ inverse @ mean.T)[1] + weight * off

        return jnp.mean(jax.vmap(at)(means, covariances))


def carried(
    compressor: Callable, data: Float[Array, "b k columns ..."]
) -> tuple[Float[Array, "b k s"], Float[Array, "b k p s"]]:
    """Summaries, and their derivatives in every parameter, of simulations with derivatives as `Tangents` makes them."""

    def one(rows):
        summary, push = jax.linearize(compressor, rows[0])
        return summary, jax.vmap(push)(rows[1:])

    return jax.vmap(jax.vmap(one))(data)


def summary_moments(
    compressor: Callable, data: Float[Array, "b k columns ..."]
) -> tuple[Float[Array, "k p s"], Float[Array, "k s s"]]:
    """Derivatives of the mean summary in every parameter, and its covariance, at every point.

    Args:
        compressor: data to summary (s,).
        data: simulations with their derivatives, as `Tangents` makes them.
    """
    summaries, derivatives = carried(compressor, data)
    centred = summaries - jnp.mean(summaries, axis=0)
    return jnp.mean(derivatives, axis=0), jnp.einsum("bki,bkj->kij", centred, centred) / (len(data) - 1)


def train_imnn(
    network: Callable,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    loss: FisherLoss | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 30,
    patience: int = 10,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "compressor",
) -> tuple[Compressor, History]:
    """Train a network to maximise the Fisher information of its outputs about fixed parameters.

    Args:
        network: data to summary (s,), s at least the number of parameters.
        simulations: simulations with derivatives, (k, 1 + p, ...) each: an `OnlineSimulations` of `Tangents`, or a
            `StoredSimulations` of what that has simulated.
        validation: the same, held out.
        key: scalar key.
        loss: with other settings of the covariance's term.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The compressor, and the training history.

    Raises:
        ConfigurationError: the network has fewer outputs than there are parameters.
        DataError: a batch has not twice as many simulations as summaries, whose covariance it is to measure, or the data are
            constant, not finite, or the same whatever a parameter is; names it, or says its place.
        ShapeError: the simulations have no derivatives, or the network does not take the data.
    """
    theta, batch = first_batch(simulations, stream(key, "examples"))
    p = theta.shape[1]
    if batch.ndim < 4 or batch.shape[2] != 1 + p:
        raise ShapeError(
            "simulations", expected=f"data with derivatives in {p} parameters, shape (points, {1 + p}, ...) each",
            got=batch.shape[1:], remedy="Simulate from `Tangents(model, points)`.",
        )  # fmt: skip
    examples = batch[:, :, 0].reshape(-1, *batch.shape[3:])
    check_varying(examples)
    blind = [i for i in range(p) if not jnp.any(batch[:, :, 1 + i])]
    if blind:
        model = getattr(simulations, "model", None)  # of endless simulations, which know names
        names = [model.parameters.names[i] for i in blind] if model else [f"number {i}" for i in blind]
        raise DataError(
            "simulations", expected="data that depend on every parameter", got=f"none on {', '.join(names)}",
            remedy="Fix these parameters: their Fisher information is zero.",
        )  # fmt: skip
    compressor = standardising(network, examples)
    size = compressor.summary_size
    if size < p:
        raise ConfigurationError(
            "network", expected=f"at least {p} outputs, for the Fisher matrix of {p} parameters", got=size,
            remedy="Give the network more outputs.",
        )  # fmt: skip
    least = min(simulations.batch_size, validation.batch_size)
    if least < 2 * size:
        raise DataError(
            "simulations", expected=f"batches of at least {2 * size} for the covariance of {size} summaries", got=least,
            remedy="Take larger batches or fewer summaries.",
        )  # fmt: skip
    return fit(
        compressor,
        loss or FisherLoss(),
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
