"""Summaries of lensing maps for the lensing benchmark: known statistics, and a network behind them."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import Compressor, SpectraAndMoments
from fullfield.inference.explicit import ReconstructedScore
from fullfield.simulators import even_batch, LensingModel


CHUNK = 500  # simulations between two reports of progress


class Features(eqx.Module):
    """Statistics of a map that are known to carry information: spectra, moments, and the score of the reconstructed field.

    Args:
        statistic: map to vector (k,).
        score: map to vector (p,).
    """

    statistic: SpectraAndMoments
    score: ReconstructedScore

    def __call__(self, data: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Statistics of one map."""
        return jnp.concatenate([self.statistic(data), self.score(data)])


class Summary(eqx.Module):
    """What implicit methods see of a map.

    Args:
        features: map to known statistics (k,).
        learned: statistics to summary (p,), trained.
    """

    features: Features
    learned: Compressor

    def __call__(self, data: Float[Array, "n n bins"]) -> Float[Array, " p"]:
        """Summary of one map."""
        return self.learned(self.features(data))


def pairs(
    model: LensingModel, summarise: Callable, key: Key[Array, ""], n: int, progress: Progress
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n s"]]:
    """Parameters drawn from the prior, and summaries of their simulations.

    Args:
        model: the forward model.
        summarise: map to vector (s,), a callable module.
        key: scalar key.
        n: number of simulations.
        progress: told about every chunk.
    """
    keys, chunks = jax.random.split(key, n), []
    for start in range(0, n, CHUNK):
        progress("simulating and summarising", start, n)
        chunks.append(jax.tree.map(np.asarray, _some_pairs(model, summarise, keys[start : start + CHUNK])))
    progress("simulating and summarising", n, n)
    theta, summaries = (np.concatenate(column) for column in zip(*chunks, strict=True))
    return theta, summaries


@eqx.filter_jit
def _some_pairs(model, summarise, keys):
    def one(key):
        theta = model.parameters.sample(stream(key, "prior"))
        return theta, summarise(model.simulate_at(stream(key, "data"), theta))

    return jax.lax.map(one, keys, batch_size=even_batch(len(keys), 8))
