"""Everything that joint tests need of the draws of many observations, measured draw by draw so that no maps are kept.

500 observations with 500 draws of 128 x 128 x 5 pixels are 82 GB; the table of them takes some hundred megabytes.
"""

from collections.abc import Callable, Iterable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, DataError, full_precision, nearest, ShapeError, stream
from fullfield.diagnostics.blocks import JointBlocks, References, RULES
from fullfield.diagnostics.references import companions, Distances
from fullfield.diagnostics.samples import as_finite, generator, Numeric
from fullfield.fields import Bands, hartley, pair_indices


class JointSample(eqx.Module):
    """Parameters and maps: truths of many observations, or some draws of the posterior of one.

    Args:
        theta: parameters.
        maps: maps.
        log_likelihood: log p(data | theta, maps), up to a constant per observation, or None.
        residuals: (data - prediction) / noise of each pixel of the data, zero where masked, or None.
    """

    theta: Float[Numeric, "s p"]
    maps: Float[Numeric, "s n n bins"]
    log_likelihood: Float[Numeric, " s"] | None = None
    residuals: Float[Numeric, "s n n channels"] | None = None


class JointTable(eqx.Module):
    """What is kept of T observations with S draws each.

    Args:
        names: names of the parameters.
        blocks: names of the blocks of distances.
        ell: mean multipole of each band.
        modes: number of modes in each band.
        estimates: baseline estimates of the parameters.
        theta: true parameters; `theta_draws` of each draw.
        distances: squared distances of truths to references per rule, fold and block; `distances_draws` of each draw.
        powers: band powers (sr) of the true maps, pairs as in `pair_indices`; `powers_draws` of each draw.
        error: |truth - mean of draws|² (sr), mean over the modes of each bin and band.
        spread: unbiased variance of the draws (sr), likewise.
        mean_power: power of the mean of all posterior draws (sr), corrected for the finite number of them, likewise.
        cross_power: power of that mean times the truth (sr), likewise.
        log_likelihood: of the truths; `log_likelihood_draws` of each draw; None if not given.
        residuals: mean square residual per band of the data at the truths, last that of all modes; `residuals_draws` of each
            draw; None if not given.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    blocks: tuple[str, ...] = eqx.field(static=True)
    ell: Float[np.ndarray, " bands"]
    modes: Float[np.ndarray, " bands"]
    estimates: Float[np.ndarray, "T p"]
    theta: Float[np.ndarray, "T p"]
    theta_draws: Float[np.ndarray, "T S p"]
    distances: Float[np.ndarray, "T K F blocks"]
    distances_draws: Float[np.ndarray, "T S K F blocks"]
    powers: Float[np.ndarray, "T pairs bands"]
    powers_draws: Float[np.ndarray, "T S pairs bands"]
    error: Float[np.ndarray, "T bins bands"]
    spread: Float[np.ndarray, "T bins bands"]
    mean_power: Float[np.ndarray, "T bins bands"]
    cross_power: Float[np.ndarray, "T bins bands"]
    log_likelihood: Float[np.ndarray, " T"] | None = None
    log_likelihood_draws: Float[np.ndarray, "T S"] | None = None
    residuals: Float[np.ndarray, "T R"] | None = None
    residuals_draws: Float[np.ndarray, "T S R"] | None = None

    @property
    def bins(self) -> int:
        """Number of tomographic bins."""
        return self.error.shape[1]

    def block(self, name: str) -> Distances:
        """Distances within one block."""
        if name not in self.blocks:
            raise ConfigurationError("name", expected="a block", got=repr(name), remedy=nearest(name, self.blocks))
        column = self.blocks.index(name)
        truths = np.moveaxis(self.distances[..., column], 0, -1)
        return Distances(RULES, truths, np.moveaxis(self.distances_draws[..., column], (0, 1), (2, 3)))

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields as arrays, for `numpy.savez`."""
        return {name: np.asarray(value) for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "JointTable":
        """Inverse of `arrays`."""
        text = {name: tuple(map(str, arrays[name])) for name in ("names", "blocks")}
        return cls(**{**{name: arrays[name] for name in arrays}, **text})


def joint_table(
    blocks: JointBlocks,
    truths: JointSample,
    estimates: tuple[Float[Numeric, "T p"], Float[Numeric, "T n n bins"]],
    draw: Callable[[int], Iterable[JointSample]],
    *,
    folds: int = 2,
    key: Key[Array, ""],
) -> JointTable:
    """Measure the draws of every observation, chunk by chunk; references stand before its first draw is made.

    Args:
        blocks: blocks and their units.
        truths: parameters and maps of T simulations, with likelihoods and residuals if the draws have them.
        estimates: parameters and maps estimated from their data.
        draw: gives the posterior draws of observation j in chunks; chunks of few sizes compile few times.
        folds: references per rule and observation.
        key: places the references.

    Raises:
        DataError: a value is not finite.
        ShapeError: observations differ in their number of draws, or in what the draws have.
    """
    count, sky = len(truths.theta), blocks.bands.sky
    truths, estimates = jax.tree.map(np.asarray, (truths, estimates))
    others = companions(count, folds, generator(key, "companions"))
    rows = []
    for j in range(count):
        truth = _single(jax.tree.map(lambda array, j=j: array[j : j + 1], truths))
        estimate = _single(tuple(array[j] for array in estimates))
        near = _single((truths.theta[others[:, j]], truths.maps[others[:, j]]))
        references = _place(blocks, jax.random.fold_in(stream(key, "references"), j), estimate, near)
        centre = hartley(sky, jnp.asarray(truth.maps[0]))
        at_truth, _ = _measure(blocks, references, centre, truth)
        chunks, sums = [], 0.0
        for sample in draw(j):
            chunk, moments = _measure(blocks, references, centre, _single(sample))
            chunks.append(jax.tree.map(np.asarray, chunk))
            sums = sums + np.asarray(moments, np.float64)
        if not chunks:
            raise ShapeError("draw", expected="a chunk of draws", got=f"none for observation {j}")
        at_draws = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        row = _row(blocks, np.asarray(centre, np.float64), at_truth, at_draws, sums)
        rows.append({name: as_finite(f"{name} of observation {j}", values).astype(np.float32) for name, values in row.items()})
        if {len(row["theta_draws"]) for row in rows[-2:]} != {len(at_draws["theta"])} or set(rows[-1]) != set(rows[0]):
            raise ShapeError(
                "draw",
                expected=f"as many draws for each observation, with the same fields, as {sorted(at_truth)}",
                got=f"{len(at_draws['theta'])} with {sorted(at_draws)} for observation {j}",
            )
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    ell, modes = blocks.bands.centres, blocks.bands.modes
    return JointTable(blocks.names, blocks.labels, ell, modes, as_finite("estimates", estimates[0]), **columns)


def _single(arrays):
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), arrays)


