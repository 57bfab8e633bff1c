"""What the cells of the lensing benchmark say together: every number with its bar, what is published, and its cost."""

from collections.abc import Mapping

import numpy as np

from fullfield.diagnostics import Budget, CONVERGED, Number, Report
from fullfield.recipes.lensing import PUBLISHED_MERIT
from fullfield.recipes.lensing_benchmark import LensingBenchmarkConfiguration, PUBLISHED
from fullfield.recipes.study import Measured


AFFORDABLE = 63_000  # gradients: a tenth of what published chains need for the accuracy asked for
PAIR = ("omega_c", "sigma_8")
CLASSICAL = 1222.0
"""Published figure of merit of the spectra of the published mock (Lanzieri et al. 2025, A&A 697, A162)."""


def judge(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        configuration: settings.
        found: what every cell measured, by its name.
    """
    return Report(
        (
            *_reference(found),
            *_chains(configuration, found),
            *_merits(configuration, found),
            *(_compressor(found) if configuration.methods else ()),
            *(_implicit(configuration, found) if configuration.methods else ()),
        )
    )


def _reference(found: Mapping[str, Measured]) -> list[Number]:
    """Has what everything is compared with converged, and to the right place?"""
    values = found["explicit/reference"].values
    numbers = [Number(f"reference/{name}", value, bar=_bar(name, values)) for name, value in values.items()]
    if "explicit/nuts" in found:
        # An unbiased sampler tells whether chains whose bias is set by their energy error alone are where they should be.
        numbers.append(Budget().p_value("reference/agreement with NUTS", found["explicit/nuts"].values["agreement"]))
    return [*numbers, Number("c2st/floor", found["reference/floor"].values["c2st"])]


def _chains(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Accuracy of chains by their cost, and what a gradient is worth to each sampler."""
    numbers = []
    for start in (start for start in ("mclmc", "warm") if f"explicit/{start}" in found):
        # Warm chains start from a posterior that had to be learnt, from simulations whose summaries took gradients.
        taught = max(configuration.budgets) if start == "warm" else 0
        learnt = taught * _gradients_per_summary(configuration, found) if taught else 0
        values = found[f"explicit/{start}"].values
        measured = {int(name.removeprefix("c2st/")): value for name, value in values.items() if name.startswith("c2st/")}
        for cost in configuration.explicit.gradients:
            held = cost == AFFORDABLE and not taught
            # Missing where the warm-up alone costs as much: these chains fail what they are held to.
            if cost in measured or held:
                numbers.append(
                    Number(
                        f"explicit/{start}/c2st/{cost} gradients", measured.get(cost, float("nan")),
                        bar="<= 0.61" if held else None, published=0.765 if held else None,
                        simulations=taught, gradients=cost + learnt,
                    )
                )  # fmt: skip
    for cell in ("explicit/mclmc", "explicit/warm", "explicit/nuts", "spectra/fixed", "spectra/varying"):
        if cell in found:
            numbers += _converged(cell, found[cell].values)
    if not configuration.explicit.compared:
        return numbers
    rates = {name: found[f"explicit/{name}"].values["ess_per_gradient"] for name in ("mclmc", "nuts")}
    numbers += [Number(f"explicit/{name}/gradients per effective sample", 1 / rate) for name, rate in rates.items()]
    bar = ">= 5" if configuration.pixels == 64 else None
    return [*numbers, Number("explicit/ess per gradient over NUTS", rates["mclmc"] / rates["nuts"], bar=bar)]


def _converged(cell: str, values: Mapping[str, float]) -> list[Number]:
    """The worst parameter's convergence, and that of the whole chains."""
    numbers = []
    for kind, worst, which in (("rhat", max, "largest"), ("ess_bulk", min, "least"), ("ess_tail", min, "least")):
        value = worst(value for name, value in values.items() if name.endswith(f"/{kind}"))
        numbers.append(Number(f"{cell}/{which} {kind}", value, bar=CONVERGED[kind]))
    whole = [name for name in ("chains/divergences", "chains/energy_variance", "chains/ebfmi") if name in values]
    return numbers + [Number(f"{cell}/{name}", values[name], bar=_bar(name, values)) for name in whole]


def _compressor(found: Mapping[str, Measured]) -> list[Number]:
    """Is the observation like the simulations that made its summary, and how many, beside all budgets, were they?"""
    made = found["compressor/canonical"]
    doubts = {f"compressor/{name}": value for name, value in made.values.items() if name.startswith("misspecification/")}
    return [
        *(Budget().shared(len(doubts)).p_value(name, value) for name, value in doubts.items()),
        Number("compressor/simulations", float(made.simulations), simulations=made.simulations, gradients=made.gradients),
    ]


def _implicit(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Accuracy of every method by its simulations, and the best at each number of them."""
    each, rows = _gradients_per_summary(configuration, found), {}
    for method in configuration.methods:
        for budget in configuration.budgets:
            values = np.array([found[f"{method}/{budget}/{seed}"].values["c2st"] for seed in range(configuration.seeds)])
            error = float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else None
            rows[method, budget] = Number(
                f"c2st/{method}/{budget}", float(values.mean()), error,
                published=PUBLISHED.get((method, budget)), simulations=budget, gradients=budget * each,
            )  # fmt: skip
    numbers = [*rows.values()]
    for budget, bar, published in ((1000, "<= 0.6", 0.612), (2000, "<= 0.56", 0.586)):
        if budget in configuration.budgets:
            best = min((rows[method, budget] for method in configuration.methods), key=lambda number: number.value)
            numbers.append(
                Number(
                    f"c2st/best/{budget}", best.value, best.uncertainty, bar, published,
                    simulations=best.simulations, gradients=best.gradients,
                )
            )  # fmt: skip
    return numbers


def _gradients_per_summary(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> int:
    """Gradients of the simulator that the summary of one simulation takes."""
    summarised = found.get("simulations/0") or found[f"{configuration.methods[0]}/{configuration.budgets[0]}/0"]
    return summarised.gradients // summarised.simulations


def _bar(name: str, values: Mapping[str, float]) -> str | None:
    """What `convergence` holds the number called `name` of some chains to."""
    if name == "chains/energy_variance":
        return f"<= {values['energy_target']:.3g}"
    return CONVERGED.get(name.rpartition("/")[2]) if name.startswith("chains/") else None


def _merits(configuration: LensingBenchmarkConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Figures of merit of the full field and of its spectra, with the published ones where the observation is theirs."""
    name = f"fom/{PAIR[0]}-{PAIR[1]}"
    comparable = configuration.observation == "published-mock" and configuration.pixels == 256
    numbers = []
    for cell, published in (
        ("explicit/reference", PUBLISHED_MERIT[PAIR]), ("spectra/fixed", CLASSICAL), ("spectra/varying", None)
    ):  # fmt: skip
        bar = f"in [{0.9 * published:g}, {1.1 * published:g}]" if comparable and published else None
        numbers.append(Number(f"{cell}/{name}", found[cell].values[name], bar=bar, published=published if comparable else None))
    return numbers
