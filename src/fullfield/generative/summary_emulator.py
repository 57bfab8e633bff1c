"""An emulator of summaries: their density given the parameters, learnt from stored pairs, as a forward model of its own.

A conditional density q is fitted by minimising - E log q(S | theta), whose minimum is p(S | theta) wherever the parameters were
drawn from. Its condition is the parameters as they are: in unconstrained coordinates the edge of a prior, where a likelihood is
as smooth as elsewhere, lies at infinity. The emulator stands for a simulator and the compressor behind it: it simulates
summaries for the rounds of sequential inference, and its density is known to explicit chains.

Source: Akhmetzhanova, Mishra-Sharma & Dvorkin 2024 (arXiv:2308.09751), section 5.
"""

import functools
import os
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from jax.core import Tracer
from jaxtyping import Array, Float, Key
from numpyro.distributions import constraints

from fullfield._core import brief_jit, ShapeError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations, check_alive
from fullfield.generative.joint import examples
from fullfield.networks import AbstractDensity, masked_autoregressive
from fullfield.parameters import ParameterSpace
from fullfield.simulators.tasks import AbstractTask
from fullfield.training import fit, History


EXAMPLES = 8192  # for the regression below the flow


class LearntSummaries(dist.Distribution):
    """Summaries (s,) at one parameter vector, from a learnt density.

    Args:
        density: of summaries given parameters.
        theta: parameters (p,).
    """

    pytree_data_fields = ("density", "theta")

    def __init__(self, density: AbstractDensity, theta: Float[Array, " p"]):
        self.density, self.theta = density, theta
        super().__init__(event_shape=(density.size,))

    @property
    def support(self):
        """All real vectors."""
        return constraints.real_vector

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw summaries."""
        draws = self.density.sample(key, self.theta, int(np.prod(sample_shape)))
        return draws.reshape(*sample_shape, self.density.size)

    def log_prob(self, value: Float[Array, "*batch s"]) -> Float[Array, "*batch"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log density of summaries."""
        return jnp.vectorize(lambda summary: self.density.log_prob(summary, self.theta), signature="(s)->()")(value)


class SummaryEmulator(AbstractTask):
    """The density p(S | theta) of summaries (s,) as a forward model that simulates and whose likelihood is known.

    `save_module` writes it; `load_module` reads it like one of the same parameters with an untrained density of equal sizes,
    say `SummaryEmulator(parameters, masked_autoregressive(s, p, key=key))`.

    Args:
        parameters: the parameters, and the prior within which the density was trained.
        density: of summaries (s,) given parameters (p,).
    """

    parameters: ParameterSpace
    density: AbstractDensity

    def likelihood(self, theta: Float[Array, " p"]) -> dist.Distribution:
        """Distribution of one summary (s,) at parameters `theta` (p,).

        Raises:
            ParameterError: `theta` lies outside the prior, where nothing was learnt; not under `jit`, where a chain that strays
                must not end.
        """
        if not isinstance(theta, Tracer):
            self.parameters.check(theta)
        return LearntSummaries(self.density, theta)

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, " s"]:
        """Draw one summary (s,) at parameters `theta` (p,), the same for equal keys.

        Raises:
            ParameterError: `theta` lies outside the prior, where nothing was learnt; under `jit` it is equinox's runtime error.
        """
        if isinstance(theta, Tracer):
            outside = ~self.parameters.contains(theta)
            theta = eqx.error_if(
                theta, outside, "theta: expected parameters inside the prior that the emulator was trained on, got others. "
                "Train it on simulations of a wider prior.",
            )  # fmt: skip
        return super().simulate_at(key, theta)


class EmulatorLoss(eqx.Module):
    """Mean of -log q(summary | theta) over a batch."""

    def __call__(
        self, module: AbstractDensity, theta: Float[Array, "b p"], data: Float[Array, "b s"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of a density on parameters (b, p) and summaries (b, s); `key` is ignored."""
        return -jnp.mean(jax.vmap(module.log_prob)(data, theta))


def train_summary_emulator(
    parameters: ParameterSpace,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    density: Callable[..., AbstractDensity] = masked_autoregressive,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 300,
    patience: int = 300,
    average: float = 0.0,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "emulator",
) -> tuple[SummaryEmulator, History]:
    """Fit the density of summaries given parameters; defaults are the published settings, with batches of 256.

    Args:
        parameters: the parameters, in the order of the simulations' theta.
        simulations: pairs of parameters, drawn from anything inside the prior that reaches all of it, and summaries (s,).
        validation: held-out pairs, which choose the epoch.
        key: scalar key.
        density: `(size, condition_size, *, key) -> density`, an entry of `fullfield.networks.DENSITIES` or a partial of one.
        optimiser: optax transformation; if not given AdamW with weight decay 1e-5 and a rate that falls from 1e-3 to zero along
            a cosine over all steps.
        max_epochs, patience, average, checkpoint, progress, stage: as `fit` has them.

    Returns:
        The emulator and the history of its training.

    Raises:
        DataError: there are too few simulations for the regression below the flow, or summaries have collapsed or repeat the
            others; names them by their position.
        ParameterError: parameters of the simulations lie outside the prior; names the first such parameter.
        ShapeError: the data of a simulation are not a vector.
    """
    theta, summaries = examples(simulations, stream(key, "examples"), EXAMPLES)
    if summaries.ndim != 2:
        raise ShapeError(
            "simulations", expected="a summary (s,) for each", got=f"shape {summaries.shape[1:]}",
            remedy="Compress the data before training (fullfield.compression).",
        )  # fmt: skip
    parameters.check(theta)
    check_alive(np.asarray(summaries, np.float64))
    start = _begun(density, theta, summaries, stream(key, "weights"))
    fitted, history = fit(
        start, EmulatorLoss(), simulations, validation=validation, key=stream(key, "training"),
        optimiser=optimiser or cosine_adamw(max_epochs * simulations.steps_per_epoch),
        max_epochs=max_epochs, patience=patience, average=average, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return SummaryEmulator(parameters, fitted), history


@functools.lru_cache(maxsize=64)
def cosine_adamw(steps: int) -> optax.GradientTransformation:
    """AdamW of the published emulator; equal arguments give the same object, so that a second training is not compiled anew."""
    return optax.adamw(optax.cosine_decay_schedule(1e-3, max(1, steps)), weight_decay=1e-5)


@brief_jit
def _begun(density, theta, summaries, key):
    return density(summaries.shape[1], theta.shape[1], key=key).fitted_to(summaries, theta)
