"""From an outcome to a verdict, pictures and a page."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from fullfield import plots
from fullfield._core import stream
from fullfield.diagnostics import (
    Budget,
    calibrate,
    Calibration,
    figure_of_merit,
    merge,
    misspecification,
    Number,
    predictive,
    regress,
    Report,
)
from fullfield.recipes.configuration import Configuration
from fullfield.recipes.problem import HeldOut, Illustration, Outcome
from fullfield.recipes.rundir import RunDirectory
from fullfield.report import (
    Cost,
    hardware,
    Interval,
    NumberRecord,
    peak_memory_gb,
    Picture,
    revision,
    RunReport,
    versions,
    write_page,
    write_report,
)


PRIOR_DRAWS = 20_000
SECTIONS = ("Observation", "Posterior", "Prediction", "Calibration", "Training")


def diagnose(outcome: Outcome, key: Key[Array, ""]) -> tuple[Report, Calibration]:
    """Test the posterior on held-out simulations, on those of other models, and at the observation."""
    space, held_out, summaries = outcome.problem.model.parameters, outcome.held_out, outcome.training_summaries
    observed = np.asarray(outcome.compressor(jnp.asarray(outcome.observation)))
    statistic = outcome.problem.measure(outcome.compressor)
    budget = Budget().shared(3 + len(outcome.variants))
    calibration = _calibrate(outcome, held_out, budget, stream(key, "calibration"))
    reports = [
        calibration.report,
        misspecification(observed, summaries, held_out.summaries, budget=budget).report,
        predictive(
            np.asarray(statistic(jnp.asarray(outcome.observation))), outcome.replicas,
            name="statistic", budget=budget, key=stream(key, "predictive"),
        ).report,
        *(
            _named(name, _calibrate(outcome, variant, budget, stream(key, name)).report)
            for name, variant in outcome.variants.items()
        ),
    ]  # fmt: skip
    if len(space.names) > 1:
        reports.append(figure_of_merit(outcome.draws, names=space.names, published=outcome.problem.published_merit))
    if outcome.problem.examine is not None:
        reports.append(outcome.problem.examine(outcome))
    return merge(reports), calibration


def _calibrate(outcome: Outcome, held_out: HeldOut, budget: Budget, key: Key[Array, ""]) -> Calibration:
    space = outcome.problem.model.parameters
    log_prior = eqx.filter_jit(space.log_prob)
    log_probs = (held_out.log_prob_truths, held_out.log_prob_draws)
    # How much the data raised the density over the prior's. On the very edge of a prior both may be zero.
    truths, draws = (
        values - np.where(np.isneginf(values), 0, log_prior(jnp.asarray(theta)))
        for theta, values in zip((held_out.truths, held_out.draws), log_probs, strict=True)
    )
    return calibrate(
        held_out.truths, held_out.draws,
        names=space.names,
        estimates=regress(outcome.training_theta, outcome.training_summaries, at=held_out.summaries),
        log_probs=log_probs,
        quantities={"gain": (truths, draws)},
        budget=budget, key=key,
    )  # fmt: skip


def _named(prefix: str, report: Report) -> Report:
    numbers = (Number(f"{prefix}/{n.name}", n.value, n.uncertainty, n.bar, n.published, n.verdict) for n in report.numbers)
    return Report(tuple(numbers))


def illustrate(outcome: Outcome, calibration: Calibration, key: Key[Array, ""]) -> list[Illustration]:
    """Figures that every report has, and those of the recipe."""
    space = outcome.problem.model.parameters
    own = outcome.problem.illustrate(outcome) if outcome.problem.illustrate else []
    pictures = [*own]
    data = outcome.observation
    if not any(picture.section == "Observation" for picture in own) and data.ndim == 1:
        pictures.append(Illustration("Observation", "observation", plots.data_vector(data), "The observed data."))
    others = {"prior": np.asarray(space.sample(stream(key, "prior"), (PRIOR_DRAWS,)))}
    caption = "Posterior and prior; contours hold 68 % and 95 % of the probability."
    if outcome.problem.exact is not None:
        others["exact"] = np.asarray(outcome.problem.exact(stream(key, "exact"), jnp.asarray(data), len(outcome.draws)))
        caption = "Posterior, prior, and the exact posterior; contours hold 68 % and 95 % of the probability."
    figure = plots.corner(outcome.draws, space.labels, space.bounds, truth=outcome.truth, others=others)
    pictures.append(Illustration("Posterior", "corner", figure, caption))
    losses = {name: (history.train_loss, history.held_out) for name, history in outcome.histories.items()}
    caption = "Training and held-out loss; the weights of the marked epoch are kept."
    pictures.append(Illustration("Training", "training", plots.loss_curves(losses), caption))
    pictures += _calibration_pictures(calibration, space)
    return sorted(
        pictures, key=lambda picture: SECTIONS.index(picture.section) if picture.section in SECTIONS else len(SECTIONS)
    )


def _calibration_pictures(calibration, space):
    pictures = []
    chosen = {"tarp": (calibration.tarp.curves, "estimate", "TARP"), "coverage": (calibration.coverage.curves, "hpd", "HPD")}
    captions = {
        "tarp": "Coverage of balls around data-dependent random points; an exact posterior stays inside the band with 95 % "
        "probability as a whole.",
        "coverage": "Coverage of highest-density regions.",
    }
    for name, (curves, label, title) in chosen.items():
        row = curves.values[curves.labels.index(label)]
        figure = plots.coverage_curve(curves.alpha, row, curves.low, curves.high, title=title)
        pictures.append(Illustration("Calibration", name, figure, captions[name]))
    curves = calibration.ranks.curves
    band = np.stack([curves.low, curves.high]) - curves.alpha
    labels = [*space.labels, *(rf"\mathrm{{{name}}}" for name in curves.labels[space.size :])]
    figure = plots.rank_curves(curves.alpha, curves.values - curves.alpha, band, labels)
    caption = (
        "Ranks of the truth among the draws, per parameter and for the gain in density over the prior. Grey: 95 % band of one "
        "curve; the verdict judges all together, by wider bars."
    )
    return [*pictures, Illustration("Calibration", "ranks", figure, caption)]


def write_outputs(
    outcome: Outcome,
    numbers: Report,
    pictures: list[Illustration],
    *,
    command: str,
    summary: str,
    citations: Mapping[str, str],
    seconds: Callable[[], float],
) -> RunReport:
    """Write figures, report.json and report.html; `seconds` tells how long testing and drawing have taken so far."""
    directory, configuration, space = outcome.directory, outcome.configuration, outcome.problem.model.parameters
    for picture in pictures:
        plots.save_figure(picture.figure, directory.figure(picture.name))
    report = record(configuration, directory, numbers, command=command, seconds=seconds())
    columns = zip(space.names, outcome.draws.T, strict=True)
    truth = [None] * space.size if outcome.truth is None else [float(value) for value in outcome.truth]
    intervals = [Interval(n, float(x.mean()), float(x.std()), t) for (n, x), t in zip(columns, truth, strict=True)]
    write_page(
        directory.page, report, summary=summary, intervals=intervals,
        pictures=[Picture(entry.section, directory.figure(entry.name), entry.caption) for entry in pictures],
        citations=citations, configuration=configuration.to_yaml(),
    )  # fmt: skip
    # Last, for its presence says that the run is finished.
    write_report(directory.report, report)
    return report


def record(
    configuration: Configuration, directory: RunDirectory, numbers: Report, *, command: str, seconds: float
) -> RunReport:
    """The record of a finished run: its numbers, what all its stages cost, and with what it was made.

    Args:
        configuration: settings.
        directory: where the stages left their records.
        numbers: what was found.
        command: what the user typed.
        seconds: how long testing and drawing took.
    """
    stages = directory.stages()
    return RunReport(
        recipe=configuration.recipe,
        scale=configuration.scale,
        seed=configuration.seed,
        verdict=numbers.verdict,
        numbers=[NumberRecord.model_validate(number.to_dict()) for number in numbers.numbers],
        cost=Cost(
            simulations=sum(stage.simulations for stage in stages.values()),
            gradients=sum(stage.gradients for stage in stages.values()),
            seconds={name: stage.seconds for name, stage in stages.items()} | {"report": seconds},
            peak_memory_gb=max([peak_memory_gb(), *(stage.peak_memory_gb for stage in stages.values())]),
        ),
        versions=versions(),
        # A run that was continued may be of several.
        revision=", ".join(dict.fromkeys(filter(None, (*(stage.revision for stage in stages.values()), revision())))) or None,
        hardware=hardware(),
        command=command,
    )
