"""Maps behind a carrier beside those of the particle mesh, at equal parameters from equal seeds, none of which it has seen."""

import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core.progress import Progress
from fullfield.diagnostics import pqmass
from fullfield.fields import band_powers, Bands, peak_counts, pixel_distribution, starlet_l1
from fullfield.recipes.bridge_bench import BridgeBench
from fullfield.recipes.study import Measured


HEIGHTS = np.arange(0.0, 6.0, 0.5)  # of peaks, in deviations of the particle mesh's maps
CLASSES = ((1.0, 2.0), (2.0, 3.0), (3.0, 6.0))  # of heights, in which peaks are counted
VALUES = np.linspace(-4, 8, 25)  # of pixels, in the same
SCALES = 2  # of starlets
REGIONS = 20


class MapStatistics(eqx.Module):
    """Powers, peaks, distributions and starlet norms of noiseless maps.

    Args:
        bands: of the powers.
        deviation: of the maps in each bin, the unit of the others.
    """

    bands: Bands
    deviation: Float[Array, " bins"]

    def __call__(self, maps: Float[Array, "n n bins"]) -> dict[str, Float[Array, "..."]]:
        """Statistics of maps, each with a leading axis of bins."""
        heights, values = jnp.asarray(HEIGHTS, jnp.float32), jnp.asarray(VALUES, jnp.float32)

        def one(map_, deviation):
            scaled = map_ / deviation
            power = band_powers(self.bands, map_[..., None])[0]
            norms = starlet_l1(scaled, values, SCALES, jnp.ones(SCALES))
            return {"power": power, "peaks": peak_counts(scaled, heights), "pdf": pixel_distribution(scaled, values),
                    "starlet": norms.reshape(SCALES, -1)}  # fmt: skip

        return jax.vmap(one, (-1, 0))(maps, self.deviation)


def compare_maps(bench: BridgeBench, carrier: str, folder: pathlib.Path, progress: Progress) -> Measured:
    """Ratios of every statistic's mean over the tested parameters, with errors of pairs of equal seeds, and in thirds of S8."""
    progress("comparing maps", 0, 1)
    truth, start, carried = bench.suite("test", folder), bench.suite("tested", folder), bench.carried(carrier, "tested", folder)
    statistics = MapStatistics(bench.bands, jnp.std(truth.data, axis=(0, 1, 2)))
    ours, theirs = (_measured(statistics, suite.data) for suite in (carried, truth))
    resolved = bench.resolved()
    values = {}
    for b in range(truth.data.shape[-1]):
        for band in range(ours["power"].shape[-1]):
            kind = "power" if resolved[b, band] else "beyond"
            values |= _ratio(f"{kind}/{b + 1}/{band + 1}", ours["power"][:, b, band], theirs["power"][:, b, band])
        for low, high in CLASSES:
            heights = (low <= HEIGHTS) & (high > HEIGHTS)
            pair = (found["peaks"][:, b, heights].sum(axis=1) for found in (ours, theirs))
            values |= _ratio(f"peaks/{b + 1}/{low:g}", *pair)
        means = [found["pdf"][:, b].mean(axis=0) for found in (ours, theirs)]
        values[f"pdf/{b + 1}"] = float(np.abs(means[0] - means[1]).sum() / 2)
        norms = [found["starlet"][:, b].mean(axis=0) for found in (ours, theirs)]
        values[f"starlet/{b + 1}"] = float(np.abs(norms[0] - norms[1]).sum() / norms[1].sum())
    values |= _conditionals(bench, np.asarray(truth.theta), ours, theirs)
    moved = np.asarray(carried.data) - np.asarray(start.data)
    values["displacement"] = float(np.sqrt(np.mean(moved**2) / np.mean(np.asarray(truth.data) ** 2)))
    values |= _correlations(bench, np.asarray(carried.data), np.asarray(start.data), np.asarray(truth.data))
    # Of other seeds and parameters than those of the particle mesh, or counts would be alike for no merit of the carrier.
    apart = bench.carried(carrier, "cheap", folder).data[: len(truth.theta)]
    rows = [_row(found) for found in (_measured(statistics, apart), theirs)]
    values["pqmass"] = float(pqmass(*rows, regions=REGIONS, random=np.random.default_rng(0)).value)
    return Measured(values)


def _measured(statistics, maps):
    return jax.tree.map(np.asarray, _all(statistics, maps))


@eqx.filter_jit
def _all(statistics, maps):
    return jax.lax.map(statistics, maps, batch_size=50)


def _ratio(name, ours, theirs):
    """Ratio of means, and its error: the scatter of pairs about it."""
    ratio = ours.mean() / theirs.mean()
    scatter = (ours - ratio * theirs).std() / (theirs.mean() * np.sqrt(len(ours)))
    return {name: float(ratio), f"{name}_error": float(scatter)}


def _conditionals(bench, theta, ours, theirs):
    """Powers and peaks in thirds of S8 = σ8 √(Ωm / 0.3), over all bins and bands."""
    values = dict(zip(bench.cheap.parameters.names, theta.T, strict=True))
    s8 = values["sigma_8"] * np.sqrt((values["omega_c"] + dict(bench.cheap.fixed)["omega_b"]) / 0.3)
    found = {}
    for third, rows in enumerate(np.array_split(np.argsort(s8), 3)):
        means = [part["power"][rows].mean(axis=0) for part in (ours, theirs)]
        found[f"third/{third + 1}/power"] = float(np.mean(means[0] / means[1]))
        counts = [part["peaks"][rows][..., HEIGHTS >= 1].sum() for part in (ours, theirs)]
        found[f"third/{third + 1}/peaks"] = float(counts[0] / counts[1])
    return found


def _correlations(bench, carried, start, truth):
    """Of carried maps with the cheap ones that they come from and with those of the particle mesh, in the outer bands."""
    carried, start, truth = (np.fft.rfft2(maps, axes=(1, 2)) for maps in (carried, start, truth))
    ell, edges, values = bench.sky.multipoles(), bench.bands.edges, {}
    for band in range(len(edges) - 1):
        modes = (ell >= edges[band]) & (ell < edges[band + 1])
        for name, other in (("input", start), ("truth", truth)):
            cross, one, two = (
                (a[:, modes] * b[:, modes].conj()).real.sum(axis=(0, 1))
                for a, b in ((carried, other), (carried, carried), (other, other))
            )
            values[f"correlation/{name}/{band}"] = float(np.mean(cross / np.sqrt(one * two)))
    return values


def _row(found):
    """Statistics of each map as one vector of numbers of even scatter."""
    powers, peaks = np.log(found["power"]), np.sqrt(found["peaks"][..., HEIGHTS >= 1])
    return np.concatenate([powers.reshape(len(powers), -1), peaks.reshape(len(peaks), -1)], axis=1)
