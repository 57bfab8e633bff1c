"""The verdict on self-supervised inference from CAMELS maps."""

from collections.abc import Mapping

from fullfield.diagnostics import Number, Report
from fullfield.recipes.study import Measured
from fullfield.recipes.vicreg_accuracy import accuracy_numbers, collapse_numbers
from fullfield.recipes.vicreg_camels import PUBLISHED, VICRegCamelsConfiguration


NAMES = ("Omega_m", "sigma_8")
HELD = 200  # simulations; fewer are held to nothing


def called_after(suite: str, maps: Measured) -> str:
    """Whose maps they are, so that none takes synthetic ones for others."""
    return f"synthetic {suite}" if maps.values["synthetic"] else suite


def judge(configuration: VICRegCamelsConfiguration, found: Mapping[str, Measured]) -> Report:
    """Numbers of every suite and method, the published ones beside those of published maps."""
    numbers, first = [], configuration.methods[0]
    for suite in configuration.suites:
        maps = found[f"maps/{suite}"]
        called, synthetic = called_after(suite, maps), maps.values["synthetic"]
        published = {} if synthetic else PUBLISHED.get(suite, {})
        for label in (*configuration.methods, "supervised"):
            values = found[f"inference/{suite}/{label}"].values
            numbers += accuracy_numbers(f"{called}/{label}", values, NAMES, published.get(label, {}))
        ratios, held = found[f"ratio/{suite}/{first}"].values, maps.values["simulations"] >= HELD
        for name in NAMES:
            error, bar = f"error/{name}", "<= 1.05" if held else None
            paper = published[first][error] / published["supervised"][error] if published else None
            of = f"ratio/{called}/{first} over supervised/{name}"
            numbers.append(Number(of, ratios[f"ratio/{name}"], ratios[f"uncertainty/{name}"], bar=bar, published=paper))
        for label in configuration.methods:
            found_of = found[f"summary/{suite}/{label}"].values
            numbers += collapse_numbers(f"{called}/{label}", found_of, len(NAMES) if held else None)
    return Report(tuple(numbers))
