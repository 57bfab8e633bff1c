"""Published observations of the tasks and draws of their posteriors."""

import importlib.resources

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, nearest


PUBLISHED = ("bernoulli_glm", "gaussian_linear", "gaussian_mixture", "lotka_volterra", "sir", "slcp", "two_moons")
NUMBERS = range(1, 6)


def observation(task: str, number: int) -> Float[Array, " d"]:
    """Published observation (d,) of a task.

    Source: public repository sbi-benchmark/sbibm 1.1; see `data/README.md` beside this file.

    Args:
        task: name of the task, as in `TASKS`.
        number: 1 to 5.

    Raises:
        ConfigurationError: nothing is published for this task or number.
    """
    _check(task, number)
    return jnp.asarray(stored(task, "observations")[number - 1], jnp.float32)


def reference(task: str, number: int) -> Float[Array, "draws p"]:
    """Published draws (10000, p) of the posterior of a task at one of its observations.

    Source: public repository sbi-benchmark/sbibm 1.1; see `data/README.md` beside this file.

    Args:
        task: name of the task, as in `TASKS`.
        number: 1 to 5.

    Raises:
        ConfigurationError: nothing is published for this task or number.
    """
    _check(task, number)
    codes, low, step = (stored(task, name)[number - 1] for name in ("codes", "low", "step"))
    return jnp.asarray(low + step * codes.astype(np.float64), jnp.float32)


def stored(task: str, name: str) -> np.ndarray:
    """One array of the package data of a task, as it is stored."""
    file = importlib.resources.files("fullfield.simulators") / "tasks" / "data" / f"{task}.npz"
    with file.open("rb") as handle, np.load(handle) as content:
        return content[name]


def _check(task, number):
    if task not in PUBLISHED:
        remedy = f"{nearest(task, PUBLISHED)} For others simulate one and sample its posterior with NUTS."
        raise ConfigurationError("task", expected="one with published observations", got=repr(task), remedy=remedy)
    if number not in NUMBERS:
        raise ConfigurationError("number", expected="1, 2, 3, 4 or 5", got=number)
