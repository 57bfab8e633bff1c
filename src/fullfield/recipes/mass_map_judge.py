"""What the mass map study says of other mass maps, of the reference chains, and of joint draws as starting points of chains."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.diagnostics import CONVERGED, Number, Report
from fullfield.recipes.problem import Illustration
from fullfield.recipes.study import Measured


RHAT = 1.01


def map_numbers(found: Mapping[str, Measured]) -> Report:
    """Cross-correlation with the truth and squared error of every mass map.

    Args:
        found: what every cell measured, by its name.
    """
    return Report(tuple(Number(f"maps/{name}", value) for name, value in found["baselines/maps"].values.items()))


def map_pictures(found: Mapping[str, Measured]) -> list[Illustration]:
    """Cross-correlations of all methods beside each other.

    Args:
        found: what every cell measured, by its name.
    """
    curves = {}
    for path, value in found["baselines/maps"].values.items():
        kind, _, rest = path.partition("/")
        if kind == "correlation":
            method, _, ell = rest.rpartition("/ell_")
            multipoles, correlations, errors = curves.setdefault(method, ([], [], []))
            multipoles.append(float(ell))
            correlations.append(value)
            errors.append(None)
    figure = plots.accuracy_curves({r"$\ell$": curves}, label=r"$r(\ell)$", exact=1.0)
    caption = "Cross-correlation with the truth of every mass map, mean over the bins, on the same simulated observations."
    return [Illustration("Maps, scale by scale", "methods", figure, caption)]


def chain_numbers(found: Mapping[str, Measured]) -> Report:
    """Worst numbers of the reference chains, and gradients until R-hat ≤ 1.01 from joint draws and from the prior.

    Args:
        found: what every cell measured, by its name.
    """
    chains = [measured.values for name, measured in found.items() if name.startswith("reference/")]
    numbers = [
        Number(f"reference/{label} {kind}", choose(row[kind] for row in chains), bar=CONVERGED[kind])
        for kind, choose, label in (("rhat", max, "largest"), ("ess_bulk", min, "least"), ("divergences", max, "most"))
    ]
    pairs = sorted(name.rpartition("/")[2] for name in found if name.startswith("start/warm/"))
    if not pairs:
        return Report(tuple(numbers))
    costs = {kind: np.array([found[f"start/{kind}/{i}"].values["gradients"] for i in pairs]) for kind in ("warm", "dispersed")}
    missed = {kind: sum(found[f"start/{kind}/{i}"].values["rhat"] > 1.01 for i in pairs) for kind in costs}
    for kind, cost in costs.items():
        warmups = [found[f"start/{kind}/{i}"].values["warmup"] for i in pairs]
        numbers.append(Number(f"start/{kind}: gradients to R-hat <= 1.01", float(cost.mean())))
        numbers.append(Number(f"start/{kind}: warm-up draws of each chain", float(np.mean(warmups))))
        numbers.append(Number(f"start/{kind}: observations that never reach it", float(missed[kind])))
    ratios = costs["dispersed"] / costs["warm"]
    error = float(ratios.std(ddof=1) / np.sqrt(ratios.size)) if ratios.size > 1 else None
    numbers.append(Number("start/gradients from the prior over those from joint draws", float(ratios.mean()), error))
    return Report(tuple(numbers))
