"""Gradients clipped at what their norms have been, so that no largest norm need be found by trial."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from fullfield._core import ConfigurationError
from fullfield.datasets.simulations import check_positive


class Norms(eqx.Module):
    """State of `autoclip`.

    Args:
        seen: last global norms in a ring, infinite where none has been yet.
        count: steps so far.
    """

    seen: Float[Array, " history"]
    count: Int[Array, ""]


@functools.lru_cache(maxsize=64)
def autoclip(percentile: float = 10.0, *, history: int = 1000, each_array: bool = False) -> optax.GradientTransformation:
    """Clip a gradient at a percentile of the global norms of gradients so far, its own included.

    To be chained before an optimiser: `optax.named_chain(("clip", autoclip(50.0)), ("adam", optax.adam(5e-5)))`. Equal
    arguments give the same object, so that a second training like the first is not compiled anew.

    By default the gradient is scaled as a whole, as the paper has it and `optax.clip_by_global_norm` does: it keeps its
    direction. With `each_array` every array of it is held to the threshold by itself, as the code of DeepLSS does
    (Kacprzak & Fluri 2022, arXiv:2203.09616, with percentile 50): arrays, whose norms are smaller than the whole's, are clipped
    less often, and where one is, the direction changes. `optax.adaptive_grad_clip` is another method, which knows no history.

    Args:
        percentile: of the norms, in [0, 100]; 10 is the paper's choice.
        history: how many norms are remembered, the oldest forgotten first. The published code keeps 10 000, which take 1.4 ms
            a step to sort on a CPU core; 1000 take 0.2 ms.
        each_array: whether each array is clipped by its own norm.

    Raises:
        ConfigurationError: the percentile is none, or nothing is remembered.

    Source: Seetharaman, Wichern, Pardo & Le Roux 2020 (arXiv:2007.14469), algorithm 1.
    """
    check_positive(history=history)
    if not 0 <= percentile <= 100:
        raise ConfigurationError("percentile", expected="a number from 0 to 100", got=percentile)

    def init(params: Any) -> Any:
        del params
        return Norms(jnp.full(history, jnp.inf), jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        norm = _norm(updates)
        seen = state.seen.at[state.count % history].set(norm)
        # The count would overflow in a training of two billion steps.
        count = jnp.where(state.count < 2 * history - 1, state.count + 1, history)
        threshold = _quantile(seen, jnp.minimum(count, history), percentile / 100)

        def clipped(array):
            return (array * _shrinkage(_norm(array) if each_array else norm, threshold)).astype(array.dtype)

        return jax.tree.map(clipped, updates), Norms(seen, count)

    return optax.GradientTransformation(init, update)


def _norm(tree):
    return optax.tree.norm(optax.tree.cast(tree, jnp.float32))


def _quantile(values: Float[Array, " n"], count: Int[Array, ""], fraction: float) -> Float[Array, ""]:
    """Quantile of the `count` smallest, between two of them by interpolation."""
    ordered = jnp.sort(values)
    place = fraction * (count - 1)
    below = jnp.floor(place).astype(jnp.int32)
    low, high = ordered[below], ordered[jnp.minimum(below + 1, count - 1)]
    return low + (place - below) * (high - low)


def _shrinkage(norm, threshold):
    return jnp.where(norm > threshold, threshold / norm, 1.0)
