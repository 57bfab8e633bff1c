"""Summaries of lensing maps for the lensing benchmark: scores of the reconstructed field, and their best combinations."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import on_every_core
from fullfield._core.progress import Progress
from fullfield.compression import Compressor, projecting
from fullfield.inference.explicit import ReconstructedScore
from fullfield.simulators import AbstractForwardModel, even_batch, LensingModel


CHUNK = 100  # simulations between two reports of progress


class Summary(eqx.Module):
    """What implicit methods see of a map.

    Args:
        score: map to scores of the reconstructed field about several parameters (k,).
        learned: scores to summary (p,).
    """

    score: ReconstructedScore
    learned: Compressor

    @classmethod
    def blank(cls, model: LensingModel, points: int) -> "Summary":
        """The same with nothing learned, to be loaded into."""
        p = model.parameters.size
        score = ReconstructedScore.unit(model, jnp.broadcast_to(model.parameters.fiducial, (points, p)))
        return cls(score, projecting(points * p, p))

    def __call__(self, data: Float[Array, "n n bins"]) -> Float[Array, " p"]:
        """Summary of one map."""
        return self.learned(self.score(data))


def summaries(
    model: AbstractForwardModel,
    summarise: Callable,
    key: Key[Array, ""],
    theta: Float[Array | np.ndarray, "n p"],
    progress: Progress,
) -> Float[np.ndarray, "n s"]:
    """Summaries of simulations at some parameters.

    Args:
        model: the forward model.
        summarise: map to vector (s,), a callable module.
        key: scalar key.
        theta: parameters (n, p).
        progress: told about every chunk.
    """
    n, chunks = len(theta), []
    keys, theta = jax.random.split(key, n), jnp.asarray(theta)
    progress("simulating and summarising", 0, n)
    parts = [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]
    for chunk in on_every_core(lambda part: _some_summaries(model, summarise, keys[part], theta[part]), parts):
        chunks.append(np.asarray(chunk))
        progress("simulating and summarising", sum(map(len, chunks)), n)
    return np.concatenate(chunks)


@eqx.filter_jit
def _some_summaries(model, summarise, keys, theta):
    one = lambda pair: summarise(model.simulate_at(*pair))  # noqa: E731
    return jax.lax.map(one, (keys, theta), batch_size=even_batch(len(theta), 8))
