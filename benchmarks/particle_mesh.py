"""Seconds and memory of 64³ particles on a mesh, and of the gradient in cosmology and initial conditions, against JaxPM.

JaxPM is measured by this Python, or by one of an environment of its own that the variable JAXPM_PYTHON names:
`python3 -m venv peer && peer/bin/pip install jaxpm==0.1.6 packaging "setuptools<81"`.
Each code runs in a process of its own; they take turns on one core, and are compared by the processor's time, which counts only
their own work when other programs run beside.
"""

import itertools
import json
import os
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np


POINTS, CELL = 64, 4.0  # Mpc/h
ENDS = np.linspace(0.1, 1, 11)  # of the steps, scale factors
SHAPE = (POINTS,) * 3
OMEGA_B, H, N_S = 0.05, 0.7, 0.96
FIDUCIAL = (0.8, 0.25)  # σ8 and Ωc
TURNS = 5
LONG = 0.15  # h/Mpc
# Steps of the differences in σ8, Ωc and along half of the white noise; each is taken twice as long as well.
DIFFERENCES = (0.02, 0.01, 0.01)


def run() -> list[dict]:
    python = os.environ.get("JAXPM_PYTHON", sys.executable)
    installed = subprocess.run([python, "-c", "import jaxpm"], capture_output=True, check=False).returncode == 0
    codes = {"ours": sys.executable} | ({"peer": python} if installed else {})
    servers = {code: Server(code, interpreter) for code, interpreter in codes.items()}
    forward, gradient = (turns(servers, name) for name in ("forward", "gradient"))
    memory, errors = ({code: server.ask(name) for code, server in servers.items()} for name in ("memory", "errors"))
    for server in servers.values():
        server.end()
    worst = {code: 100 * max(errors[code]) for code in errors}
    listed = "; ".join(f"{code}: " + ", ".join(f"{100 * e:.2g}" for e in errors[code]) for code in errors)
    clock = f"processor's time, least of {TURNS} calls in turns on one core"
    return [
        row("density of 64³ particles after 10 steps", "s", forward, clock, faster=3),
        row("its gradient in σ8, Ωc and white noise", "s", gradient, f"{clock}; of the power of long modes", faster=4),
        row("memory of that gradient", "MiB", memory, "temporaries of the compiled program", most=250),
        row(
            "its distance from differences", "%", worst,
            f"the worst of σ8, Ωc and half of the white noise ({listed}); power of modes to {LONG:g} h/Mpc, single precision",
            most=0.1,
        ),
    ]  # fmt: skip


def row(name: str, unit: str, values: dict, note: str, *, faster: float | None = None, most: float | None = None) -> dict:
    """One row; held to a ratio to the peer or to a largest value."""
    ours, peer = values["ours"], values.get("peer")
    ratio = None if peer is None else peer / ours
    met = ours <= most if most else None if ratio is None else ratio >= faster
    bar = f"<= {most:g}" if most else f">= {faster:g}x JaxPM 0.1.6"
    return {"name": name, "ours": ours, "peer": peer, "ratio": ratio, "unit": unit, "bar": bar, "met": met, "note": note}


def turns(servers: dict, name: str) -> dict[str, float]:
    taken = [{code: server.ask(name) for code, server in servers.items()} for _ in range(TURNS)]
    return {code: min(turn[code] for turn in taken) for code in servers}


