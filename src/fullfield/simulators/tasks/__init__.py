"""Benchmark tasks of simulation-based inference, with published observations and reference posteriors."""

from collections.abc import Callable

from fullfield._core import Registry
from fullfield.simulators.forward import AbstractExplicitModel
from fullfield.simulators.tasks.base import AbstractTask
from fullfield.simulators.tasks.bernoulli_glm import BernoulliGLM, SpikeStatistics
from fullfield.simulators.tasks.correlated import CorrelatedGaussian
from fullfield.simulators.tasks.gaussian import GaussianLinear, GaussianMixture
from fullfield.simulators.tasks.lotka_volterra import LatentLotkaVolterra, LotkaVolterra
from fullfield.simulators.tasks.populations import log_populations
from fullfield.simulators.tasks.published import observation, reference
from fullfield.simulators.tasks.sir import Counts, SIR
from fullfield.simulators.tasks.slcp import SLCP
from fullfield.simulators.tasks.two_moons import Crescent, TwoMoons


TASKS: Registry[Callable[[], AbstractExplicitModel]] = Registry(
    "task",
    {
        "two_moons": TwoMoons,
        "slcp": SLCP,
        "gaussian_linear": GaussianLinear,
        "gaussian_mixture": GaussianMixture,
        "bernoulli_glm": BernoulliGLM,
        "lotka_volterra": LotkaVolterra,
        "sir": SIR,
        "lotka_volterra_latent": LatentLotkaVolterra,
    },
)


__all__ = [
    "SIR",
    "SLCP",
    "TASKS",
    "AbstractTask",
    "BernoulliGLM",
    "CorrelatedGaussian",
    "Counts",
    "Crescent",
    "GaussianLinear",
    "GaussianMixture",
    "LatentLotkaVolterra",
    "LotkaVolterra",
    "SpikeStatistics",
    "TwoMoons",
    "log_populations",
    "observation",
    "reference",
]
