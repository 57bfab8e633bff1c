"""Fixed summaries of maps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, ShapeError
from fullfield.fields import (
    band_powers,
    Bands,
    block_average,
    pair_indices,
    peak_counts,
    pixel_distribution,
    scattering,
    starlet,
    starlet_l1,
)


class SpectraAndMoments(eqx.Module):
    """Band powers of all pairs of bins, and third and fourth moments of each bin's map at several smoothings.

    Powers are passed through asinh(P / P₀), a logarithm that takes negative numbers, with P₀ the mean auto power of the highest
    band, where noise rules; moments through asinh.

    Args:
        bands: multipole bands of the maps' patch.
        smoothings: sides of the blocks, in pixels, over which maps are averaged before the moments are taken.
        pairs: pairs of bins whose powers are kept, such as those of `pairs_within`; all if not given.

    Raises:
        ConfigurationError: there is no pair, or one comes twice or backwards.
    """

    bands: Bands
    smoothings: tuple[int, ...] = eqx.field(static=True, default=(1, 2, 4))
    pairs: tuple[tuple[int, int], ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        pairs = self.pairs
        if pairs is not None and not (pairs and len(set(pairs)) == len(pairs) and all(0 <= i <= j for i, j in pairs)):
            raise ConfigurationError("pairs", expected="different pairs (i, j) of bins with i <= j, at least one", got=pairs)

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        powers = band_powers(self.bands, maps)
        first, second = pair_indices(maps.shape[-1])
        floor = jnp.mean(powers[first == second, -1])
        if self.pairs is not None:
            powers = powers[jnp.array([self._place(pair, maps.shape[-1]) for pair in self.pairs])]
        moments = [self._moments(block_average(maps, side)) for side in self.smoothings]
        return jnp.concatenate([jnp.arcsinh(powers / floor).ravel(), *moments])

    def _place(self, pair, bins):
        if pair[1] >= bins:
            raise ShapeError("maps", expected=f"at least {pair[1] + 1} bins, of which {pair} is a pair", got=bins)
        return list(zip(*pair_indices(bins), strict=True)).index(pair)

    def _moments(self, maps):
        centred = maps - jnp.mean(maps, axis=(0, 1))
        scaled = centred / jnp.sqrt(jnp.mean(centred**2, axis=(0, 1)))
        return jnp.arcsinh(jnp.concatenate([jnp.mean(scaled**3, axis=(0, 1)), jnp.mean(scaled**4, axis=(0, 1)) - 3]))


class PixelDistributions(eqx.Module):
    """One-point distributions of each bin's map at several smoothings, as roots of shares, whose scatter is even.

    Args:
        noise: standard deviation of the noise in a pixel of each bin, the unit of the values.
        smoothings: sides of the blocks, in pixels, over which maps are averaged; values then are in units of the blocks' noise.
        reach: values from minus to plus this many units are told apart.
        count: number of values, evenly spaced.
    """

    noise: tuple[float, ...] = eqx.field(static=True)
    smoothings: tuple[int, ...] = eqx.field(static=True, default=(1, 2, 4))
    reach: float = eqx.field(static=True, default=5.0)
    count: int = eqx.field(static=True, default=21)

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        centres = jnp.linspace(-self.reach, self.reach, self.count)
        shares = (
            _each_bin(lambda one: pixel_distribution(one, centres), m) for m in _smoothed(maps, self.noise, self.smoothings)
        )
        return jnp.concatenate([jnp.sqrt(share) for share in shares])


class PeakCounts(eqx.Module):
    """Peaks by height and minima by depth, of each bin's map at several smoothings, as roots of counts, whose scatter is even.

    Args:
        noise: standard deviation of the noise in a pixel of each bin, the unit of the heights.
        smoothings: sides of the blocks, in pixels, over which maps are averaged; heights are in units of the noise left.
        lowest, highest: heights of peaks that are told apart; depths of minima likewise.
        count: number of heights, evenly spaced.
    """

    noise: tuple[float, ...] = eqx.field(static=True)
    smoothings: tuple[int, ...] = eqx.field(static=True, default=(1, 2, 4))
    lowest: float = eqx.field(static=True, default=-1.0)
    highest: float = eqx.field(static=True, default=6.0)
    count: int = eqx.field(static=True, default=15)

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        heights = jnp.linspace(self.lowest, self.highest, self.count)
        both = lambda one: jnp.concatenate([peak_counts(one, heights), peak_counts(-one, heights)])  # noqa: E731
        return jnp.concatenate([jnp.sqrt(_each_bin(both, m)) for m in _smoothed(maps, self.noise, self.smoothings)])


class StarletNorms(eqx.Module):
    """ℓ1-norms of starlet coefficients by their value, of each bin's map, as roots.

    Args:
        noise: standard deviation of white noise in a pixel of each bin; values are in units of what it makes of each scale.
        scales: number of wavelet scales.
        reach: values from minus to plus this many units are told apart.
        count: number of values, evenly spaced.
    """

    noise: tuple[float, ...] = eqx.field(static=True)
    scales: int = eqx.field(static=True, default=4)
    reach: float = eqx.field(static=True, default=6.0)
    count: int = eqx.field(static=True, default=21)

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        values, n = jnp.linspace(-self.reach, self.reach, self.count), maps.shape[0]
        point = jnp.zeros((n, n)).at[0, 0].set(1.0)
        deviations = jnp.sqrt(jnp.sum(starlet(point, self.scales)[:-1] ** 2, axis=(1, 2)))
        norms = _each_bin(lambda one: starlet_l1(one, values, self.scales, deviations), maps / jnp.asarray(self.noise))
        return jnp.sqrt(norms)


class ScatteringCoefficients(eqx.Module):
    """Scattering coefficients of each bin's map, in logarithm.

    Args:
        scales: number of wavelet scales.
        orientations: of the wavelets, in half a turn.
    """

    scales: int = eqx.field(static=True, default=4)
    orientations: int = eqx.field(static=True, default=4)

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        return jnp.log(_each_bin(lambda one: scattering(one, self.scales, self.orientations), maps))


def _each_bin(statistic, maps):
    return jax.vmap(statistic, in_axes=-1)(maps).ravel()


def _smoothed(maps, noise, sides):
    """Maps averaged over blocks, in units of what is left of the noise."""
    return [block_average(maps, side) * (side / np.asarray(noise, np.float32)) for side in sides]