class Server:
    """A process that measures one code when it is asked."""

    def __init__(self, code: str, python: str):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([python, __file__, code], **pipes)

    def ask(self, name: str):
        print(name, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def serve(density) -> None:
    """Answer questions, a line each, about the density and its power as functions of (σ8, Ωc) and white noise."""
    arguments = jnp.asarray(FIDUCIAL), jax.random.normal(jax.random.key(0), SHAPE)
    weight = smooth()

    def power(theta, white):
        return jnp.sum(weight * jnp.abs(jnp.fft.rfftn(density(theta, white))) ** 2)

    forward = jax.jit(density).lower(*arguments).compile()
    gradient = jax.jit(jax.grad(power, argnums=(0, 1))).lower(*arguments).compile()
    answers = {
        "forward": lambda: seconds(forward, arguments),
        "gradient": lambda: seconds(gradient, arguments),
        "memory": lambda: gradient.memory_analysis().temp_size_in_bytes / 2**20,
        "errors": lambda: errors(jax.jit(power), gradient, *arguments),
    }
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


def smooth():
    """Weights (n, n, n/2 + 1) of long modes: clouds in cells have kinks, which differences of the power of short ones see."""
    squares = [(2 * np.pi * np.fft.fftfreq(POINTS, CELL)) ** 2] * 2 + [(2 * np.pi * np.fft.rfftfreq(POINTS, CELL)) ** 2]
    k2 = sum(np.meshgrid(*squares, indexing="ij"))
    return jnp.asarray(np.where(k2 > 0, np.exp(-k2 / LONG**2), 0) / POINTS**6, float)


def seconds(compiled, arguments) -> float:
    before = time.process_time()
    jax.block_until_ready(compiled(*arguments))
    return time.process_time() - before


def errors(value, gradient, theta, white) -> list[float]:
    """Relative, of the slopes in σ8, in Ωc and along half of the white noise, to differences of fourth order."""
    of_theta, of_white = gradient(theta, white)
    along = jnp.where(jax.random.normal(jax.random.key(1), SHAPE) > 0, white, 0.0)
    directions = [(jnp.eye(2)[0], 0 * white), (jnp.eye(2)[1], 0 * white), (jnp.zeros(2), along)]
    found = [of_theta[0], of_theta[1], jnp.vdot(of_white, along)]
    result = []
    for (a, b), h, slope in zip(directions, DIFFERENCES, found, strict=True):
        two_back, back, ahead, two_ahead = (float(value(theta + s * h * a, white + s * h * b)) for s in (-2, -1, 1, 2))
        expected = (8 * (ahead - back) - (two_ahead - two_back)) / (12 * h)
        result.append(abs(float(slope) / expected - 1))
    return result


def ours():
    """Density after two orders of perturbation theory and the steps."""
    from fullfield.cosmology import Cosmology
    from fullfield.simulators.gravity import Box, density, linear_modes, ParticleMesh, perturbed

    box = Box(SHAPE, CELL)
    mesh = ParticleMesh(box, ENDS)

    def after(theta, white):
        cosmology = Cosmology(theta[1], OMEGA_B, H, N_S, theta[0])
        start = perturbed(box, cosmology, linear_modes(box, cosmology, white), ENDS[0])
        return density(box, mesh.evolve(cosmology, start).displacement)

    return after


def peer():
    """The same by JaxPM's functions, in leapfrog steps of one force each."""
    import jax_cosmo
    from jaxpm.distributed import fft3d, ifft3d, uniform_particles
    from jaxpm.kernels import fftk
    from jaxpm.painting import cic_paint
    from jaxpm.pm import lpt, pm_forces

    def linear(cosmology, white):
        modes = fft3d(white)
        wave = jnp.sqrt(sum((k / CELL) ** 2 for k in fftk(modes)))
        nodes = jnp.geomspace(1e-4, 10, 256)
        power = jnp.interp(wave, nodes, jax_cosmo.power.linear_matter_power(cosmology, nodes))
        return ifft3d(modes * jnp.sqrt(power / CELL**3))

    def after(theta, white):
        # A new object for each purpose, because the two packages keep different tables under the same names.
        def cosmology():
            return jax_cosmo.Cosmology(theta[1], OMEGA_B, H, N_S, theta[0], Omega_k=0.0, w0=-1.0, wa=0.0)

        expansion = cosmology()

        def pace(a):
            return jnp.sqrt(jax_cosmo.background.Esqr(expansion, a)) * a**2

        def step(place, momentum, first, last):
            middle, half = (first + last) / 2, (last - first) / 2
            place = place + half * momentum / (pace(first + half / 2) * (first + half / 2))
            force = pm_forces(place, mesh_shape=SHAPE, paint_absolute_pos=True)
            momentum = momentum + 2 * half * 1.5 * expansion.Omega_m * force / pace(middle)
            return place + half * momentum / (pace(last - half / 2) * (last - half / 2)), momentum

        grid = uniform_particles(SHAPE)
        place, momentum, _ = lpt(cosmology(), linear(cosmology(), white), grid, a=ENDS[0], order=2)
        place = place + grid
        # Positions and a loop in Python are the fastest of three ways tried; displacements or `jax.lax.scan` take more.
        for first, last in itertools.pairwise(ENDS.tolist()):
            place, momentum = step(place, momentum, first, last)
        return cic_paint(jnp.zeros(SHAPE), place)

    return after


if __name__ == "__main__" and sys.argv[1:]:
    warnings.simplefilter("ignore")
    serve({"ours": ours, "peer": peer}[sys.argv[1]]())
elif __name__ == "__main__":
    for line in run():
        print(line)
