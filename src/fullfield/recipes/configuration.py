"""Settings of a run: validated, fully resolved, written beside every result.

A recipe's configuration class extends `RunConfiguration`, or the bare `Configuration`, with sections of its own. A run's
configuration is resolved from, later over earlier: the defaults of the class, the preset of the scale, a file or the command
line, `--set key=value`.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from pydantic.fields import FieldInfo

from fullfield._core import ConfigurationError, nearest


class Section(BaseModel):
    """A group of settings: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SimulationSettings(Section):
    """How many simulations are made and stored, and in which portions."""

    # The lower bounds are those of the tests that every run ends with: refused now, and not after all the training.
    training: int = Field(default=4000, ge=20, description="simulations to train the compressor on, unless it draws its own")
    inference: int = Field(
        default=4000, ge=20, description="simulations to train the posterior on; the compressor sees none of them"
    )
    validation: PositiveInt = Field(default=500, description="held out, to stop training and keep the best weights")
    calibration: int = Field(default=500, ge=20, description="held out from everything, to test the posterior")
    chunk: PositiveInt = Field(default=250, description="simulations per stored chunk: what a writer owns and a crash costs")
    batch: PositiveInt | None = Field(
        default=None, description="simulations that run side by side, by the size of the data if not given; changes speed only"
    )


class TrainingSettings(Section):
    """How a module is trained."""

    learning_rate: PositiveFloat = 1e-3
    batch: PositiveInt = 128
    epochs: PositiveInt = Field(default=30, description="most epochs")
    steps: PositiveInt = Field(default=100, description="steps per epoch where simulations are drawn online")
    patience: PositiveInt = Field(default=10, description="epochs without a lower held-out loss before training stops")


class CompressorSettings(Section):
    """How data are compressed to summaries."""

    summaries: PositiveInt | None = Field(default=None, description="length of a summary; that of the parameters if not given")
    network: Literal["cnn", "mlp", "powers", "resnet18"] | None = Field(
        default=None, description="a name in fullfield.networks.NETWORKS; the model's own, or by the data's shape, if not given"
    )
    simulations: Literal["stored", "online"] = Field(default="stored", description="stored ones, or fresh ones in every step")
    training: TrainingSettings = TrainingSettings()


class PosteriorSettings(Section):
    """How the posterior is estimated from summaries, and how often it is drawn."""

    density: Literal["masked_autoregressive", "mixture", "real_nvp", "smooth_flow", "spline_flow"] = Field(
        default="spline_flow", description="a name in fullfield.networks.DENSITIES"
    )
    layers: PositiveInt = Field(default=4, description="transforms of the normalising flow")
    width: PositiveInt = Field(default=64, description="width of the networks inside the flow")
    ensemble: PositiveInt = Field(default=1, description="flows trained independently and mixed")
    draws: int = Field(default=20_000, ge=80, description="draws at the observation")
    training: TrainingSettings = TrainingSettings(learning_rate=3e-3, epochs=60, patience=15)


class CalibrationSettings(Section):
    """How the posterior is tested."""

    draws: int = Field(default=500, ge=20, description="draws at each held-out simulation")
    replicas: int = Field(default=200, ge=40, description="data sets drawn from the posterior to compare the observation with")


class Configuration(Section):
    """What decides a result, and nothing else: the settings that every recipe has."""

    recipe: str = "custom"
    scale: str = "custom"
    seed: int = Field(default=0, ge=0, lt=2**32)

    def to_yaml(self) -> str:
        """Every setting, in YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class RunConfiguration(Configuration):
    """Settings of the way from a forward model to a tested posterior."""

    observation: str | None = Field(default=None, description="file with the observed data (.npy); simulated if not given")
    simulations: SimulationSettings = SimulationSettings()
    compressor: CompressorSettings = CompressorSettings()
    posterior: PosteriorSettings = PosteriorSettings()
    calibration: CalibrationSettings = CalibrationSettings()


C = TypeVar("C", bound=Configuration)


def resolve(kind: type[C], *layers: Mapping[str, Any], overrides: Sequence[str] = ()) -> C:
    """Build a configuration from nested settings, later layers over earlier ones.

    Args:
        kind: class of the configuration.
        layers: nested settings; what none of them names keeps its default.
        overrides: `key.sub=value` texts that come last, values in YAML.

    Raises:
        ConfigurationError: a key is unknown (names the nearest known one) or a value impossible.
    """
    # Defaults are laid down first, so that naming one setting of a section leaves the section's other defaults as they are.
    settings: dict[str, Any] = kind().model_dump()
    for layer in (*layers, *(_parse_override(text) for text in overrides)):
        settings = _merge(settings, layer)
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise _explain(kind, error) from None


def load_settings(path: pathlib.Path) -> dict[str, Any]:
    """Read nested settings from a YAML file.

    Raises:
        ConfigurationError: the file does not exist, is not YAML, or holds something else than named settings.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(str(path), expected="a configuration file", got="no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(str(path), expected="a configuration file in YAML", got=_one_line(str(error))) from error
    if not isinstance(settings, dict):
        raise ConfigurationError(str(path), expected="named settings such as `recipe: lensing`", got=_one_line(repr(settings)))
    return settings


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return _numbers(merged)


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads `1e4` as text; a scientist means a number."""
    if isinstance(value, Mapping):
        return {key: _numbers(entry) for key, entry in value.items()}
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError("--set", expected="key=value such as simulations.training=2000", got=repr(text))
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return parsed


def _explain(kind: type[BaseModel], error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place) or "configuration"
    if first["type"] == "extra_forbidden":
        known = _fields(kind, place[:-1])
        return ConfigurationError(name, expected="a known setting", got=repr(place[-1]), remedy=nearest(place[-1], known))
    message = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    known = re.findall(r"'([^']*)'", message) if first["type"] == "literal_error" else []
    remedy = nearest(str(first["input"]), known) if known else ""
    if first["type"].startswith(("greater_than", "less_than")) and (field := _field(kind, place)):
        remedy = f"{field.default} by default{f': {field.description}' if field.description else ''}."
    return ConfigurationError(name, expected=message, got=_one_line(repr(first["input"])), remedy=remedy)


def _field(kind: type[BaseModel], place: Sequence[str]) -> FieldInfo | None:
    """The setting at a place, None for an entry of a list."""
    section = _section(kind, place[:-1])
    return section.model_fields.get(place[-1])


def _fields(kind: type[BaseModel], place: Sequence[str]) -> list[str]:
    return list(_section(kind, place).model_fields)


def _section(kind: type[BaseModel], place: Sequence[str]) -> type[BaseModel]:
    for part in place:
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        kind = annotation
    return kind


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
