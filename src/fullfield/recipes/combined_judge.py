"""What the comparison of probes says: gains of maps over spectra, of the combination over each probe, and calibration."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from fullfield import plots
from fullfield.diagnostics import Number, Report
from fullfield.diagnostics.likelihood import DEVIATION, MEAN
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.combined_probes import CombinedProbesConfiguration, LOOKED_AT, PIXELS, PUBLISHED, SIDE
from fullfield.recipes.combined_suppliers import ASKED
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured


ENOUGH = 5000  # training surveys from which numbers are held to bars
SATURATED = 0.1  # nats that a larger network on spectra may gain


def judge(configuration: CombinedProbesConfiguration, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        configuration: settings.
        found: what every cell measured, by its name.
    """
    published = PUBLISHED[configuration.bias]
    enough = configuration.simulations.training >= ENOUGH
    bars = {"combination": ">= 1", "saturation": f"<= {SATURATED:g}"} if enough else {}
    numbers = []
    for cell in found:
        kind, _, rest = cell.partition("/")
        if kind in ("gain", "published", "estimator"):
            names = published[rest]
        elif kind in ("information", "forgotten", "saturation"):
            names = ["nats"]
        elif kind == "brought":
            names = published["combined"]
        elif kind == "combination":
            # What both have: one probe's parameters that the combination has, too.
            names = [name for name in published[rest.rpartition(" ")[2]] if name in published["combined"]]
        else:
            continue
        values = found[cell].values
        numbers += [
            Number(
                f"{cell}/{name}", values[name], values[f"{name}/error"], bars.get(kind),
                published=published[rest][name] if kind == "published" else None,
            )
            for name in names
        ]  # fmt: skip
    numbers += _looked(configuration, found) + _their_route(published, found, enough) + _skewness(found)
    laws = found["stochasticity/all"].values if "stochasticity/all" in found else {}
    numbers += [Number(f"stochasticity/{law}, largest error", value) for law, value in laws.items()]
    for cell, measured in found.items():
        if "failed" in measured.values:
            name = f"calibration/{cell}, tests of {measured.values['tests']:.0f} that fail"
            numbers.append(Number(name, measured.values["failed"], bar="<= 0" if enough else None))
    return Report(tuple(numbers))


def _looked(configuration, found):
    return [
        Number(f"sensitivity/{analysis}/{name}, correlation with galaxies", value)
        for analysis in configuration.analyses
        if f"sensitivity/{analysis}" in found
        for name, value in found[f"sensitivity/{analysis}"].values.items()
    ]


def _their_route(published, found, enough):
    if "likelihood/combined" not in found:
        return []
    values = found["likelihood/combined"].values
    numbers = [Number(f"likelihood/over NPE/{name}", values[name], values[f"{name}/error"]) for name in published["combined"]]
    for name, bar in {"mean_scatter": MEAN, "deviation_scatter": DEVIATION}.items():
        worst = max(value for entry, value in values.items() if entry.endswith(name))
        numbers.append(Number(f"likelihood/accuracy/largest {name}", worst, bar=f"<= {bar:g}" if enough else None))
    return numbers


def _skewness(found):
    return [
        Number(f"{cell}/{name}", value, found[cell].values[f"{name}/error"])
        for cell in found
        if cell.startswith("skewness/")
        for name, value in found[cell].values.items()
        if "/" not in name
    ]


