"""Exact posteriors of Ωm and σ8 from lognormal maps, on a grid: ln(1 + δ) is a Gaussian field whose power is known.

    -2 ln L = Σ_k ν_k [P̂_k / (P_k S_k) + ln P_k + ln S_k]

with P̂ the power measured in the map, P(k | Ωm, σ8) the linear one, S(k | b) the factor that baryons b put on it, and ν the
degrees of freedom of the modes at k. Baryons are integrated out over their prior. Priors are uniform.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from fullfield._core.progress import Progress, silent
from fullfield.parameters import ParameterSpace
from fullfield.simulators import LognormalOverdensity


NODES, BARYON_NODES = 49, 16
"""Along every parameter, about a deviation apart when all others are fixed: twice as many change no mean by .005 deviations."""
LEAST = 1e-7  # of what 1 / S varies in, beside the greatest: less is rounding
CHUNK = 50  # maps at a time


class ExactPosterior(eqx.Module):
    """The posterior of the Ωm and σ8 of maps, under the forward model that made them.

    Args:
        model: the forward model; its baryons, if it has any, are integrated out.
        nodes: of the grid along Ωm and σ8.
        baryon_nodes: along every parameter of the baryons.
    """

    model: LognormalOverdensity
    grid: Float[np.ndarray, "c 2"]
    baryons: Float[np.ndarray, "b p"]

    def __init__(self, model: LognormalOverdensity, nodes: int = NODES, baryon_nodes: int = BARYON_NODES):
        self.model = model
        every = _nodes(model.parameters, [nodes] * 2 + [baryon_nodes] * (model.parameters.size - 2))
        self.grid, self.baryons = _product(every[:2]), _product(every[2:])

    def __call__(self, maps: Float[np.ndarray, "n y x 1"], progress: Progress = silent) -> Float[np.ndarray, "n c"]:
        """Probabilities (n, c) of the nodes of `grid`, given each map of ln(1 + δ)."""
        found = self._log_likelihood(maps, progress)
        return np.exp(found - logsumexp(found, axis=1, keepdims=True))

    def with_log_prob(
        self, maps: Float[np.ndarray, "n y x 1"], theta: Float[np.ndarray, "n 2"], progress: Progress = silent
    ) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, " n"]]:
        """The same, and the log posterior density (n,) at parameters (n, 2), one pair for each map: at its truth, say."""
        found, here = self._log_likelihood(maps, progress), self._log_likelihood(maps, progress, theta)[:, 0]
        total = logsumexp(found, axis=1)
        area = np.prod([high - low for low, high in self.model.parameters.bounds[:2]])
        return np.exp(found - total[:, None]), here - total - np.log(area / len(self.grid))

    def _log_likelihood(
        self, maps, progress: Progress, own: Float[np.ndarray, "n 2"] | None = None
    ) -> Float[np.ndarray, "n c"]:
        """Up to a constant: of each map at all nodes, or (n, 1) at its own parameters."""
        power, factor, place = self._spectra(self.grid if own is None else own)
        modes, pixels, precision = self.model.modes, self.model.plane.pixels, 1 / power
        freedom = modes.freedom(pixels).ravel()
        counts, each = np.bincount(place, freedom)[1:], freedom / modes.share(pixels).ravel()
        # 1 / S varies with the baryons in few ways u_r(k), so that the sum over k is one over r: 1 / S = Σ_r share_r u_r.
        left, size, ways = np.linalg.svd(1 / factor, full_matrices=False)
        kept = size > LEAST * size[0]
        share, ways, volume = (left * size)[:, kept], ways[kept], np.log(factor) @ counts
        measure = eqx.filter_jit(jax.vmap(lambda g: self.model.plane.power(g[..., 0]).ravel()))
        found = np.zeros((len(maps), len(self.grid) if own is None else 1))
        for start in range(0, len(maps), CHUNK):
            progress("exact posteriors", start, len(maps))
            part = slice(start, start + CHUNK)
            rows = np.asarray(measure(jnp.asarray(maps[part])), float) * each
            sums = np.stack([np.bincount(place, row)[1:] for row in rows])
            if own is None:
                parts, volumes = [(sums * way) @ precision.T for way in ways], np.log(power) @ counts
            else:
                parts = [np.sum(sums * way * precision[part], axis=1, keepdims=True) for way in ways]
                volumes = np.log(power[part]) @ counts[:, None]
            chi = np.stack(parts, axis=-1) @ share.T
            found[part] = logsumexp(-0.5 * (chi + volumes[..., None] + volume), axis=-1)
        return found

    def _spectra(self, theta: Float[np.ndarray, "m 2"]):
        """P (m, k) and S (b, k) at all wavenumbers but zero, and the place of each mode among those."""
        model = self.model
        k, place = np.unique(np.round(model.plane.wavenumbers, 12), return_inverse=True)
        linear = eqx.tree_at(lambda m: m.baryons, model, None, is_leaf=lambda leaf: leaf is None)
        power = _on_nodes(lambda one: linear.power(one, k[1:]), theta)
        factor = np.ones((1, len(k) - 1))
        if (acting := model.baryons) is not None:
            factor = _on_nodes(lambda values: acting.suppression(jnp.asarray(k[1:] / model.h, float), values), self.baryons)
        return power, factor, place.ravel()


def moments_of(
    grid: Float[np.ndarray, "c 2"], weight: Float[np.ndarray, "n c"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Means and deviations (n, 2)."""
    mean = weight @ grid
    return mean, np.sqrt(np.maximum(weight @ grid**2 - mean**2, 0.0))


def credibility(
    grid: Float[np.ndarray, "c 2"], weight: Float[np.ndarray, "n c"], theta: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    """Credibility (n,) of the region of highest density that just reaches the truth, the nearest node standing for it."""
    at = np.argmin(np.sum((grid - theta[:, None]) ** 2, axis=-1), axis=1)
    return np.sum(weight * (weight > np.take_along_axis(weight, at[:, None], axis=1)), axis=1)


def _nodes(parameters: ParameterSpace, counts: list[int]) -> list[np.ndarray]:
    """Middles of equal parts of the priors."""
    return [low + (high - low) * (np.arange(n) + 0.5) / n for (low, high), n in zip(parameters.bounds, counts, strict=True)]


def _product(axes: list[np.ndarray]) -> Float[np.ndarray, "m p"]:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)) if axes else np.zeros((1, 0))


def _on_nodes(function, nodes) -> Float[np.ndarray, "m k"]:
    """A function of nodes (m, p), one by one."""
    rows = jnp.asarray(nodes, float)
    return np.asarray(eqx.filter_jit(lambda: jax.lax.map(function, rows, batch_size=64))(), float)
