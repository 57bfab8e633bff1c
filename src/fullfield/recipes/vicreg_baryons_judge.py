"""What the trial of summaries that forget baryons says, and its figures."""

from collections.abc import Mapping, Sequence

import numpy as np

from fullfield import plots
from fullfield.diagnostics import Number, Report
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured
from fullfield.recipes.vicreg_accuracy import collapse_numbers
from fullfield.recipes.vicreg_baryons_trials import EXACT, four, FRACTIONS, REGIONS, SWEEP, TESTED, TRAINED, Trial
from fullfield.recipes.vicreg_maps import ENOUGH


TOLERANCE = 0.05  # of coverage under baryons that no training has seen, beside three of its errors
OWN = {f"posterior/{name}": kind for name, kind in TRAINED.items()} | {f"exact/{kind}": kind for kind in EXACT}
"""By cell, which baryons its posteriors know."""
SWEPT = {"vicreg": "posterior/vicreg", "supervised": "posterior/supervised", "exact, gas": "exact/gas"}


def baryons_numbers(cosmologies: int, names: Sequence[str], found: Mapping[str, Measured]) -> Report:
    """Numbers of all posteriors, and what those from self-supervised summaries are held to.

    Args:
        cosmologies: how many training had; few are held to nothing.
        names: of the parameters.
        found: what every cell measured.
    """
    numbers, enough = [], cosmologies >= ENOUGH
    for cell, own in OWN.items():
        name = cell.removeprefix("posterior/") if cell.startswith("posterior") else f"exact, {own}"
        held = name == "vicreg" and enough
        for trial in four(own):
            numbers += _of_a_trial(name, trial, found[cell].values, names, held)
            if trial.where == "prior" and not cell.startswith("exact"):
                failed = found[cell].values[f"{trial.label}/failed"]
                numbers.append(
                    Number(f"calibration/{name}/{trial.spoken}/failed tests", failed, bar="<= 0" if trial.kind == own else None)
                )
    for trial in four("gas"):
        numbers += _beside_exact(trial, found["posterior/vicreg"].values, found["exact/gas"].values, names, enough)
    supervised = found["posterior/supervised"].values
    for trial in four("none"):
        if trial.kind == "unseen":
            misled = max(abs(supervised[f"{trial.label}/bias/{parameter}"]) for parameter in names)
            numbers.append(Number(f"bias/supervised/{trial.spoken}/largest", misled, bar=">= 1" if enough else None))
    numbers += [
        Number(f"bias/{name}/{trial.spoken}/{parameter}", *_bias(found[cell].values, trial, parameter))
        for name, cell in SWEPT.items()
        for trial in SWEEP
        for parameter in names
    ]
    numbers += collapse_numbers("vicreg", found["summary/vicreg"].values, len(names) if enough else None)
    return Report(tuple(numbers))


def _bias(values: Mapping[str, float], trial: Trial, parameter: str) -> tuple[float, float]:
    """In deviations, with its error."""
    return values[f"{trial.label}/bias/{parameter}"], values[f"{trial.label}/error/{parameter}"]


def _of_a_trial(name: str, trial: Trial, values: Mapping[str, float], names: Sequence[str], held: bool) -> list[Number]:
    numbers, unseen = [], trial.kind == "unseen"
    for parameter in names:
        path, bar = f"{name}/{trial.spoken}/{parameter}", "in [-0.5, 0.5]" if held else None
        numbers.append(Number(f"bias/{path}", *_bias(values, trial, parameter), bar=bar))
        numbers.append(Number(f"deviation/{path}", values[f"{trial.label}/deviation/{parameter}"]))
        if unseen:
            numbers.append(Number(f"shift/{path}", values[f"{trial.label}/shift/{parameter}"]))
    for region in REGIONS if unseen else ():
        error = (region / 100 * (1 - region / 100) / TESTED) ** 0.5
        bar = f">= {region / 100 - 3 * error - TOLERANCE:.3f}" if held else None
        covered = values[f"{trial.label}/covered/{region}"]
        numbers.append(Number(f"coverage/{name}/{trial.spoken}/{region} %", covered, error, bar=bar))
    return numbers


def _beside_exact(
    trial: Trial, values: Mapping[str, float], exact: Mapping[str, float], names: Sequence[str], enough: bool
) -> list[Number]:
    """Posteriors like the prior would have no bias either: they are to be as narrow as the exact ones, and no more biased."""
    numbers = []
    for parameter in names:
        (ours, error), (theirs, other) = _bias(values, trial, parameter), _bias(exact, trial, parameter)
        path, uncertainty = f"{trial.spoken}/{parameter}", float(np.hypot(error, other))  # too large: the maps are the same
        bar = "in [-0.25, 0.25]" if enough else None
        numbers.append(Number(f"bias/vicreg less exact/{path}", ours - theirs, uncertainty, bar=bar))
        wider = values[f"{trial.label}/deviation/{parameter}"] / exact[f"{trial.label}/deviation/{parameter}"]
        numbers.append(Number(f"deviation/vicreg over exact/{path}", wider, bar="<= 1.2" if enough else None))
    return numbers


def baryons_pictures(parameters: ParameterSpace, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    """Parameters of maps with unseen baryons, and biases against how many baryons groups have kept."""
    illustrations = []
    for name in TRAINED:
        tried = read_arrays(directory.checkpoint(f"posterior.{name}") / f"{Trial('unseen', 'prior').file}.npz")
        some = slice(0, 100)
        figure = plots.recovered(tried["theta"][some], tried["mean"][some], tried["deviation"][some], list(parameters.labels))
        illustrations.append(
            Illustration(
                "Unseen baryons", f"unseen-{name.replace(' ', '-')}", figure,
                f"Parameters of maps with baryons that no training has seen: {name}.",
            )
        )  # fmt: skip
    panels = {
        f"|bias| of ${label}$ [deviations]": {
            name: np.abs([found[cell].values[f"{trial.label}/bias/{parameter}"] for trial in SWEEP])
            for name, cell in SWEPT.items()
        }
        for parameter, label in zip(parameters.names, parameters.labels, strict=True)
    }
    figure = plots.dependence_curves(np.array(FRACTIONS), panels, label=r"$\tilde f_b$")
    illustrations.append(
        Illustration(
            "Unseen baryons", "sweep", figure,
            "Bias at the fiducial cosmology against the fraction of baryons that groups have kept; with few of them the power "
            "falls most.",
        )
    )  # fmt: skip
    return illustrations
