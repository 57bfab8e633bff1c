"""BibTeX of the papers behind the methods."""

import importlib.resources
from collections.abc import Iterable

from fullfield._core import ConfigurationError
from fullfield.recipes.configuration import RunConfiguration


# Real NVP is among them whatever the density: it is the compressor's companion in training.
METHODS = (
    "jeffrey2021", "dinh2017", "papamakarios2016", "talts2018", "modrak2023", "sailynoja2022", "hermans2022", "lemos2023",
    "sharief2026", "ledoit2004", "lewis2019", "phan2019", "kidger2021", "ward2023", "jax2018",
)  # fmt: skip
DENSITIES = {
    "masked_autoregressive": ("papamakarios2017",), "mixture": ("bishop1994",), "real_nvp": ("dinh2017",),
    "smooth_flow": ("kohler2021",), "spline_flow": ("durkan2019",),
}  # fmt: skip

FILE = importlib.resources.files("fullfield.recipes") / "references.bib"
BIBTEX = {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in FILE.read_text().strip().split("\n\n")}
"""Entries by their keys."""


def methods(configuration: RunConfiguration) -> tuple[str, ...]:
    """Keys of the methods that every run with these settings uses, whatever its model."""
    return (*DENSITIES[configuration.posterior.density], *METHODS)


def bibliography(keys: Iterable[str]) -> dict[str, str]:
    """BibTeX entries by key, each once.

    Raises:
        ConfigurationError: a key is unknown.
    """
    wanted = dict.fromkeys(keys)
    unknown = [key for key in wanted if key not in BIBTEX]
    if unknown:
        raise ConfigurationError("citations", expected=f"keys among {', '.join(BIBTEX)}", got=unknown[0])
    return {key: BIBTEX[key] for key in wanted}
