"""What chains say of the mass map study: whether the reference has converged, and what joint draws save as starting points."""

from collections.abc import Mapping

import numpy as np

from fullfield.diagnostics import CONVERGED, Number, Report
from fullfield.recipes.study import Measured


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
