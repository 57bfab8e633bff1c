"""The linear-Gaussian world: every stage against its exact answer."""

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import RunConfiguration, Section
from fullfield.recipes.recipe import Recipe, Scale


class ModelSettings(Section):
    """Settings of `fullfield.simulators.LinearGaussian`."""

    data: PositiveInt = Field(default=24, description="length of the data vector")
    parameters: PositiveInt = Field(default=3, description="number of parameters")
    latent_scale: PositiveFloat = Field(default=1.0, description="amplitude of the correlated latents")
    noise_scale: PositiveFloat = Field(default=1.0, description="amplitude of the white noise")
    correlation_length: PositiveFloat = Field(default=2.0, description="of the latents, in data elements")


class BarSettings(Section):
    """How near every stage must come to its exact answer."""

    c2st: float = Field(default=0.52, gt=0.5, description="highest accuracy of a classifier against exact draws")
    information: float = Field(default=0.95, gt=0, lt=1, description="lowest part of the exact mutual information that is kept")
    mean: PositiveFloat = Field(default=0.15, description="highest scatter of means about exact ones, in deviations")
    width: PositiveFloat = Field(default=0.05, description="highest relative error of the mean posterior deviation")
    evidence: PositiveFloat = Field(default=0.1, description="highest error of the log evidence, in nats")


class LinearGaussianConfiguration(RunConfiguration):
    """Settings of the linear-Gaussian recipe."""

    model: ModelSettings = ModelSettings()
    bars: BarSettings = BarSettings()


def build(configuration: LinearGaussianConfiguration) -> Any:
    """Build the problem."""
    from fullfield.recipes.exact import linear_gaussian_problem

    return linear_gaussian_problem(configuration)


SMOKE = {
    "simulations": {"training": 200, "inference": 2000, "validation": 400, "calibration": 200},
    "compressor": {"simulations": "online", "training": {"epochs": 12, "steps": 50}},
    "posterior": {"layers": 2, "width": 32, "draws": 1000, "training": {"epochs": 15, "patience": 5}},
    "calibration": {"draws": 200, "replicas": 100},
    "bars": {"c2st": 0.58, "information": 0.8, "mean": 0.4, "width": 0.15, "evidence": 0.5},
}
LAPTOP = {
    "simulations": {"training": 500, "inference": 20_000, "validation": 2000, "calibration": 500, "chunk": 2500},
    "compressor": {"simulations": "online", "training": {"epochs": 20, "steps": 500, "batch": 256}},
    "posterior": {"training": {"batch": 256}},
}
LINEAR_GAUSSIAN = Recipe(
    name="linear-gaussian",
    summary="A closed-form world: every stage is compared with the exact answer.",
    configuration=LinearGaussianConfiguration,
    scales={"smoke": Scale(SMOKE, "~1 min"), "laptop": Scale(LAPTOP, "~3 min")},
    build=build,
    citations=("alsing2018", "lueckmann2021"),
)
