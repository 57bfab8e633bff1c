"""Milliseconds for the 15 lensing spectra of five bins on 64 multipoles, one new cosmology each, against jax-cosmo.

Pin the process to one core to compare: `taskset -c 0 fullfield bench angular_spectra`.
"""

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from fullfield.cosmology import Cosmology, lensing_spectra, smail_bins


FIDUCIAL = (0.2664, 0.0492, 0.6727, 0.9645, 0.831, -1.0)  # omega_c, omega_b, h, n_s, sigma_8, w_0
MULTIPOLES = np.geomspace(10, 5000, 64)
COSMOLOGIES = 64
CHUNK = 16  # of the batch; arrays of this many cosmologies stay in the cache of one core


def run() -> list[dict]:
    forward, forward_compile = ours(spectra)
    gradient, _ = ours(jax.grad(log_sum))
    compilation = gradient_compile()
    peer = peer_ms()
    what = f"batch of {COSMOLOGIES} cosmologies, {CHUNK} at a time"
    return [
        {
            "name": "15 C_ℓ on 64 multipoles",
            "ours": forward,
            "peer": peer,
            "ratio": None if peer is None else peer / forward,
            "unit": "ms",
            "bar": ">= 300x jax-cosmo 0.1",
            "met": None if peer is None else peer / forward >= 300,
            "note": f"{what}; compiled in {forward_compile:.1f} s",
        },
        {
            "name": "their gradient in six parameters",
            "ours": gradient,
            "peer": None,
            "ratio": None,
            "unit": "ms",
            "bar": f"<= {6 * forward:.3g}",
            "met": gradient <= 6 * forward,
            "note": f"reverse mode, {gradient / forward:.1f}x the spectra",
        },
        {
            "name": "compilation of that gradient",
            "ours": compilation,
            "peer": None,
            "ratio": None,
            "unit": "s",
            "bar": "<= 10",
            "met": compilation <= 10,
            "note": "for one cosmology, tracing included, on all cores",
        },
    ]


def spectra(theta, bins):
    return lensing_spectra(Cosmology(*theta), bins, jnp.asarray(MULTIPOLES, float))


def log_sum(theta, bins):
    return jnp.sum(jnp.log(spectra(theta, bins)))


def gradient_compile() -> float:
    """Seconds to compile the gradient at one cosmology, in a process that may use every core."""
    done = subprocess.run([sys.executable, __file__, "compile"], capture_output=True, text=True, check=True)
    return float(done.stdout)


def ours(function) -> tuple[float, float]:
    noise = np.random.default_rng(0).uniform(-1, 1, (COSMOLOGIES, 6))
    thetas = jnp.asarray(np.array(FIDUCIAL) * (1 + 0.1 * noise), float)
    bins = smail_bins()
    batch = jax.jit(lambda thetas, bins: jax.lax.map(lambda theta: function(theta, bins), thetas, batch_size=CHUNK))
    start = time.perf_counter()
    compiled = batch.lower(thetas, bins).compile()
    compile_time = time.perf_counter() - start
    return best(lambda: compiled(thetas, bins)) / COSMOLOGIES, compile_time


def peer_ms() -> float | None:
    try:
        import jax_cosmo
    except ImportError:
        return None

    # Five Smail distributions cost what five photometric bins do: nearly all of it is the search for the non-linear scale.
    sources = [jax_cosmo.redshift.smail_nz(2.0, 0.68, z_0, gals_per_arcmin2=5.4) for z_0 in (0.05, 0.08, 0.11, 0.15, 0.2)]

    @jax.jit
    def one(theta):
        omega_c, omega_b, h, n_s, sigma_8, w_0 = theta
        cosmology = jax_cosmo.Cosmology(
            Omega_c=omega_c, Omega_b=omega_b, h=h, n_s=n_s, sigma8=sigma_8, w0=w_0, wa=0.0, Omega_k=0.0
        )
        return jax_cosmo.angular_cl.angular_cl(cosmology, jnp.asarray(MULTIPOLES), [jax_cosmo.probes.WeakLensing(sources)])

    theta = jnp.asarray(FIDUCIAL)
    jax.block_until_ready(one(theta))
    return best(lambda: one(theta), repeats=5)


def best(call, repeats: int = 20) -> float:
    """Least wall time of a call, ms."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__" and sys.argv[1:] == ["compile"]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    arguments = jnp.asarray(FIDUCIAL, float), smail_bins()
    before = time.perf_counter()
    jax.jit(jax.grad(log_sum)).lower(*arguments).compile()
    print(time.perf_counter() - before)
elif __name__ == "__main__":
    for line in run():
        print(line)
