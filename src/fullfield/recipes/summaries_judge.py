"""What the comparison of summaries says: figures of merit as fractions of the full field's, over observations and seeds."""

from collections.abc import Mapping
from typing import TypedDict

import jax
import numpy as np
from jaxtyping import Float

from fullfield.diagnostics import CONVERGED, figure_of_merit, Number, Report
from fullfield.parameters import ParameterSpace
from fullfield.recipes.lensing import PUBLISHED_MERIT
from fullfield.recipes.neural_summaries import NeuralSummariesConfiguration, PAIRS, PUBLISHED, PUBLISHED_VMIM
from fullfield.recipes.study import Measured


REGRESSION = ("gnll", "moments", "mae", "mse")
FIXED = ("spectra", "statistics")
"""Objectives that are statistics, without a network."""
ENOUGH = 10  # observations, below which fractions are held to nothing
PRIOR_DRAWS = 100_000
LIKELIHOOD = "likelihood"
"""The classical analysis, beside the objectives: a Gaussian likelihood of the spectra."""


class Cost(TypedDict):
    """What a result cost: simulations, and gradients of the simulator."""

    simulations: int
    gradients: int


def judge(configuration: NeuralSummariesConfiguration, space: ParameterSpace, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        configuration: settings.
        space: the parameters, of whose prior the figures of merit are the least that there is.
        found: what every cell measured, by its name.
    """
    return Report(
        (
            *_chains(configuration, found),
            *_kept(configuration, found),
            *_before_data(configuration, space, found),
            *_merits(configuration, found),
            *_best(configuration, found),
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
    name, full = f"fom/{plane(pair)}", full_field(configuration, found, pair)
    if of == LIKELIHOOD:
        return np.array([[found[f"{LIKELIHOOD}/{i}"].values[name] for i in range(configuration.observations)]]) / full
    return _every_seed(configuration, found, of, name) / full


def full_field(
    configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured], pair: tuple[str, str]
) -> Float[np.ndarray, "1 observations"]:
    """Figures of merit of the full field."""
    return np.array([[found[f"reference/{i}"].values[f"fom/{plane(pair)}"] for i in range(configuration.observations)]])


def _every_seed(configuration, found, objective, name):
    cells = [found[f"{objective}/{seed}"].values for seed in range(configuration.seeds)]
    return np.array([[cell[f"{name}/{i}"] for i in range(configuration.observations)] for cell in cells])


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
            bar = _within(known) if known and group == "reference" else None
            gradients = _mean_gradients(configuration, found, group)
            numbers.append(Number(f"{group}/fom/{plane(pair)}", mean, error, bar, known, gradients=gradients))
    return numbers


def _comparable(configuration: NeuralSummariesConfiguration) -> bool:
    return configuration.observation == "published-mock" and configuration.pixels == 256


def _kept(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Fractions of the full field's figures of merit, and what VMIM is held to."""
    numbers = []
    for of in (*configuration.objectives, LIKELIHOOD):
        known = PUBLISHED.get(of) if _comparable(configuration) else None
        for number, pair in enumerate(PAIRS):
            mean, error = mean_and_error(fractions(configuration, found, of, pair))
            bar = ">= 0.97" if of == "vmim" and _enough(configuration) else None
            name = f"kept/{of}/{plane(pair)}"
            numbers.append(Number(name, mean, error, bar, known and known[number], **costs(configuration, found, of)))
    return numbers


def _before_data(
    configuration: NeuralSummariesConfiguration, space: ParameterSpace, found: Mapping[str, Measured]
) -> list[Number]:
    """The same fractions of the prior, which a summary that knows nothing keeps."""
    draws = np.asarray(space.sample(jax.random.key(configuration.seed), (PRIOR_DRAWS,)))
    numbers = []
    for pair, merit in zip(PAIRS, figure_of_merit(draws, names=space.names, pairs=PAIRS).numbers, strict=True):
        numbers.append(
            Number(f"kept/prior/{plane(pair)}", *mean_and_error(merit.value / full_field(configuration, found, pair)))
        )
    return numbers


def _merits(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Figures of merit of VMIM, held to those of the full field that were published for the same maps."""
    if "vmim" not in configuration.objectives or not _comparable(configuration):
        return []
    numbers = []
    for pair, known in zip(PAIRS, PUBLISHED_VMIM, strict=True):
        values = _every_seed(configuration, found, "vmim", f"fom/{plane(pair)}")
        bar = _within(PUBLISHED_MERIT[pair])
        cost = costs(configuration, found, "vmim")
        numbers.append(Number(f"vmim/fom/{plane(pair)}", *mean_and_error(values), bar, known, **cost))
    return numbers


def _best(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """The best objective beside VMIM over VMIM, observation by observation, held to be no worse by more than two errors."""
    others = [of for of in configuration.objectives if of != "vmim"]
    if not others or len(others) == len(configuration.objectives):
        return []
    over = {of: np.mean([_ratio(configuration, found, of, "vmim", pair) for pair in PAIRS], axis=0) for of in others}
    best = max(over, key=lambda of: over[of].mean())
    mean, error = mean_and_error(over[best])
    bar = f">= {1 - 2 * (error or 0.0):.5g}" if _enough(configuration) else None
    return [Number(f"best other: {best} over vmim", mean, error, bar)]


def simulations(configuration: NeuralSummariesConfiguration, of: str) -> int:
    """Simulations behind an objective's posterior; those that tested it are not counted."""
    counts = configuration.simulations
    if of == LIKELIHOOD:
        return 0
    known = counts.estimate if configuration.network == "reconstruction" and of not in FIXED else 0
    return counts.training + counts.validation + known + (counts.fiducial if of == "imnn" else 0)


def costs(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured], of: str) -> Cost:
    """Simulations and their gradients behind the posterior of an objective; what tested it is not counted.

    Args:
        configuration: settings.
        found: what every cell measured.
        of: an objective, or `LIKELIHOOD`, whose chains, like those of the full field, cost gradients of one observation.
    """
    counts, gradients = configuration.simulations, 0
    if of == LIKELIHOOD:
        gradients = _mean_gradients(configuration, found, LIKELIHOOD)
    elif of not in FIXED:
        used = counts.training + counts.validation
        gradients = round(found[f"features/{configuration.network}"].gradients * used / (used + counts.calibration))
        gradients += found["estimate/reconstruction"].gradients if configuration.network == "reconstruction" else 0
        gradients += found["features/tangents"].gradients if of == "imnn" else 0
    return {"simulations": simulations(configuration, of), "gradients": gradients}


def _mean_gradients(configuration, found, group):
    cells = [found[f"{group}/{i}"] for i in range(configuration.observations)]
    return sum(cell.gradients for cell in cells) // len(cells)


def _within(known: float) -> str:
    return f"in [{0.95 * known:g}, {1.05 * known:g}]"


def _enough(configuration: NeuralSummariesConfiguration) -> bool:
    return configuration.observations >= ENOUGH


def _order(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """VMIM over regression over spectra, observation by observation, in units of the latter: above one by two errors."""
    numbers = []
    pairs = [("vmim", other) for other in REGRESSION] + [(other, LIKELIHOOD) for other in REGRESSION]
    for first, second in pairs:
        if {first, second} <= {*configuration.objectives, LIKELIHOOD}:
            for pair in PAIRS:
                mean, error = mean_and_error(_ratio(configuration, found, first, second, pair))
                bar = f"> {1 + 2 * (error or 0.0):.5g}" if _enough(configuration) else None
                numbers.append(Number(f"order/{first} over {second}/{plane(pair)}", mean, error, bar))
    return numbers


def _ratio(configuration, found, first, second, pair):
    return fractions(configuration, found, first, pair) / fractions(configuration, found, second, pair)


def _beside(configuration: NeuralSummariesConfiguration, found: Mapping[str, Measured]) -> list[Number]:
    """Distance from the full field, information in nats, calibration, and time to train."""
    floors = np.array([[found[f"floor/{i}"].values["c2st"] for i in range(configuration.observations)]])
    # Draws of a chain are correlated, so that its halves differ by more than chance and the classifier can tell them apart.
    numbers = [Number("c2st/between halves of the chains, correlated draws", *mean_and_error(floors))]
    for objective in configuration.objectives:
        cells = [found[f"{objective}/{seed}"].values for seed in range(configuration.seeds)]
        distances, cost = _every_seed(configuration, found, objective, "c2st"), costs(configuration, found, objective)
        numbers.append(Number(f"c2st/{objective}", *mean_and_error(distances), **cost))
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
