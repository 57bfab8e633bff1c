"""SIR: contact and recovery rate of an epidemic from tests of a thousand people at ten times."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import scipy.special
from jaxtyping import Array, Float, Key
from numpyro.distributions import constraints

from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.tasks.base import AbstractTask
from fullfield.simulators.tasks.populations import log_populations


class Counts(dist.Distribution):
    """Independent binomial counts, as floating-point numbers, from logarithms of their probabilities.

    Args:
        log_probability: of a positive test (d,).
        total: number of tests.
    """

    pytree_data_fields = ("log_probability",)
    pytree_aux_fields = ("total",)

    def __init__(self, log_probability: Float[Array, " d"], total: int):
        self.log_probability, self.total = log_probability, total
        super().__init__(event_shape=log_probability.shape)

    @property
    def support(self):
        """Whole numbers from zero to the total."""
        return constraints.independent(constraints.integer_interval(0, self.total), 1)

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw counts."""
        return jax.random.binomial(key, float(self.total), jnp.exp(self.log_probability), sample_shape + self.event_shape)

    def log_prob(self, value: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Log probability of counts."""
        # From a table, for differences of single-precision log gammas are wrong in the third decimal.
        table = scipy.special.gammaln([self.total + 1 - k for k in range(self.total + 1)])
        choose = jnp.asarray(table[0] - table - table[::-1], float)[jnp.round(value).astype(int)]
        misses = (self.total - value) * jnp.log1p(-jnp.exp(self.log_probability))
        return jnp.sum(choose + value * self.log_probability + misses, axis=-1)


class SIR(AbstractTask):
    """Rates β of contact and γ of recovery, per day, of an epidemic that starts with one infected in a million.

        dS/dt = -β S I / N,   dI/dt = β S I / N - γ I,   log β ~ N(log 0.4, 0.5),  log γ ~ N(log 0.125, 0.2)

    Data are how many of a thousand tested people are infected on days 0, 17, ..., 153, binomial in I / N, (10,).

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.9; public repository sbi-benchmark/sbibm for the days.
    """

    parameters: ParameterSpace

    def __init__(self):
        contact, recovery = dist.LogNormal(math.log(0.4), 0.5), dist.LogNormal(math.log(0.125), 0.2)
        self.parameters = ParameterSpace(
            {"beta": Parameter(contact, label=r"\beta"), "gamma": Parameter(recovery, label=r"\gamma")}
        )

    def likelihood(self, theta: Float[Array, "2"]) -> dist.Distribution:
        """Binomial counts of the infected."""
        contact, recovery = theta
        rates = jnp.stack([jnp.zeros_like(contact), contact, recovery, contact])
        start = jnp.asarray([math.log1p(-1e-6), math.log(1e-6)])
        # The infected are never more than all, but for rounding.
        log_infected = log_populations(rates, start, interval=17.0, intervals=9, steps=60)[:, 1]
        return Counts(jnp.minimum(log_infected, math.log1p(-1e-6)), 1000)