@eqx.filter_jit
def _place(blocks, key, estimate, others):
    return blocks.references(key, estimate, others)


@eqx.filter_jit
@full_precision
def _measure(blocks: JointBlocks, references: References, centre: Float[Array, "n n bins"], sample: JointSample):
    """Numbers of each draw by name, and the sums of modes' differences from the truth and of their squares."""
    bands, theta = blocks.bands, jnp.asarray(sample.theta)
    modes = hartley(bands.sky, jnp.asarray(sample.maps))
    first, second = pair_indices(modes.shape[-1])
    rows = {
        "theta": theta,
        "distances": blocks.distances(references, theta, modes),
        "powers": _banded(bands, modes[..., first] * modes[..., second]),
    }
    if sample.log_likelihood is not None:
        rows["log_likelihood"] = jnp.asarray(sample.log_likelihood)
    if sample.residuals is not None:
        rows["residuals"] = residual_powers(bands, jnp.asarray(sample.residuals))
    difference = modes - centre
    return rows, jnp.stack([jnp.sum(difference, axis=0), jnp.sum(difference**2, axis=0)])


@full_precision
def residual_powers(bands: Bands, residuals: Float[Array, "s n n channels"]) -> Float[Array, "s R"]:
    """χ² per degree of freedom of residuals in units of their noise, in each band and last over all pixels.

    Of one draw of a posterior these have the law of white noise, mask included: to judge an observation without its truth,
    give those of a draw and of simulated noise to `predictive`.
    """
    area = (bands.sky.pixels / bands.sky.side_radians) ** 2
    squares = area * hartley(bands.sky, residuals) ** 2
    return jnp.mean(jnp.concatenate([_banded(bands, squares), jnp.mean(squares, axis=(1, 2))[..., None]], axis=-1), axis=1)


def _banded(bands, values):
    """Mean of values (s, n, n, c) on the plane of modes over each band (s, c, bands)."""
    weight = jnp.asarray(bands.plane / bands.modes[:, None, None], values.dtype)
    return jnp.einsum("byx,syxc->scb", weight, values)


def _row(blocks, truth, at_truth, at_draws, sums):
    size = len(at_draws["theta"])
    if set(at_truth) != set(at_draws):
        raise DataError("truths", expected=f"{sorted(at_draws)}, as of the draws", got=str(sorted(at_truth)))
    shift = sums[0] / size
    spread = (sums[1] - size * shift**2) / (size - 1)
    mean = truth + shift
    weight = blocks.bands.plane / blocks.bands.modes[:, None, None]

    def banded(values):
        return np.einsum("byx,yxc->cb", weight, values)

    return {
        **{name: np.asarray(values[0]) for name, values in at_truth.items()},
        **{f"{name}_draws": values for name, values in at_draws.items()},
        "error": banded(shift**2),
        "spread": banded(spread),
        "mean_power": banded(mean**2 - spread / size),
        "cross_power": banded(mean * truth),
    }