def pictures(
    configuration: CombinedProbesConfiguration, space: ParameterSpace, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """Gains beside the paper's, posteriors of the first observation by every analysis, and what estimates look at.

    Args:
        configuration: settings.
        space: the parameters.
        found: what every cell measured.
        directory: of the run.
    """
    drawn = [
        _gains(space, probe, found, PUBLISHED[configuration.bias][probe])
        for probe in configuration.probes
        if f"published/{probe}" in found
    ]
    for probe in configuration.probes:
        draws = {
            analysis: read_arrays(directory.checkpoint(f"{analysis}.{probe}") / "draws.npz")["theta"][0]
            for analysis in configuration.analyses
            if analysis != "wide"
        }
        shown = [i for i, name in enumerate(space.names) if name in PUBLISHED[configuration.bias][probe]]
        first, *others = draws
        figure = plots.corner(
            draws[first][:, shown], [space.labels[i] for i in shown], [space.bounds[i] for i in shown], name=first,
            truth=np.asarray(space.fiducial)[shown], others={name: draws[name][:, shown] for name in others},
        )  # fmt: skip
        caption = f"{probe.capitalize()}: the first observation, by every analysis."
        drawn.append(Illustration("Posteriors", f"posterior-{probe}", figure, caption))
    if "stochasticity/all" in found:
        curves = read_arrays(directory.checkpoint("stochasticity.all") / "found.npz")
        figure = plots.stochasticity_curves(ASKED, curves.pop("ell"), curves)
        caption = "Correlation of galaxies with matter by both laws of moved phases, on average and by multipole."
        drawn.append(Illustration("Galaxies and matter", "stochasticity", figure, caption))
    if {"lensing", "combined"} <= set(configuration.probes):
        drawn.append(_alignment(space, configuration.analyses[0], directory))
    looked = {
        analysis: read_arrays(directory.checkpoint(f"sensitivity.{analysis}") / "looked.npz")
        for analysis in configuration.analyses
        if f"sensitivity/{analysis}" in found
    }
    if "maps" in looked:
        drawn += [_sensitivity(configuration, space, name, looked) for name in LOOKED_AT]
    return drawn


def _alignment(space, analysis, directory):
    places = [space.index(name) for name in ("a_ia", "eta_ia")]
    draws = {}
    for probe in ("combined", "lensing"):
        theta = read_arrays(directory.checkpoint(f"{analysis}.{probe}") / "draws.npz")["theta"][0]
        draws[probe] = np.column_stack([s_8(space, theta), theta[:, places]])
    fiducial = np.asarray(space.fiducial)
    (low, high) = (s_8(space, np.asarray([[pair[i] for pair in space.bounds]])).item() for i in (0, 1))
    figure = plots.corner(
        draws["combined"], ["S_8", *(space.labels[i] for i in places)], [(low, high), *(space.bounds[i] for i in places)],
        name="combined", truth=np.array([s_8(space, fiducial[None]).item(), *fiducial[places]]),
        others={"lensing": draws["lensing"]},
    )  # fmt: skip
    return Illustration("Posteriors", "alignment", figure, f"Intrinsic alignment from {analysis}, with galaxies and without.")


def s_8(space: ParameterSpace, theta: Float[np.ndarray, "... p"]) -> Float[np.ndarray, "..."]:
    """σ8 √(Ωm / 0.3)."""
    omega_m, sigma_8 = (theta[..., space.index(name)] for name in ("omega_m", "sigma_8"))
    return sigma_8 * np.sqrt(omega_m / 0.3)


def _gains(space, probe, found, published):
    names = list(published)
    labels = [{"s_8": "$S_8$", "fom": "FoM"}.get(name) or f"${space.labels[space.index(name)]}$" for name in names]
    shown = {
        "maps over spectra": "gain", "maps over moduli": "published", "spectra over moduli": "estimator",
    }  # fmt: skip
    values = {
        title: [(found[f"{kind}/{probe}"].values[name], found[f"{kind}/{probe}"].values[f"{name}/error"]) for name in names]
        for title, kind in shown.items()
        if f"{kind}/{probe}" in found
    }
    figure = plots.gains(values, labels, published=list(published.values()), name="Kacprzak & Fluri 2022", title=probe)
    caption = (
        "Precision by one analysis over that by another, medians over observations. Moduli are cross-spectra as the code of "
        "the paper measures them."
    )
    return Illustration("Gains", f"gains-{probe}", figure, caption)


def _sensitivity(configuration, space, name, looked):
    kappa, delta = (number % 4 + 1 for number in LOOKED_AT[name])
    one, label = looked["maps"], f"${space.labels[space.index(name)]}$"
    figure = plots.sensitivity_maps(
        [(rf"$\kappa_{kappa}$", one[f"{name}/convergence"]), (rf"$\delta_{{\rm g,{delta}}}$", one[f"{name}/galaxies"])],
        [(f"slope, {analysis}", arrays[f"{name}/field"]) for analysis, arrays in looked.items()],
        {analysis: (arrays[f"{name}/density"], arrays[f"{name}/stacked"]) for analysis, arrays in looked.items()},
        side=SIDE * configuration.pixels / PIXELS, label=label,
    )  # fmt: skip
    caption = (
        f"What the estimate of {label} looks at in the convergence of bin {kappa}: one field, and stacked on the density of "
        f"galaxies of bin {delta}."
    )
    return Illustration("Sensitivity", f"sensitivity-{name}", figure, caption)
