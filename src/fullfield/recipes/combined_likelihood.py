"""The paper's own route from maps to posterior, on the spectra of both probes, beside VMIM and NPE.

A network predicts estimates and their precision, a mixture of Gaussians learns the likelihood of the estimates, and the
posterior is sampled (Kacprzak & Fluri 2022, PRX 12, 031029, section IV). The likelihood is held to their appendix C.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import compress, estimates, PredictedPrecision, train_compressor, whitened
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import likelihood_accuracy
from fullfield.inference import sample_many
from fullfield.inference.implicit import train_nle
from fullfield.networks import mixture, MLP
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.combined_bench import AVERAGE, CombinedBench, PARTS
from fullfield.recipes.combined_surveys import draw_parameters, read_surveys, simulate_surveys
from fullfield.recipes.study import Measured
from fullfield.training import autoclip, cosine_adam


POINTS, EACH = 40, 50  # parameter vectors at which the likelihood is held against so many simulations
ASKED = 20  # observations, which take seconds each to sample


def take_their_route(bench: CombinedBench, folder: pathlib.Path, progress: Progress) -> Measured:
    """Estimates with a predicted precision, mixture likelihood, posterior; writes draws as every analysis does."""
    settings, parameters, key = bench.configuration.training, bench.model.parameters, bench.key("likelihood")
    theta, rows = bench.parameters_of("spectra", folder), bench.rows("spectra", "combined", folder)
    p, tries = parameters.size, _verification(bench, folder, progress)
    source, held_out = (StoredSimulations(theta[part], rows[part], batch_size=settings.batch) for part in PARTS[:2])
    steps, network = settings.epochs * source.steps_per_epoch, PredictedPrecision().least_summaries(p)
    adam = optax.warmup_cosine_decay_schedule(0.0, settings.learning_rate, max(1, steps // 20), max(2, steps))
    outputs, _ = train_compressor(
        PredictedPrecision(), MLP(rows["training"].shape[1], network, key=stream(key, "network"), width=settings.width),
        parameters, source, held_out, key=stream(key, "training"),
        optimiser=optax.named_chain(("clip", autoclip(50.0)), ("adam", optax.adam(adam))), max_epochs=settings.epochs,
        patience=settings.epochs, average=AVERAGE, checkpoint=folder / "training", progress=progress, stage="estimates",
    )  # fmt: skip
    compressor = whitened(estimates(outputs, p), rows["training"])
    t = {part: compress(compressor, values, batch_size=200) for part, values in rows.items()}
    source, held_out = (StoredSimulations(theta[part], t[part], batch_size=settings.batch) for part in PARTS[:2])
    posterior, _ = train_nle(
        parameters, source, held_out, key=stream(key, "likelihood"),
        density=functools.partial(mixture, components=4, width=128, depth=2),
        optimiser=cosine_adam(settings.learning_rate / 5, settings.epochs * source.steps_per_epoch),
        max_epochs=settings.epochs, patience=settings.epochs, average=AVERAGE, checkpoint=folder / "likelihood",
        progress=progress, stage="likelihood",
    )  # fmt: skip
    at, simulated = tries["theta"][::EACH], compress(compressor, tries["spectra/combined"], batch_size=200)
    keys = jax.random.split(stream(key, "verification"), POINTS)
    learnt = np.stack(
        [np.asarray(posterior.simulate(one, jnp.asarray(point), 1000)) for one, point in zip(keys, at, strict=True)]
    )
    accuracy = likelihood_accuracy(simulated.reshape(POINTS, EACH, p), learnt, names=[f"summary {i + 1}" for i in range(p)])
    found = sample_many(posterior, stream(key, "draws"), t["observations"][:ASKED], settings.draws, progress=progress)
    write_arrays(folder / "draws.npz", theta=found)
    values = {number.name: float(number.value) for number in accuracy.report.numbers}
    return Measured(values, simulations=POINTS * EACH)


def _verification(bench: CombinedBench, folder: pathlib.Path, progress: Progress):
    """Surveys that share parameters, each with a light cone of its own."""
    parameters, key = bench.model.parameters, bench.key("verification")
    theta = jnp.repeat(draw_parameters(parameters, stream(key, "prior"), POINTS), EACH, axis=0)
    simulate_surveys(
        bench.model, bench.scaled, bench.bands, jax.random.split(stream(key, "fields"), POINTS * EACH), theta, folder,
        part="verification", fields=bench.configuration.fields, progress=progress, with_maps=False,
    )  # fmt: skip
    return read_surveys(folder, "verification")
