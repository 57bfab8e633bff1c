"""Seconds to train NPE on 10 000 two-moons simulations, and what the posterior is worth, against `sbi`."""

import contextlib
import functools
import io
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import c2st
from fullfield.inference import sample_many, train_npe
from fullfield.networks import spline_flow
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.training import cosine_adam


# Task and observations 1 to 5 of the sbibm benchmark (Lueckmann et al. 2021, arXiv:2101.04653, appendix T.8).
OBSERVATIONS = np.array(
    [
        [-0.639670600, 0.162346570],
        [-0.567668800, -0.331948340],
        [0.003010958, -0.645766200],
        [-0.250493880, 0.633055000],
        [-0.664635840, -0.426045330],
    ]
)
SIMULATIONS, HELD_OUT, DRAWS = 10_000, 1_000, 2_000
SPACE = ParameterSpace({f"theta_{i}": Parameter(dist.Uniform(-1.0, 1.0)) for i in (1, 2)})
EPOCHS, BATCH, RATE = 40, 256, 2e-2


def run() -> list[dict]:
    theta, data = simulate(np.random.default_rng(0))
    ours, peer = measure_ours(theta, data), measure_sbi(theta, data)
    note = f"{ours['epochs']} epochs" + (f" against {peer['epochs']}" if peer else "") + ", 10 000 simulations, draws included"
    rows = []
    for name, seconds, factor in (("compile included", ours["first"], 10), ("compiled before", ours["second"], 20)):
        ratio = peer and peer["seconds"] / seconds
        row = {"name": f"NPE, {name}", "ours": seconds, "peer": peer and peer["seconds"], "ratio": ratio, "unit": "s"}
        rows.append(row | {"bar": f">= {factor}x sbi 0.27", "met": ratio and ratio >= factor, "note": note})
    quality = {
        "name": "C2ST, mean of 5 observations",
        "ours": ours["c2st"],
        "peer": peer and peer["c2st"],
        "ratio": None,
        "unit": "",
        "bar": "no worse than sbi 0.27",
        "met": peer and ours["c2st"] <= peer["c2st"],
        "note": f"{DRAWS} draws each, against exact draws; ours the mean of two trainings",
    }
    return [*rows, quality]


def noise(random: np.random.Generator, n: int) -> np.ndarray:
    """Points (n, 2) on the crescent."""
    angle, radius = random.uniform(-np.pi / 2, np.pi / 2, n), random.normal(0.1, 0.01, n)
    return np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1)


def simulate(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    theta = random.uniform(-1, 1, (SIMULATIONS, 2))
    shift = np.stack([-np.abs(theta.sum(1)), theta[:, 1] - theta[:, 0]], axis=1) / np.sqrt(2)
    return theta.astype(np.float32), (noise(random, SIMULATIONS) + shift).astype(np.float32)


def exact_draws(random: np.random.Generator, observation: np.ndarray) -> np.ndarray:
    """Exact posterior draws (n, 2): noise that explains the observation, and both parameters that make the rest."""
    rest = np.sqrt(2) * (observation - noise(random, 4 * DRAWS))
    total = random.choice([-1, 1], len(rest)) * -rest[:, 0]
    theta = np.stack([total - rest[:, 1], total + rest[:, 1]], axis=1) / 2
    return theta[(rest[:, 0] <= 0) & (np.abs(theta) <= 1).all(axis=1)][:DRAWS]


def quality(draws: np.ndarray) -> float:
    """Mean C2ST of draws (5, n, 2)."""
    random = np.random.default_rng(1)
    values = [
        c2st(drawn, exact_draws(random, observation), key=jax.random.key(0)).numbers[0].value
        for drawn, observation in zip(draws, OBSERVATIONS, strict=True)
    ]
    return float(np.mean(values))


def measure_ours(theta: np.ndarray, data: np.ndarray) -> dict:
    train = StoredSimulations(theta[HELD_OUT:], data[HELD_OUT:], batch_size=BATCH)
    held_out = StoredSimulations(theta[:HELD_OUT], data[:HELD_OUT], batch_size=HELD_OUT)
    # One optimiser object for both runs, since a new one would be compiled anew.
    settings = {
        "density": functools.partial(spline_flow, width=32),
        "optimiser": cosine_adam(RATE, EPOCHS * train.steps_per_epoch),
    }
    seconds, qualities = [], []
    for seed in (0, 1):
        start = time.perf_counter()
        posterior, history = train_npe(SPACE, train, held_out, key=jax.random.key(seed), max_epochs=EPOCHS, **settings)
        draws = sample_many(posterior, jax.random.key(2), jnp.asarray(OBSERVATIONS, jnp.float32), DRAWS)
        seconds.append(time.perf_counter() - start)
        qualities.append(quality(draws))
    return {"first": seconds[0], "second": seconds[1], "epochs": history.epochs, "c2st": float(np.mean(qualities))}


def measure_sbi(theta: np.ndarray, data: np.ndarray) -> dict | None:
    try:
        import torch
        from sbi.inference import NPE
        from sbi.utils import BoxUniform
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.perf_counter()
    # It writes a log folder where it stands.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        trainer = NPE(BoxUniform(-torch.ones(2), torch.ones(2)))
        trainer.append_simulations(torch.tensor(theta), torch.tensor(data))
        trainer.train()
    posterior = trainer.build_posterior()
    draws = [
        posterior.sample((DRAWS,), x=torch.tensor(x, dtype=torch.float32), show_progress_bars=False).numpy()
        for x in OBSERVATIONS
    ]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "epochs": trainer.summary["epochs_trained"][-1], "c2st": quality(np.stack(draws))}


if __name__ == "__main__":
    for line in run():
        print(line)
