"""Bernoulli GLM: the filter of a neuron, from the sufficient statistics of its spikes."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from numpyro.distributions import constraints

from fullfield._core import full_precision
from fullfield.simulators.forward import DATA
from fullfield.simulators.tasks.base import AbstractTask
from fullfield.simulators.tasks.correlated import CorrelatedGaussian
from fullfield.simulators.tasks.published import stored


class SpikeStatistics(dist.Distribution):
    """Sufficient statistics Vᵀy of spikes y ~ Bernoulli(sigmoid(V θ)): the number of spikes, and the stimulus before them.

    No two spike trains share a statistic, since the stimulus is a list of real numbers, so that the probability of one is
    that of its train, exp(θᵀVᵀy - Σ log(1 + exp(V θ))).

    Args:
        design: matrix V (times, p).
        theta: weights (p,).
    """

    pytree_data_fields = ("design", "theta")

    def __init__(self, design: Float[Array, "times p"], theta: Float[Array, " p"]):
        self.design, self.theta = design, theta
        super().__init__(event_shape=theta.shape)

    @property
    def support(self):
        """Real vectors, of which only the statistics of spike trains occur."""
        return constraints.real_vector

    @full_precision
    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw spike trains and reduce them."""
        uniform = jax.random.uniform(key, (*sample_shape, self.design.shape[0]))
        return jnp.asarray(uniform < jax.nn.sigmoid(self.design @ self.theta), float) @ self.design

    @full_precision
    def log_prob(self, value: Float[Array, "*batch p"]) -> Float[Array, "*batch"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log probability of the spike train behind the statistics."""
        return value @ self.theta - jnp.sum(jax.nn.softplus(self.design @ self.theta))


class BernoulliGLM(AbstractTask):
    """Offset and nine filter weights of a neuron that sees 100 steps of white noise and spikes or not in each.

    The prior correlates the weights so that filters are smooth: precision ½ of the offset and FᵀF of the weights, with F = D² +
    diag(√(i/9)), i = 0..8, and D the first difference. Data are the ten sufficient statistics.

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.5, after Gonçalves et al. 2020; the stimulus is that of the
    public repository sbi-benchmark/sbibm (see `data/README.md`).
    """

    parameters: CorrelatedGaussian
    design: Float[Array, "100 10"]

    def __init__(self):
        size = 9
        stimulus = np.asarray(stored("bernoulli_glm", "stimulus"))
        delayed = [np.pad(stimulus, (delay, 0))[: stimulus.size] for delay in range(size)]
        self.design = jnp.asarray(np.stack([np.ones_like(stimulus), *delayed], axis=1), float)
        difference = np.eye(size) - np.eye(size, k=-1)
        smooth = difference @ difference + np.diag(np.sqrt(np.arange(size) / size))
        precision = np.zeros((size + 1, size + 1))
        precision[0, 0], precision[1:, 1:] = 0.5, smooth.T @ smooth
        labels = {"offset": r"\beta"} | {f"weight_{i}": f"f_{i}" for i in range(1, size + 1)}
        self.parameters = CorrelatedGaussian(labels, precision)  # pyright: ignore[reportIncompatibleVariableOverride]

    def program(self) -> None:
        """Run the NumPyro program: parameters, each given those before it, then data (10,)."""
        numpyro.sample(DATA, self.likelihood(self.parameters.draw_sites()))

    def likelihood(self, theta: Float[Array, "10"]) -> dist.Distribution:
        """Sufficient statistics of the spikes."""
        return SpikeStatistics(self.design, theta)
