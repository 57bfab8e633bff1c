"""What the comparison of probes says: gains of maps over spectra, of the combination over each probe, and calibration."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.diagnostics import Number, Report
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.combined_probes import CombinedProbesConfiguration, PUBLISHED
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured


ENOUGH = 20_000  # training simulations from which numbers are held to bars


def judge(configuration: CombinedProbesConfiguration, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        configuration: settings.
        found: what every cell measured, by its name.
    """
    numbers, enough = [], configuration.simulations.training >= ENOUGH
    for probe in configuration.probes:
        if f"gain/{probe}" not in found:
            continue
        gains = found[f"gain/{probe}"].values
        for name, published in PUBLISHED[probe].items():
            numbers.append(Number(f"gain/{probe}/{name}", gains[name], gains[f"{name}/error"], published=published))
    for cell in (cell for cell in found if cell.startswith("combination/")):
        shared = [name for name in PUBLISHED[cell.rpartition(" ")[2]] if name in PUBLISHED["combined"]]
        for name in shared:
            value, error = found[cell].values[name], found[cell].values[f"{name}/error"]
            numbers.append(Number(f"{cell}/{name}", value, error, ">= 1" if enough else None))
    for probe in configuration.probes:
        for analysis in configuration.analyses:
            values = found[f"{analysis}/{probe}"].values
            name = f"calibration/{analysis}/{probe}, tests of {values['tests']:.0f} that fail"
            numbers.append(Number(name, values["failed"], bar="<= 0" if enough else None))
    return Report(tuple(numbers))


def pictures(
    configuration: CombinedProbesConfiguration, space: ParameterSpace, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """Posteriors of the first observation by both analyses, for every probe.

    Args:
        configuration: settings.
        space: the parameters.
        found: what every cell measured.
        directory: of the run.
    """
    del found
    drawn = []
    for probe in configuration.probes:
        draws = {
            analysis: read_arrays(directory.checkpoint(f"{analysis}.{probe}") / "draws.npz")["theta"][0]
            for analysis in configuration.analyses
        }
        shown = [i for i, name in enumerate(space.names) if name in PUBLISHED[probe]]
        first, *others = draws
        figure = plots.corner(
            draws[first][:, shown], [space.labels[i] for i in shown], [space.bounds[i] for i in shown], name=first,
            truth=np.asarray(space.fiducial)[shown], others={name: draws[name][:, shown] for name in others},
        )  # fmt: skip
        caption = f"{probe.capitalize()}: the first observation, from maps and from their spectra."
        drawn.append(Illustration("Posteriors", f"posterior-{probe}", figure, caption))
    return drawn
