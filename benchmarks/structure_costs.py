"""Seconds and memory of lensing maps of structure that forms by gravity, and of the gradients that explicit inference takes.

Seconds are the processor's, which count only the program's own work when others run beside. Large meshes are run once.
"""

import time

import jax

from fullfield.simulators import evolved_lensing_model, perturbed_lensing_model


MODELS = {"perturbation theory": perturbed_lensing_model, "particle mesh": evolved_lensing_model}
POINTS = (32, 64, 128, 256)
MEMORY = 12 * 2**30  # bytes; gradients that need more are not run
CALLS = {32: 3, 64: 3}


def run() -> list[dict]:
    return [row for name, make in MODELS.items() for points in POINTS for row in rows(name, make(points), points)]


def rows(name: str, model, points: int) -> list[dict]:
    theta = model.parameters.fiducial
    white = jax.random.normal(jax.random.key(0), model.dynamics.box.shape)
    convergence = compiled(model.convergence, theta, white)
    maps = convergence(theta, white)
    latents, calls = {"white": white}, CALLS.get(points, 1)
    gradient = compiled(jax.grad(model.log_joint, argnums=(0, 1)), theta, latents, maps)
    return [
        row(f"map, {name}, {points}³", convergence, (theta, white), calls),
        row(f"gradient, {name}, {points}³", gradient, (theta, latents, maps), calls),
    ]


def compiled(function, *arguments):
    # Methods of models, which hold arrays, have no hash.
    return jax.jit(lambda *values: function(*values)).lower(*arguments).compile()


def row(name: str, program, arguments, calls: int) -> dict:
    memory = program.memory_analysis().temp_size_in_bytes
    size = f"{memory / 2**20:.0f} MiB" if memory < 2**30 else f"{memory / 2**30:.1f} GiB"
    measured = memory <= MEMORY
    least = min(seconds(program, arguments) for _ in range(calls)) if measured else None
    note = f"{size} of temporaries; " + (f"processor's time, least of {calls}" if calls > 1 else "processor's time, one call")
    return {
        "name": name,
        "ours": least,
        "peer": None,
        "ratio": None,
        "unit": "s",
        "note": note if measured else f"{size}; not run",
    }


def seconds(program, arguments) -> float:
    before = time.process_time()
    jax.block_until_ready(program(*arguments))
    return time.process_time() - before


if __name__ == "__main__":
    for line in run():
        print(line)
