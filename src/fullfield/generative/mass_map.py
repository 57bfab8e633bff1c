"""A learnt mass map: the network that minimises the mean square of κ - f(γ) is the posterior mean of κ.

The mean is over all that varies between simulations, parameters included, under whatever distribution they were drawn from:
no Gaussian need be assumed (Jeffrey et al. 2020, MNRAS 492, 5023). Of shear with known noise only Hᵀ N⁻¹ γ matters, which is
a sufficient statistic of κ; the network sees it bin by bin, beside 1/σ².
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

from fullfield._core import DataError, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.fields import AbstractMassMap, kaiser_squires, normal, shear_of
from fullfield.fields.mass_map import check_observed, inverse_variance, weighted
from fullfield.networks import Standardise
from fullfield.training import cosine_adam, fit, History


class Observed(eqx.Module):
    """What adds shear with fresh noise to simulated convergence: an `augment` of `fullfield.datasets`.

    Args:
        noise: deviation of each shear component (n, n, bins), infinite where nothing is observed.
    """

    inverse_variance: Float[Array, "n n bins"]

    def __init__(self, noise: Float[Array | np.ndarray, "n n bins"]):
        self.inverse_variance = inverse_variance(noise)

    def __call__(
        self, key: Key[Array, ""], theta: Float[Array, " p"], convergence: Float[Array, "n n bins"]
    ) -> Float[Array, "n n bins 3"]:
        """γ₁, γ₂ and κ on a last axis; shear is zero where nothing is observed."""
        seen = (self.inverse_variance > 0)[..., None]
        deviation = jax.lax.rsqrt(jnp.where(seen, self.inverse_variance[..., None], 1.0))
        shear = shear_of(convergence) + deviation * normal(key, (*convergence.shape, 2))
        return jnp.concatenate([jnp.where(seen, shear, 0.0), convergence[..., None]], axis=-1)


class LearntMassMap(AbstractMassMap):
    """A network behind the sufficient statistic of the shear.

    Args:
        inverse_variance: 1/σ² of each shear component.
        standardise: moments of the network's input channels.
        scale: deviation of the convergence, bin by bin, in which the network answers.
        network: maps (n, n, 2 bins) to maps (n, n, bins), e.g. a `fullfield.networks.UNet`.
    """

    inverse_variance: paramax.NonTrainable | Float[Array, "n n bins"]
    standardise: Standardise
    scale: paramax.NonTrainable | Float[Array, " bins"]
    network: Callable

    def __init__(self, noise: Float[Array | np.ndarray, "n n bins"], standardise: Standardise, scale, network: Callable):
        self.inverse_variance, self.scale = paramax.NonTrainable(inverse_variance(noise)), paramax.NonTrainable(scale)
        self.standardise, self.network = standardise, network

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """Posterior mean, as far as the network has learnt it."""
        check_observed(shear, paramax.unwrap(self.inverse_variance) > 0)
        return self._estimate(shear)

    @eqx.filter_jit
    def _estimate(self, shear):
        weight, scale = paramax.unwrap((self.inverse_variance, self.scale))
        return scale * self.network(self.standardise(statistic(weight, shear)))


def statistic(weight: Float[Array, "n n bins"], shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n channels"]:
    """Hᵀ N⁻¹ γ of each bin, then 1/σ² of each bin."""
    check_observed(shear, weight > 0)
    return jnp.concatenate([kaiser_squires(weighted(weight, shear))[..., 0], weight], axis=-1)


class MapLoss(eqx.Module):
    """Mean square of (κ - f(γ)) / deviation of κ, over pixels and bins."""

    def __call__(
        self, module: LearntMassMap, theta: Float[Array, "b p"], data: Float[Array, "b n n bins 3"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss on data (γ₁, γ₂, κ); parameters and `key` are ignored."""
        return jnp.mean(((data[..., 2] - jax.vmap(module)(data[..., :2])) / paramax.unwrap(module.scale)) ** 2)


def train_mass_map(
    network: Callable,
    noise: Float[Array | np.ndarray, "n n bins"],
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 30,
    patience: int = 10,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "mass map",
) -> tuple[LearntMassMap, History]:
    """Train a network to the posterior mean of the convergence given shear.

    Args:
        network: maps (n, n, 2 bins) to maps (n, n, bins).
        noise: deviation of each shear component, infinite where nothing is observed; that of the simulated shear.
        simulations: data (n, n, bins, 3) of γ₁, γ₂ and κ; simulations of κ become such by `augment=Observed(noise)`.
        validation: held-out simulations, for early stopping.
        key: scalar key.
        optimiser: optax transformation; `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: most epochs.
        patience: stop after this many epochs without a lower held-out loss.
        average: decay per step of a running average of the weights, 0 for none.
        checkpoint: file to continue from.
        progress: told about every epoch.
        stage: name for `progress`.

    Returns:
        The mass map, and the training history; losses are in units of the variance of κ.

    Raises:
        ShapeError: the simulations are not such data, or have other pixels or bins than the noise.
        DataError: they are not finite, or the convergence of a bin never varies.
        DivergenceError: a loss is not finite.
    """
    examples = _first_batch(next(simulations.shards(stream(key, "examples"))), stream(key, "examples"))
    start = _standardising(network, noise, examples)
    return fit(
        start,
        MapLoss(),
        simulations,
        validation=validation,
        key=stream(key, "training"),
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs,
        patience=patience,
        average=average,
        checkpoint=checkpoint,
        progress=progress,
        stage=stage,
    )


@eqx.filter_jit
def _first_batch(shard: AbstractShard, key):
    return shard.draw(key, jnp.zeros((), jnp.int32))[1]


def _standardising(network, noise, examples):
    """The mass map before training, with the moments of a batch."""
    if examples.shape[1:] != (*noise.shape, 3):
        raise ShapeError(
            "simulations", expected=f"data of shape {(*noise.shape, 3)}: shear and convergence", got=examples.shape[1:],
            remedy="Draw simulations of convergence with augment=Observed(noise).",
        )  # fmt: skip
    scale = jnp.std(examples[..., 2], axis=(0, 1, 2))
    if not bool(jnp.all(jnp.isfinite(examples)) & jnp.all(scale > 0)):
        raise DataError("simulations", expected="finite maps that vary in each bin", got=f"deviations {scale.tolist()}")
    weight = inverse_variance(noise)
    signal = jax.vmap(lambda shear: statistic(weight, shear))(examples[..., :2])
    bins = noise.shape[-1]
    deviation = jnp.concatenate([jnp.std(signal[..., :bins], axis=(0, 1, 2)), jnp.mean(weight, axis=(0, 1))])
    return LearntMassMap(noise, Standardise(jnp.zeros(2 * bins), deviation), scale, network)
