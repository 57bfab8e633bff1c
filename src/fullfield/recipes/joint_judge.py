"""What a joint study says: is the posterior calibrated in parameters, maps and both, and does it agree with the answer."""

from collections.abc import Mapping

import numpy as np

from fullfield.diagnostics import mira_null_mean, Number, Report
from fullfield.recipes.joint_bench import AbstractBench
from fullfield.recipes.study import Measured


PARTS = ("theta", "kappa", "joint")
RULES = ("uniform", "other_truth", "estimate")
MIRA_BARS = {"uniform": 1.5, "other_truth": 3.0, "estimate": 1.5}
"""Deviations of the exact null by kind of centre. Uniform ones are as published, and estimates see a posterior equal to the
prior. Other truths see no fault that these two miss, so that a hard bar would only add to the misses of exact posteriors."""
PUBLISHED_MIRA = 0.635
"""Joint MIRA score of Remy et al. 2026 (arXiv:2606.31988, abstract), optimum 2/3 for many draws."""


def judge(bench: AbstractBench, found: Mapping[str, Measured]) -> Report:
    """Numbers of the study.

    Args:
        bench: the problem.
        found: what every cell measured, by its name.
    """
    settings = bench.configuration
    calibration = found["calibration/joint"].values
    numbers = [
        *_against_reference(bench, found),
        *_calibrated(
            calibration,
            found["calibration/errors"].values,
            getattr(found.get("calibration/exact"), "values", {}),
            settings.draws,
        ),
        *_field(bench, calibration),
    ]
    numbers += [*_means(bench, found)]
    if "denoiser/prior" in found:
        prior = found["denoiser/prior"].values
        numbers.append(Number("prior/c2st of parameters", prior["c2st/parameters"]))
        numbers.append(Number("prior/c2st of parameters and band powers", prior["c2st"]))
    full = bench.sky.pixels >= 64
    speed = found["speed/draws"].values["draws_per_second"]
    numbers.append(Number("speed/joint draws per second", speed, bar=">= 5" if full else None))
    for name, label in (("seconds", "seconds"), ("loss", "held-out loss of the denoiser")):
        numbers.append(Number(f"training/{label}", found["denoiser/posterior"].values[name]))
    return Report(tuple(numbers))


def _against_reference(bench, found):
    rows = [found[f"observation/{i}"].values for i in range(bench.configuration.observations)]
    compared = (
        ("c2st", "theta/c2st against the reference", "<= 0.56"),
        ("c2st/alone", "theta/c2st of parameters alone", None),
        ("c2st/npe", "theta/c2st of NPE", None),
        ("c2st/floor", "theta/c2st of one half of the reference", None),
    )
    for name, label, bar in compared:
        values = np.array([row[name] for row in rows])
        yield Number(label, *_mean(values), bar)
    for name in bench.model.parameters.names:
        for kind in ("shift", "width"):
            yield Number(f"theta/{kind}/{name}", *_mean(np.array([row[f"{kind}/{name}"] for row in rows])))
    for kind, label in (("spread", "deviation over the reference's"), ("difference", "difference of means in deviations")):
        yield Number(f"kappa/{label}", *_mean(np.array([row[f"map/{kind}"] for row in rows])))


def _calibrated(values, errors, exact, draws):
    failed = [name for name in values if name.startswith("failed/")]
    total = sum(name.startswith("number/") for name in values)
    for part in PARTS:
        for rule in RULES:
            z = values[f"number/{part}/mira/{rule}/z"]
            score = values[f"number/{part}/mira/{rule}/score"]
            published = PUBLISHED_MIRA if part == "joint" and rule == "uniform" else None
            bar = f"<= {MIRA_BARS[rule]:g}"
            yield Number(f"{part}/mira/{rule}", score, errors[f"{part}/mira/{rule}"], published=published)
            yield Number(f"{part}/mira/{rule}, deviations from {mira_null_mean(draws):.4f}", abs(z), bar=bar)
            if exact:
                yield Number(f"{part}/mira/{rule}, deviations of the exact posterior there", abs(exact[f"{part}/mira/{rule}"]))
            yield Number(f"{part}/tarp/{rule}, largest deviation", values[f"number/{part}/tarp/{rule}/deviation"])
            held = part != "joint" and rule != "other_truth"
            inside = values[f"inside/{part}/{rule}"]
            yield Number(f"{part}/tarp/{rule}, inside the 95 % band", inside, bar=">= 1" if held else None)
    yield Number("calibration/tests that fail", float(len(failed)), bar="<= 0")
    yield Number("calibration/tests", float(total))


def _field(bench, values):
    for name, value in values.items():
        if name.startswith("number/kappa/field/z2/"):
            yield Number(name.removeprefix("number/"), value, bar="in [0.9, 1.1]")
        if name.startswith("over Wiener/"):
            yield Number(f"kappa/correlation {name}", value, bar=">= 1")


def _means(bench, found):
    """Cross-correlation of the mean map with the truth over that of the reference's mean, band by band."""
    rows = [found[f"observation/{i}"].values for i in range(bench.configuration.observations)]
    for band, ell in enumerate(bench.bands.centres):
        power = lambda name, band=band: sum(row[f"power/{name}/{band}"] for row in rows)  # noqa: E731
        ours = power("truth-mean") / np.sqrt(power("mean-mean"))
        exact = power("truth-exact") / np.sqrt(power("exact-exact"))
        yield Number(f"kappa/correlation over the reference's/ell_{ell:.0f}", float(ours / exact), bar="in [0.97, 1.03]")


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    """Mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None
