"""Mass maps: milliseconds of a Wiener filter, and what sparse and learnt maps miss beside smoothed and Wiener filtered ones."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from fullfield.datasets import OnlineSimulations
from fullfield.fields import (
    FlatSky,
    gaussian_field,
    KaiserSquires,
    Lattice,
    lognormal_field,
    normal,
    power_root,
    SparseStarlet,
    WienerFilter,
)
from fullfield.generative import Observed, train_mass_map
from fullfield.networks import UNet
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.recipes import RECIPES
from fullfield.recipes.mass_map_bench import ShearBench
from fullfield.simulators import BlackBoxModel
from fullfield.training import cosine_adam


PIXELS, MAPS, HIGHEST = 64, 24, 0.005
SKY, SIGMA = FlatSky(PIXELS, 5.0), 0.005  # noise of each shear component in a pixel
WIDTHS = (0.0, 1.5, 3.0, 6.0)  # arcmin
STEPS, BATCH, SMALL = 2500, 8, FlatSky(16, 5.0)  # training of the learnt map, and its patch


def run() -> list[dict]:
    return [wiener(), *sparse(), learnt()]


def wiener() -> dict:
    bench = ShearBench(RECIPES["mass-map-cosmology"].configure({"pixels": PIXELS}))
    shear, times = bench.observe(0)[2], []
    method = WienerFilter(bench.sky, bench.power, bench.model.noise)
    jax.block_until_ready(method(shear))
    for _ in range(30):
        start = time.perf_counter()
        jax.block_until_ready(method(shear))
        times.append(time.perf_counter() - start)
    masked = float(jnp.mean(jnp.isinf(bench.model.noise)))
    note = f"{100 * masked:.0f} % masked; {int(method.solve(shear).steps)} iterations to {method.tolerance:g} deviations"
    return row(f"WienerFilter, {PIXELS}² x 5 map", min(times) * 1e3, None, note, unit="ms")


def sparse() -> list[dict]:
    """Squared errors over the mean square of lognormal maps of skewness 2.4, signal over noise 4, with holes."""
    lattice = Lattice(SKY)
    multipoles = np.asarray(lattice.multipoles)
    spectra = jnp.asarray(4e-10 * (multipoles / 1000) ** -1.3 / (1 + multipoles / 5000), jnp.float32)[None]
    noise = np.where(holes(), SIGMA, np.inf).astype(np.float32)[..., None]
    observed = Observed(noise)

    @jax.jit
    @jax.vmap
    def observe(key):
        field, own = jax.random.split(key)
        kappa = lognormal_field(lattice, spectra, jnp.array([0.03]), normal(field, (1, PIXELS, PIXELS)))
        return observed(own, jnp.zeros(1), kappa - jnp.mean(kappa, axis=(0, 1)))

    data = observe(jax.random.split(jax.random.key(0), MAPS))
    truth = np.asarray(data[..., 2])
    high = truth > np.quantile(truth, 1 - HIGHEST)

    def errors(estimate):
        square = (np.asarray(jax.lax.map(estimate, data[..., :2])) - truth) ** 2
        return np.array([square[where].mean() / (truth[where] ** 2).mean() for where in (high, high | True)])

    found = errors(SparseStarlet(noise))
    smoothed = np.array([errors(KaiserSquires(SKY, width)) for width in WIDTHS])
    filtered = errors(WienerFilter(SKY, lattice.power(spectra), noise))
    rows = []
    for name, i in ((f"highest {100 * HIGHEST:g} % of pixels", 0), ("all pixels", 1)):
        best = int(np.argmin(smoothed[:, i]))
        note = f"beside Kaiser-Squires at its best smoothing, {WIDTHS[best]:g} arcmin; Wiener {filtered[i]:.3f}"
        rows.append(row(f"SparseStarlet, squared error, {name}", found[i], float(smoothed[best, i]), note))
    return rows


def holes():
    y, x = np.indices((PIXELS, PIXELS))
    random = np.random.default_rng(0)
    seen = np.ones((PIXELS, PIXELS), bool)
    for cy, cx, radius in zip(*random.uniform(0, PIXELS, (2, 8)), random.uniform(2, 6, 8), strict=True):
        seen &= np.hypot(y - cy, x - cx) > radius
    return seen


def learnt() -> dict:
    """Squared error on Gaussian fields over that of the exact posterior mean, the Wiener filter's."""
    n, m = SMALL.pixels, SMALL.pixels // 2 + 1
    mode, (y, x) = np.hypot(*np.indices((m, m))), np.indices((n, n))
    pixel = (SMALL.side_radians / n) ** 2
    power = jnp.asarray(np.where(mode > 0, np.maximum(mode, 1) ** -2.0, 0.0)[None] * 20 * 0.02**2 * pixel, jnp.float32)
    sigma = 0.02 * np.exp(0.3 * np.random.default_rng(0).normal(size=(n, n)))
    noise = np.where(np.hypot(y - 5, x - 5) < 2.5, np.inf, sigma).astype(np.float32)[..., None]

    def convergence(key, theta):
        return jnp.moveaxis(gaussian_field(SMALL, power_root(power), normal(key, (1, n, n))), 0, -1)

    model, observed = BlackBoxModel(convergence, ParameterSpace({"unused": Parameter(dist.Normal(0.0, 1.0))})), Observed(noise)
    found, _ = train_mass_map(
        UNet((n, n, 2), 1, key=jax.random.key(1), widths=(16, 24), blocks=1), noise,
        OnlineSimulations(model, BATCH, STEPS, observed), OnlineSimulations(model, 200, 1, observed), key=jax.random.key(2),
        optimiser=cosine_adam(2e-2, STEPS), max_epochs=1, average=0.98,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(9), 1000)
    data = jax.jit(jax.vmap(lambda key: observed(key, jnp.zeros(1), convergence(jax.random.fold_in(key, 1), None))))(keys)
    ours, exact = (
        float(jnp.mean((jax.lax.map(method, data[..., :2], batch_size=50) - data[..., 2]) ** 2)) / float(jnp.var(data[..., 2]))
        for method in (found, WienerFilter(SMALL, power, noise))
    )
    note = f"beside the exact posterior mean of Gaussian fields; {STEPS} steps of batch {BATCH}"
    return row("LearntMassMap, squared error", ours, exact, note, bar="<= 1.02 of the exact one", met=ours <= 1.02 * exact)


def row(name: str, ours: float, peer: float | None, note: str, **more) -> dict:
    ratio = None if peer is None else float(peer / ours)
    return {"name": name, "ours": float(ours), "peer": peer, "ratio": ratio, "note": note, **more}


if __name__ == "__main__":
    for line in run():
        print(line)
