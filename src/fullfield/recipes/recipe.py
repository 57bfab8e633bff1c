"""What a recipe is: a result or a job, with the settings of each scale."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fullfield._core import ConfigurationError, nearest
from fullfield.recipes.configuration import Configuration, resolve


@dataclass(frozen=True)
class Scale:
    """Settings that differ from the configuration's defaults, and how long a run with them takes on two cores, in words."""

    settings: Mapping[str, Any]
    cost: str


@dataclass(frozen=True)
class Grid:
    """Numbers called "name/row/column", which a run prints as one table.

    Args:
        name: what stands before the first slash.
        published: by row, what the literature has for the columns, of whatever size.
        source: what the published ones are of, which heads them.
    """

    name: str
    published: Mapping[str, Sequence[float]]
    source: str


@dataclass(frozen=True)
class Recipe:
    """A forward model with everything that is particular to it; the stages themselves are the same for all.

    Args:
        name: what users type.
        summary: one line that says what it does; lists show what stands before its colon.
        configuration: class of its settings.
        scales: presets by name; "laptop" is the one taken when none is named.
        build: `(configuration) -> fullfield.recipes.Problem`. It imports what it needs in its body, so that listing recipes
            does not wait for the forward models.
        citations: BibTeX keys (`fullfield.recipes.citations`) of what is particular to the recipe.
        headline: beginnings of the names of the numbers that a run is made for, and prints.
        grid: those that it prints as a table before.
        own_data: where else data of one's own go, if the recipe takes none.
    """

    name: str
    summary: str
    configuration: type[Configuration]
    scales: Mapping[str, Scale]
    build: Callable[[Any], Any]
    citations: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    grid: Grid | None = None
    own_data: str = ""

    def configure(self, settings: Mapping[str, Any], overrides: Sequence[str] = ()) -> Configuration:
        """Resolve a configuration of this recipe.

        Args:
            settings: nested settings; "scale" in them chooses the preset that they are laid over.
            overrides: `key.sub=value` texts that come last.

        Raises:
            ConfigurationError: the scale or a key is unknown, a value impossible, or the recipe takes no data.
        """
        if "observation" in settings and "observation" not in self.configuration.model_fields:
            raise ConfigurationError(
                "observation", expected=f"none, for {self.name} has data of its own", got=repr(settings["observation"]),
                remedy=self.own_data,
            )  # fmt: skip
        scale = settings.get("scale", "laptop")
        if scale not in self.scales:
            raise ConfigurationError(
                "scale", expected="a known scale", got=repr(scale), remedy=nearest(str(scale), self.scales)
            )
        fixed = {"recipe": self.name, "scale": scale}
        configuration = resolve(self.configuration, self.scales[scale].settings, settings, fixed, overrides=overrides)
        for key, value in fixed.items():
            if getattr(configuration, key) != value:
                raise ConfigurationError(
                    f"--set {key}", expected=f"the {key} as an argument of its own", got=repr(getattr(configuration, key))
                )
        return configuration
