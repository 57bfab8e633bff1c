"""Settings that recipes for joint posteriors of parameters and maps share."""

from typing import Literal

from pydantic import Field, model_validator, PositiveFloat, PositiveInt

from fullfield._core import ConfigurationError
from fullfield.networks.branches import HEADS
from fullfield.recipes.configuration import Configuration, Section


Branch = Literal["unet", "transformer"]
"""The field's side of the denoiser."""


OWN_DATA = "docs/joint.md has the way from a catalogue or shear maps of your own to such posteriors, in Python: Your own shear."


class JointSimulationSettings(Section):
    """How many simulations, from the prior, each purpose gets."""

    training: int = Field(default=50_000, ge=500)
    validation: int = Field(default=2000, ge=100)
    calibration: int = Field(default=500, ge=50, description="observations of which the posterior is tested")


class DenoiserSettings(Section):
    """Training of the joint denoiser."""

    branch: Branch = Field(default="unet", description="the field's network")
    epochs: PositiveInt = 8
    batch: PositiveInt = 128
    learning_rate: PositiveFloat = 2e-3
    patch: PositiveInt = Field(default=4, description="side in pixels of what the field's network sees as one place")
    widths: tuple[PositiveInt, ...] = Field(
        default=(48, 64), min_length=1, description="channels of each level of the U-Net; half of a token of the transformer"
    )

    def check(self, pixels: int) -> None:
        """Refuse a network that cannot be built for maps of so many pixels on a side.

        Raises:
            ConfigurationError: the patch does not tile them, or a token does not fit the heads of its attention.
        """
        halvings = 1 if self.branch == "transformer" else 2 ** (len(self.widths) - 1)
        if pixels % (self.patch * halvings):
            levels = f", and so does {halvings} times that, for {len(self.widths)} levels" if halvings > 1 else ""
            raise ConfigurationError(
                "denoiser.patch", expected=f"a number that divides the {pixels} pixels{levels}", got=self.patch
            )
        if self.branch == "transformer" and 2 * self.widths[0] % HEADS:
            expected = f"a first width that is a multiple of {HEADS // 2}, half of a token for {HEADS} heads"
            raise ConfigurationError("denoiser.widths", expected=expected, got=self.widths)


class JointConfiguration(Configuration):
    """Settings of a joint posterior."""

    observations: PositiveInt = Field(default=5, description="how many are compared with the reference one by one")
    simulations: JointSimulationSettings = JointSimulationSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    evaluations: int = Field(default=16, ge=4, description="of the denoiser for each draw of a map")
    together: bool = Field(
        default=False, description="draw parameters and map at equal times; else the parameters first, and the map given them"
    )
    prior: bool = Field(default=False, description="train a denoiser without observations too, whose draws are simulations")
    draws: int = Field(default=64, ge=20, description="of the posterior of each observation that is tested")
    compared: int = Field(default=4000, ge=500, description="drawn by NPE, and of the reference where it is exact")
    maps: int = Field(default=2000, ge=500, description="draws of parameters and maps compared with as many of the reference")

    @model_validator(mode="after")
    def _enough(self):
        if self.maps > self.compared:
            raise ValueError(f"maps must be at most the number of compared draws, {self.compared}")
        return self
