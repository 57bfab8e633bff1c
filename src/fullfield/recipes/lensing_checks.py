"""What the lensing recipe looks at beyond the common tests: its maps, its spectra, and maps of finer pixels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield import plots
from fullfield._core import stream
from fullfield.compression import compress
from fullfield.diagnostics import Budget, Number, ranks, regress, Report, tarp
from fullfield.fields import band_powers, Bands, block_average
from fullfield.inference import sample_many
from fullfield.recipes.problem import Illustration, Outcome
from fullfield.simulators import LensingModel


def infer_from_averaged_maps(outcome: Outcome, fine: LensingModel, count: int) -> Report:
    """Test the posterior on maps simulated with finer pixels and averaged to those it was trained on.

    If averaging is rightly part of the coarse model, the posterior is calibrated for them too.

    Args:
        outcome: finished run.
        fine: the same model on finer pixels.
        count: number of maps.
    """
    coarse = outcome.problem.model
    factor = fine.data_shape[0] // coarse.data_shape[0]
    key = stream(jax.random.key(outcome.configuration.seed), "averaged")

    @eqx.filter_jit
    def simulate(keys, fine):
        def one(key):
            theta = fine.parameters.sample(stream(key, "prior"))
            return theta, block_average(fine.simulate_at(stream(key, "maps"), theta), factor)

        return jax.lax.map(one, keys)

    truths, maps = simulate(jax.random.split(stream(key, "simulations"), count), fine)
    summaries = compress(outcome.compressor, maps)
    draws = sample_many(outcome.posterior, stream(key, "draws"), maps, outcome.configuration.calibration.draws)
    estimates = regress(outcome.training_theta, outcome.training_summaries, at=summaries)
    budget, names = Budget().shared(6), coarse.parameters.names
    reports = (
        ranks(truths, draws, names=names, estimates=estimates, budget=budget, key=stream(key, "ranks")).report,
        tarp(truths, draws, estimates=estimates, budget=budget, key=stream(key, "tarp")).report,
    )
    numbers = [number for report in reports for number in report.numbers]
    return Report(tuple(Number(f"averaged/{n.name}", n.value, n.uncertainty, n.bar, n.published, n.verdict) for n in numbers))


def picture(outcome: Outcome, bands: Bands) -> list[Illustration]:
    """Draw the observed maps, and their spectra over those of the posterior's replicas."""
    survey = outcome.problem.model.survey
    observed = np.where(True if survey.mask is None else np.asarray(survey.mask)[..., None], outcome.observation, np.nan)
    mean = np.trapezoid(survey.bins.density * survey.bins.z, survey.bins.z, axis=1)
    titles = [rf"bin {i + 1}, $\bar z$ = {z:.2f}" for i, z in enumerate(mean)]
    maps = plots.map_row(np.moveaxis(observed, -1, 0), titles, side=survey.sky.side)
    pairs, count = len(survey.bins.pairs), len(bands.centres)
    replicas = outcome.replicas.reshape(-1, pairs, count)
    powers = np.asarray(band_powers(bands, jnp.asarray(outcome.observation)))
    spectra = plots.spectra_triangle(bands.centres, powers, replicas, survey.bins.size)
    return [
        Illustration("Observation", "maps", maps, "The observed convergence maps, noise included."),
        Illustration(
            "Prediction", "spectra", spectra,
            "Spectra of the observed maps (points, noise included) and of maps simulated at posterior draws (68 % and 95 %).",
        ),
    ]  # fmt: skip
