"""Milliseconds for one noisy tomographic map, spectra of a new cosmology included, against sbi_lens."""

import time

import jax
import numpy as np

from fullfield.simulators import lsst_y10_model


# sbi_lens is on no package index, so it is measured only where it was installed by hand. These are its milliseconds a map,
# spectra included, on one core of a 2.5 GHz Xeon, and how many times faster a map should be here.
EARLIER = {256: (280.0, 25), 64: (69.0, 45)}
BATCH = 8


def run() -> list[dict]:
    return [row(pixels) for pixels in EARLIER]


def row(pixels: int) -> dict:
    ours, compile_time = ours_ms(pixels)
    earlier, factor = EARLIER[pixels]
    peer = peer_ms(pixels)
    return {
        "name": f"{pixels}² x 5 map",
        "ours": ours,
        "peer": peer,
        "ratio": None if peer is None else peer / ours,
        "unit": "ms",
        "bar": f"<= {earlier / factor:.3g}",
        "met": ours <= earlier / factor,
        "note": f"compiled in {compile_time:.1f} s; sbi_lens: {earlier:g} ms on a 2.5 GHz Xeon, {earlier / ours:.0f}x",
    }


def ours_ms(pixels: int) -> tuple[float, float]:
    model = lsst_y10_model(pixels)
    start = time.perf_counter()
    jax.block_until_ready(model.simulate(jax.random.key(0), BATCH).data)
    first = time.perf_counter() - start
    return best(lambda: model.simulate(jax.random.key(1), BATCH).data) / BATCH * 1e3, first


def peer_ms(pixels: int) -> float | None:
    try:
        from numpyro.handlers import condition, seed, trace
        from sbi_lens.config import config_lsst_y_10 as survey
        from sbi_lens.simulator.LogNormal_field import lensingLogNormal
    except ImportError:
        return None
    settings = {
        "N": pixels,
        "map_size": survey.map_size,
        "gal_per_arcmin2": survey.gals_per_arcmin2,
        "sigma_e": survey.sigma_e,
        "nbins": survey.nbins,
        "a": survey.a,
        "b": survey.b,
        "z0": survey.z0,
        "model_type": "lognormal",
        "lognormal_shifts": "LSSTY10",
        "with_noise": True,
    }
    names = ("omega_c", "omega_b", "sigma_8", "h_0", "n_s", "w_0")
    theta = lsst_y10_model(64).parameters.sample(jax.random.key(0), (BATCH,))

    @jax.jit
    @jax.vmap
    def simulate(key, theta):
        program = condition(lambda: lensingLogNormal(**settings), dict(zip(names, theta, strict=True)))
        return trace(seed(program, key)).get_trace()["y"]["value"]

    keys = jax.random.split(jax.random.PRNGKey(1), BATCH)
    jax.block_until_ready(simulate(keys, theta))
    return best(lambda: simulate(keys, theta)) / BATCH * 1e3


def best(call, repeats: int = 30) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return float(np.min(seconds))


if __name__ == "__main__":
    for line in run():
        print(line)
