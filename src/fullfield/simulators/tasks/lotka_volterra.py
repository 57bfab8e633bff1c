"""Lotka-Volterra tasks: rates of predators and prey from noisy counts at ten times."""

import math

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.tasks.base import AbstractTask
from fullfield.simulators.tasks.populations import log_populations


NOISE = 0.1


class LotkaVolterra(AbstractTask):
    """Rates of dx/dt = α x - β x y, dy/dt = -γ y + δ x y from both populations at ten times, with x = 30 and y = 1 at first.

    log α, log γ ~ N(-0.125, 0.5), log β, log δ ~ N(-3, 0.5); counts are lognormal of width 0.1 about the solution, held between
    1e-10 and 1e4. Data are ten of prey, then ten of predators, (20,).

    Source: Lueckmann et al. 2021 (arXiv:2101.04653), appendix T.10; public repository sbi-benchmark/sbibm for the times and the
    bounds.
    """

    parameters: ParameterSpace

    def __init__(self):
        self.parameters = _rates()

    def likelihood(self, theta: Float[Array, "4"]) -> dist.Distribution:
        """Lognormal counts about the solution."""
        return _counts(theta, jnp.log(jnp.asarray([30.0, 1.0])))


class LatentLotkaVolterra(AbstractExplicitModel):
    """The same rates and times with unknown populations at first, log x, log y ~ N(log 3, 0.5): latents "z" (2,) ~ N(0, 1).

    Source: Zeghal et al. 2022 (arXiv:2207.05636), section 4. Data are ten of prey, then ten of predators, (20,).
    """

    parameters: ParameterSpace

    def __init__(self):
        self.parameters = _rates()

    def program(self) -> None:
        """Run the NumPyro program: rates, latents "z" (2,), data (20,)."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        z = numpyro.sample("z", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        numpyro.sample(DATA, _counts(theta, math.log(3) + 0.5 * z))


def _rates():
    fast, slow = dist.LogNormal(-0.125, 0.5), dist.LogNormal(-3.0, 0.5)
    names = {"alpha": fast, "beta": slow, "gamma": fast, "delta": slow}
    return ParameterSpace({name: Parameter(prior, label=rf"\{name}") for name, prior in names.items()})


def _counts(theta, start):
    # Times 0, 2.1, ..., 18.9. Log populations are right to 3e-5 over the prior, and to 1e-4 at ±3σ of all rates at once.
    log_mean = log_populations(theta, start, interval=2.1, intervals=9, steps=110).T.ravel()
    return dist.LogNormal(jnp.clip(log_mean, math.log(1e-10), math.log(1e4)), NOISE).to_event(1)
