"""What the comparison of summaries says: figures of merit as fractions of the full field's, over observations and seeds."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from fullfield.diagnostics import CONVERGED, Number, Report
from fullfield.recipes.lensing import PUBLISHED_MERIT
from fullfield.recipes.neural_summaries import NeuralSummariesConfiguration, PAIRS, PUBLISHED
from fullfield.recipes.study import Measured


REGRESSION = ("mse", "mae")
FIXED = ("spectra", "statistics")
"""Objectives that are statistics, without a network."""
ENOUGH = 10  # observations, below which fractions are held to nothing
LIKELIHOOD = "likelihood"
"""The classical analysis, beside the objectives: a Gaussian likelihood of the spectra."""


def judge(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        configuration: settings.
        found: what every cell measured, by its name.
    """
    return Report(
        (
            *_chains(configuration, found),
            *_kept(configuration, found),
            *_order(configuration, found),
            *_beside(configuration, found),
        )
    )


def plane(pair: tuple[str, str]) -> str:
    """Name of a pair of parameters."""
    return f"{pair[0]}-{pair[1]}"


def fractions(
    configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured], of: str, pair: tuple[str, str]
) -> Float[np.ndarray, "seeds observations"]:
    """Figures of merit of an objective, or of the spectra's likelihood, over those of the full field.

    Args:
        configuration: settings.
        found: what every cell measured.
        of: an objective, or `LIKELIHOOD`.
        pair: of parameters.
    """
    name, observations = f"fom/{plane(pair)}", range(configuration.observations)
    full = np.array([found[f"reference/{i}"].values[name] for i in observations])
    if of == LIKELIHOOD:
        return np.array([[found[f"{LIKELIHOOD}/{i}"].values[name] for i in observations]]) / full
    return np.array([_each(configuration, found, of, name, seed) for seed in range(configuration.seeds)]) / full


def _each(configuration, found, objective, name, seed):
    return [found[f"{objective}/{seed}"].values[f"{name}/{i}"] for i in range(configuration.observations)]


def mean_and_error(values: Float[np.ndarray, "seeds observations"]) -> tuple[float, float | None]:
    """Mean over all, and its standard error: scatter over observations, and over seeds, which all observations share."""
    square = 0.0
    for axis, n in zip((0, 1), reversed(values.shape), strict=True):
        if n > 1:
            square += values.mean(axis=axis).var(ddof=1) / n
    return float(values.mean()), square**0.5 if square else None


def _chains(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Have the chains of every observation converged, and what do the full field and the spectra know?"""
    numbers = []
    for group, published in (("reference", PUBLISHED_MERIT), (LIKELIHOOD, {PAIRS[0]: 1222.0, PAIRS[1]: 100.0, PAIRS[2]: 77.0})):
        cells = [found[f"{group}/{i}"] for i in range(configuration.observations)]
        worst = (("rhat", max, "largest"), ("ess_bulk", min, "least"), ("divergences", max, "most"))
        for kind, choose, which in worst:
            value = choose(cell.values[kind] for cell in cells)
            numbers.append(Number(f"{group}/{which} {kind}", value, bar=CONVERGED[kind]))
        for pair in PAIRS:
            values = np.array([[cell.values[f"fom/{plane(pair)}"] for cell in cells]])
            mean, error = mean_and_error(values)
            known = published[pair] if _comparable(configuration) else None
            bar = f"in [{0.95 * known:g}, {1.05 * known:g}]" if known and group == "reference" else None
            numbers.append(
                Number(
                    f"{group}/fom/{plane(pair)}", mean, error, bar, known,
                    gradients=sum(cell.gradients for cell in cells) // len(cells),
                )
            )  # fmt: skip
    return numbers


def _comparable(configuration: NeuralSummariesConfiguration) -> bool:
    return configuration.observation == "published-mock" and configuration.pixels == 256


def _kept(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Fractions of the full field's figures of merit, what VMIM is held to, and the best objective beside it."""
    numbers, rows = [], {}
    for of in (*configuration.objectives, LIKELIHOOD):
        published = dict(zip(PAIRS, PUBLISHED.get(of, (None,) * 3), strict=True))
        for pair in PAIRS:
            rows[of, pair] = fractions(configuration, found, of, pair)
            bar = ">= 0.97" if of == "vmim" and _enough(configuration) else None
            cost = simulations(configuration, of)
            numbers.append(
                Number(f"kept/{of}/{plane(pair)}", *mean_and_error(rows[of, pair]), bar, published[pair], simulations=cost)
            )
    if "vmim" in configuration.objectives:
        over = {of: np.mean([rows[of, pair] / rows["vmim", pair] for pair in PAIRS], axis=0) for of in configuration.objectives}
        best = max(over, key=lambda of: over[of].mean())
        numbers.append(Number(f"best: {best} over vmim", *mean_and_error(over[best])))
    return numbers


def simulations(configuration: NeuralSummariesConfiguration, of: str) -> int:
    """Simulations behind an objective's posterior; those that tested it are not counted."""
    counts = configuration.simulations
    if of == LIKELIHOOD:
        return 0
    known = counts.estimate if configuration.network == "reconstruction" and of not in FIXED else 0
    return counts.training + counts.validation + known + (counts.fiducial if of == "imnn" else 0)


def _enough(configuration: NeuralSummariesConfiguration) -> bool:
    return configuration.observations >= ENOUGH


def _order(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """VMIM over regression over spectra, observation by observation, in units of the latter."""
    numbers = []
    pairs = [("vmim", other) for other in REGRESSION] + [(other, LIKELIHOOD) for other in REGRESSION]
    for first, second in pairs:
        if {first, second} <= {*configuration.objectives, LIKELIHOOD}:
            for pair in PAIRS:
                ratio = fractions(configuration, found, first, pair) / fractions(configuration, found, second, pair)
                bar = "> 1" if _enough(configuration) else None
                numbers.append(Number(f"order/{first} over {second}/{plane(pair)}", *mean_and_error(ratio), bar))
    return numbers


def _beside(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Distance from the full field, information in nats, calibration, and time to train."""
    floors = np.array([[found[f"floor/{i}"].values["c2st"] for i in range(configuration.observations)]])
    numbers = [Number("c2st/floor", *mean_and_error(floors))]
    for objective in configuration.objectives:
        cells = [found[f"{objective}/{seed}"].values for seed in range(configuration.seeds)]
        distances = np.array([_each(configuration, found, objective, "c2st", seed) for seed in range(configuration.seeds)])
        cost = simulations(configuration, objective)
        numbers.append(Number(f"c2st/{objective}", *mean_and_error(distances), simulations=cost))
        numbers.append(
            Number(
                f"information/{objective}",
                float(np.mean([cell["information"] for cell in cells])),
                cells[0]["information_error"],
            )
        )
        failed = float(max(cell["miscalibrated"] for cell in cells))
        numbers.append(Number(f"calibration/{objective}/failed tests", failed, bar="<= 0"))
        numbers.append(Number(f"seconds/{objective}", float(np.mean([cell["seconds"] for cell in cells]))))
    return numbers


def rows_of_planes(
    configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured], of: Mapping[str, str]
) -> dict[str, dict[str, tuple[float, float | None]]]:
    """Fractions kept, by plane, by the name that a figure gives to each objective."""
    return {
        plane(pair): {shown: mean_and_error(fractions(configuration, found, name, pair)) for name, shown in of.items()}
        for pair in PAIRS
    }
