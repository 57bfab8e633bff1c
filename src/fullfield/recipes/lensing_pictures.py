"""Figures of the lensing benchmark: accuracy against cost, posteriors over each other, and the field behind the maps."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.lensing_benchmark import LensingBenchmarkConfiguration
from fullfield.recipes.problem import Illustration, Problem
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured


def pictures(
    configuration: LensingBenchmarkConfiguration, problem: Problem, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """Draw what the cells found, and what they left in the run directory."""

    def arrays(cell: str, file: str = "chains.npz") -> dict[str, np.ndarray]:
        return read_arrays(directory.checkpoint(cell.replace("/", ".")) / file)

    reference = arrays("explicit/reference")
    others = {"spectra": _flat(arrays("spectra/fixed")["theta"])}
    curves, about, best = {"gradients": _explicit(found)}, "Chains, by gradients of the simulator, warm-up included.", "."
    if configuration.methods:
        most = max(configuration.budgets)
        method = min(configuration.methods, key=lambda m: found[f"{m}/{most}/0"].values["c2st"])
        others[f"{method}, {most} simulations"] = arrays(f"{method}/{most}/0", "draws.npz")["theta"]
        curves = {"simulations": _implicit(configuration, found)} | curves
        made = found["compressor/canonical"].simulations
        about = (
            f"Left: implicit methods, by simulations, without the {made:,} that their common summary was made from. "
            "Right: chains, by gradients of the simulator, warm-up included."
        )
        best = ", and by the best of the implicit methods."
    # Chains so short that nothing was measured have no panel.
    curves = {name: panel for name, panel in curves.items() if panel}
    space = problem.model.parameters
    corner = plots.corner(
        _flat(reference["theta"]), space.labels, space.bounds,
        name="full field", truth=np.asarray(space.fiducial), others=others,
    )  # fmt: skip
    illustrations = []
    if curves:
        illustrations.append(
            Illustration(
                "Accuracy against cost", "accuracy", plots.accuracy_curves(curves, goal=0.6),
                "C2ST against the long chains: 0.5 is exact, and the dotted line is what the literature calls converged. "
                + about,
            )
        )  # fmt: skip
    return [
        *illustrations,
        Illustration(
            "Posterior", "corner", corner,
            "The same observation by long chains of parameters and field, by its auto- and cross-spectra with a Gaussian "
            f"likelihood{best}",
        ),
        Illustration(
            "Field", "field", _field(problem, reference),
            "Maps of the last bin: what was observed, the posterior mean of the noiseless convergence, streamed while the "
            "reference was sampled, and the difference, which should look like noise.",
        ),
    ]  # fmt: skip


def _implicit(configuration, found):
    curves = {}
    for method in configuration.methods:
        values = np.array(
            [
                [found[f"{method}/{budget}/{seed}"].values["c2st"] for seed in range(configuration.seeds)]
                for budget in configuration.budgets
            ]
        )
        several = configuration.seeds > 1
        errors = (values.std(axis=1, ddof=1) / configuration.seeds**0.5).tolist() if several else [None] * len(values)
        costs = [float(budget) for budget in configuration.budgets]
        curves[method.upper() if method != "amortised" else method] = costs, values.mean(axis=1).tolist(), errors
    return curves


def _explicit(found):
    curves = {}
    for cell, label in (("explicit/mclmc", "MCLMC from the prior"), ("explicit/warm", "MCLMC, warm start")):
        values = found[cell].values if cell in found else {}
        curve = {float(name.removeprefix("c2st/")): value for name, value in values.items() if name.startswith("c2st/")}
        if curve:
            curves[label] = [*curve], [*curve.values()], [None] * len(curve)
    return curves


def _field(problem, reference):
    observed, mean = reference["observation"][..., -1], reference["product_mean"][..., -1]
    titles = ("observed", "posterior mean", "observed minus mean")
    return plots.map_row(np.stack([observed, mean, observed - mean]), titles, side=problem.model.survey.sky.side)


def _flat(theta):
    return theta.reshape(-1, theta.shape[-1])
