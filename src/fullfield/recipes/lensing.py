"""Six cosmological parameters from tomographic convergence maps of an LSST-Y10-like survey."""

from typing import Literal

from pydantic import Field, field_validator

from fullfield.recipes.configuration import RunConfiguration, Section
from fullfield.recipes.recipe import Recipe, Scale


PUBLISHED_MERIT = {("omega_c", "sigma_8"): 2520.0, ("omega_c", "w_0"): 198.0, ("sigma_8", "w_0"): 176.0}
"""Full-field sampling of the published mock at 256 x 256 pixels (Lanzieri et al. 2025, A&A 697, A162, and its chain)."""

FINE = 256


class ModelSettings(Section):
    """Settings of the forward model."""

    pixels: Literal[16, 32, 64, 128, 256] = Field(default=64, description="pixels on a side; finer observations are averaged")
    physics: Literal["lsst_y10", "sbi_lens"] = Field(
        default="lsst_y10", description="ours, or that of sbi_lens, with its faulty shift lookup, for maps made with it"
    )


class LensingConfiguration(RunConfiguration):
    """Settings of the lensing recipe. `observation` is a file, or "published-mock"."""

    model: ModelSettings = ModelSettings()
    averaged: int = Field(
        default=0,
        ge=0,
        description="256 x 256 simulations to average and infer from, as a test of coarser pixels: 0 or >= 20",
    )

    @field_validator("averaged")
    @classmethod
    def _enough_to_test(cls, value: int) -> int:
        if 0 < value < 20:
            raise ValueError("0, or at least 20, which the tests need")
        return value


def build(configuration: LensingConfiguration):
    """Build the problem."""
    import equinox as eqx
    import jax
    import numpy as np

    from fullfield._core import ConfigurationError, stream
    from fullfield.compression import SpectraAndMoments
    from fullfield.datasets import turn_and_roll
    from fullfield.fields import band_powers, block_average, logarithmic_bands
    from fullfield.networks import ConvNet, Hybrid, ResNet18
    from fullfield.recipes.lensing_checks import Averaged, picture
    from fullfield.recipes.problem import Problem, read_observation
    from fullfield.simulators import lsst_y10_model, published_mock, sbi_lens_model

    settings = configuration.model
    models = {"lsst_y10": lsst_y10_model, "sbi_lens": sbi_lens_model}
    model = models[settings.physics](settings.pixels)
    sky = model.survey.sky
    bands = logarithmic_bands(sky, min(12, settings.pixels // 4))
    observation, truth = None, None
    if configuration.observation == "published-mock":
        if settings.physics != "sbi_lens":
            raise ConfigurationError(
                "model.physics", expected="sbi_lens for the published mock, which that code made", got=settings.physics,
                remedy="Add --set model.physics=sbi_lens.",
            )  # fmt: skip
        observation, truth = published_mock(), np.asarray(model.parameters.fiducial)
    elif configuration.observation:
        observation = read_observation(configuration.observation, known=("published-mock",))
    if observation is not None:
        finer, rest = divmod(observation.shape[0], settings.pixels) if observation.ndim == 3 else (1, 0)
        if finer > 1 and not rest and observation.shape[1] == observation.shape[0]:
            observation = block_average(observation, finer)
        observation = model.survey.prepare(observation)

    def network(outputs, key):
        statistic, channels = SpectraAndMoments(bands), 64
        (count,) = eqx.filter_eval_shape(statistic, jax.ShapeDtypeStruct(model.data_shape, "float32")).shape
        if settings.pixels == FINE:
            learned = ResNet18(model.data_shape, channels, key=stream(key, "network"))
        else:
            patch = 4 if settings.pixels >= 64 else 2
            learned = ConvNet(
                model.data_shape, channels, key=stream(key, "network"), patch=patch, widths=(24, 48), blocks=(1, 1)
            )
        return Hybrid(statistic, learned, channels, count, outputs, key=key)

    variants = {}
    if configuration.averaged:
        variants["averaged"] = Averaged(models[settings.physics](FINE), FINE // settings.pixels), configuration.averaged
    published = settings.pixels == FINE and configuration.observation == "published-mock"
    return Problem(
        model,
        observation=observation,
        truth=truth,
        network=network,
        augment=turn_and_roll,
        statistic=lambda data: jax.numpy.ravel(band_powers(bands, data)),
        variants=variants,
        illustrate=lambda outcome: picture(outcome, model.survey, bands),
        published_merit=PUBLISHED_MERIT if published else None,
    )


LENSING = Recipe(
    name="lensing",
    summary="Cosmology from lensing maps: LSST-Y10-like survey, lognormal fields, VMIM summaries, neural posterior.",
    configuration=LensingConfiguration,
    scales={
        "smoke": Scale({
            "model": {"pixels": 16},
            "simulations": {"training": 2000, "inference": 4000, "validation": 500, "calibration": 150},
            "compressor": {"training": {"epochs": 8, "patience": 8}},
            "posterior": {
                "density": "real_nvp", "layers": 2, "width": 32, "draws": 5000,
                "training": {"epochs": 20, "patience": 5, "learning_rate": 1e-3},
            },
            "calibration": {"draws": 200},
        }, "~3 min"),
        "laptop": Scale({
            "model": {"pixels": 64},
            "averaged": 500,
            "simulations": {"training": 10_000, "inference": 12_000, "validation": 1000, "calibration": 500},
            "compressor": {"training": {"epochs": 9, "patience": 9, "batch": 64, "learning_rate": 2e-3}},
            "posterior": {
                "density": "real_nvp", "width": 48, "ensemble": 3,
                "training": {"epochs": 30, "batch": 256, "learning_rate": 2e-3},
            },
        }, "<10 min"),
        "paper": Scale({
            "model": {"pixels": 256},
            "simulations": {"training": 500, "inference": 20_000, "validation": 2000, "calibration": 500, "chunk": 100},
            "compressor": {"simulations": "online", "training": {"epochs": 40, "steps": 500, "patience": 40, "batch": 128}},
            "posterior": {"width": 128, "draws": 100_000, "training": {"epochs": 200, "batch": 256}},
        }, "~10 min (H200)"),
    },
    build=build,
    citations=("zeghal2025", "lanzieri2025", "xavier2016", "takahashi2012", "eisenstein1998", "smail1994", "desc2018"),
)  # fmt: skip
