"""What the mass map study says of other mass maps, of the reference chains, and of joint draws as starting points of chains."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.diagnostics import CONVERGED, Number, Report
from fullfield.recipes.problem import Illustration
from fullfield.recipes.study import Measured


RHAT = 1.01
KINDS = ("warm", "dispersed")


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

    Chains that never reach it have cost more than was counted, so that a ratio of their pair is a bound. Mean costs and
    their mean ratio are of the pairs in which both reach it. The median is of all pairs, once with each bound at its lowest,
    0 where those from joint draws never reach it, and once at its highest, infinite where those from the prior do not.

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
    column = lambda kind, name: np.array([found[f"start/{kind}/{i}"].values[name] for i in pairs])  # noqa: E731
    cost, reached = ({kind: column(kind, name) for kind in KINDS} for name in ("gradients", "rhat"))
    reached = {kind: values <= RHAT for kind, values in reached.items()}
    both, ratio = reached["warm"] & reached["dispersed"], cost["dispersed"] / cost["warm"]
    for kind in KINDS:
        numbers.append(Number(f"start/{kind}: observations that never reach it", float(np.sum(~reached[kind]))))
        if both.any():
            numbers.append(Number(f"start/{kind}: gradients to R-hat <= {RHAT:g}", float(cost[kind][both].mean())))
            numbers.append(Number(f"start/{kind}: warm-up draws of each chain", float(column(kind, "warmup")[both].mean())))
    numbers.append(Number("start/pairs in which both reach it", float(both.sum())))
    if both.any():
        error = float(ratio[both].std(ddof=1) / np.sqrt(both.sum())) if both.sum() > 1 else None
        numbers.append(Number("start/gradients from the prior over those from joint draws", float(ratio[both].mean()), error))
    low, high = np.where(reached["warm"], ratio, 0.0), np.where(reached["dispersed"], ratio, np.inf)
    numbers.append(Number("start/median of that ratio over all pairs, at least", float(np.median(low))))
    numbers.append(Number("start/median of that ratio over all pairs, at most", float(np.median(high))))
    return Report(tuple(numbers))
