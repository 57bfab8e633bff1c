"""Is an observation one of the survey that a denoiser was trained on?"""

import numpy as np
import paramax
from jax.core import Tracer

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import ShearMaps
from fullfield.generative.denoiser import Condition, JointDenoiser


def check_condition(denoiser: JointDenoiser, condition: Condition) -> None:
    """Refuse what was seen of other pixels or bins, with another summary, or of observations that are not finite.

    Args:
        denoiser: the denoiser.
        condition: of one observation or of several.

    Raises:
        ShapeError: map or summary are not those that the denoiser was trained on.
        DataError: numbers are not finite; looked at only outside `jit`.
    """
    survey, size, seen = paramax.unwrap((denoiser.survey, denoiser.size, denoiser.seen))
    shapes = {"expected": (*survey.shape[:2], *size.shape), "summary": seen.loc.shape}
    for name, shape in shapes.items():
        values = getattr(condition, name)
        if values.shape[-len(shape) :] != shape:
            raise ShapeError(
                f"condition.{name}", expected=f"{shape}, as the denoiser was trained on", got=values.shape[-len(shape) :],
                remedy="Is the observation of the survey of the simulations, and `see` what they were seen by?",
            )  # fmt: skip
        if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
            raise DataError(
                f"condition.{name}", expected="finite numbers", got="NaN or infinite ones",
                remedy="Is the observation finite? The forward model's `prepare` says.",
            )  # fmt: skip


def check_survey(denoiser: JointDenoiser, maps: ShearMaps) -> None:
    """Refuse maps whose noise does not go as one over the denoiser's survey, which is zero where the noise is infinite.

    The survey is the depth 1/σ of the first bins, as many as it has channels, each in units of its own, so that a level of
    noise other than that of the simulations is not seen here.

    Raises:
        ConfigurationError: the maps are of other pixels, or of another mask or depth.
    """
    survey = paramax.unwrap(denoiser.survey)
    if isinstance(survey, Tracer) or not survey.shape[-1]:
        return
    depth = 1 / maps.noise[..., : survey.shape[-1]]
    if depth.shape != survey.shape:
        expected = f"pixels and bins {survey.shape} of the denoiser's survey"
        raise ConfigurationError("observation", expected=expected, got=f"noise {maps.noise.shape}")
    own, other = (each / np.maximum(each.max((0, 1)), np.finfo(np.float32).tiny) for each in (np.asarray(survey), depth))
    differ = ~np.isclose(own, other, rtol=1e-3)
    if differ.any():
        raise ConfigurationError(
            "observation", expected="noise in proportion to one over the denoiser's survey",
            got=f"another in {differ.sum()} of {differ.size} pixels",
            remedy="Train on simulations with the noise of these maps, and with survey=1 / noise.",
        )  # fmt: skip
