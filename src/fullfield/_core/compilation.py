"""Programs that compile for longer than they run."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from fullfield._core.cores import MET


# A normalising flow is thousands of small operations. With these its training compiles in two thirds of the time on a CPU, and
# runs up to a quarter slower (JAX 0.10.2).
QUICKLY = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
MAPPINGS, MOST_MAPPINGS = pathlib.Path("/proc/self/maps"), pathlib.Path("/proc/sys/vm/max_map_count")


def brief_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`eqx.filter_jit` of a program that runs once or for some seconds; not to be called from inside another."""

    @functools.cache  # at the first call, since it asks for the devices
    def compiled():
        options: dict[str, Any] = {"compiler_options": QUICKLY} if jax.default_backend() == "cpu" else {}
        return eqx.filter_jit(function, **options)

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        return compiled()(*args, **settings)

    return call


def make_room(share: float = 0.5) -> None:
    """Forget all compiled programs once they take more than a share of the memory mappings that Linux grants a process.

    XLA maps every kernel of a program by itself, and a process that has compiled some hundred programs would end with the next.
    """
    try:
        used = len(MAPPINGS.read_text().splitlines())
        granted = int(MOST_MAPPINGS.read_text())
    except OSError:  # another system
        return
    if used > share * granted:
        jax.clear_caches()
        MET.clear()
