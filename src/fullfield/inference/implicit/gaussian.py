"""A Gaussian posterior whose mean and covariance a network reads off a summary.

Minimised is -log N(θ; μ(t), Σ(t)), in the parameters themselves (equation 6 of Akhmetzhanova, Mishra-Sharma & Dvorkin 2024,
MNRAS 527, 7459, with the constant p/2 log 2π, which its losses contain).
"""

import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.inference.observation import check_observation
from fullfield.inference.posterior import AbstractPosterior
from fullfield.networks import moments, Standardise
from fullfield.parameters import ParameterSpace
from fullfield.training import cosine_adam, fit, History


PRIOR_DRAWS = 4096  # of the parameters, which measure their units


class GaussianEstimate(AbstractPosterior):
    """N(μ(t), Σ(t)), which knows nothing of the prior's bounds.

    Args:
        parameters: the parameters.
        network: observation to p + p(p + 1)/2 numbers: mean, and lower root of the covariance, its diagonal by softplus.
        data_shape: shape of an observation.
        units: location and scale (p,) of the parameters, in which the network's numbers are of order one.
    """

    parameters: ParameterSpace
    network: Callable
    data_shape: tuple[int, ...] = eqx.field(static=True)
    units: Standardise

    def moments(self, observation: Float[Array | np.ndarray, "..."]) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
        """Mean (p,) and lower root (p, p) of the covariance."""
        p = self.parameters.size
        mean, diagonal, off = jnp.split(self.network(jnp.asarray(observation)), [p, 2 * p])
        root = jnp.diag(jax.nn.softplus(diagonal)).at[jnp.tril_indices(p, -1)].set(off)
        loc, scale = paramax.unwrap((self.units.loc, self.units.scale))
        return loc + scale * mean, scale[:, None] * root

    def sample(self, key: Key[Array, ""], observation: Float[Array | np.ndarray, "..."], n: int) -> Float[Array, "n p"]:
        """Draw `n` parameter vectors."""
        check_observation(observation, self.data_shape)
        mean, root = self.moments(observation)
        return mean + jax.random.normal(key, (n, len(mean))) @ root.T

    def log_prob(self, theta: Float[Array, " p"], observation: Float[Array | np.ndarray, "..."]) -> Float[Array, ""]:
        """Log density at `theta`."""
        check_observation(observation, self.data_shape)
        return _log_normal(theta, *self.moments(observation))


def _log_normal(theta, mean, root):
    white = jax.scipy.linalg.solve_triangular(root, theta - mean, lower=True)
    return -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diagonal(root))) - 0.5 * len(mean) * jnp.log(2 * jnp.pi)


class GaussianLoss(eqx.Module):
    """Mean of -log N(θ; μ(t), Σ(t)) over a batch."""

    def __call__(
        self, module: GaussianEstimate, theta: Float[Array, "b p"], data: Float[Array, "b ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on parameters (b, p) and observations (b, ...); `key` is ignored."""
        return -jnp.mean(jax.vmap(lambda one, observation: _log_normal(one, *module.moments(observation)))(theta, data))


def train_gaussian(
    parameters: ParameterSpace,
    network: Callable,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 100,
    patience: int = 20,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "gaussian",
) -> tuple[GaussianEstimate, History]:
    """Train a network to the Gaussian posterior of summaries, or of data themselves.

    Args:
        parameters: the parameters.
        network: observation to p + p(p + 1)/2 numbers, as `GaussianEstimate` reads them.
        simulations: parameters and observations to train on.
        validation: held-out simulations, for early stopping.
        key: scalar key.
        optimiser, max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The posterior, and the training history.

    Raises:
        ConfigurationError: the network has another number of outputs; says which is needed.
        DivergenceError: a loss is not finite.
    """
    p, shard = parameters.size, next(simulations.shards(key))
    shape: tuple[int, ...] = jax.eval_shape(lambda: shard.draw(key, jnp.zeros((), jnp.int32)))[1].shape[1:]
    (outputs,) = eqx.filter_eval_shape(network, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
    if outputs != p + p * (p + 1) // 2:
        raise ConfigurationError("network", expected=f"{p + p * (p + 1) // 2} outputs for {p} parameters", got=outputs)
    units = moments(parameters.sample(stream(key, "units"), (PRIOR_DRAWS,)))
    return fit(
        GaussianEstimate(parameters, network=network, data_shape=shape, units=units), GaussianLoss(), simulations,
        validation=validation, key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch), max_epochs=max_epochs,
        patience=patience, average=average, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
