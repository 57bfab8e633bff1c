"""Fixed summaries of maps."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.fields import band_powers, Bands, block_average, pair_indices


class SpectraAndMoments(eqx.Module):
    """Band powers of all pairs of bins, and third and fourth moments of each bin's map at several smoothings.

    Powers are passed through asinh(P / P₀), a logarithm that takes negative numbers, with P₀ the mean auto power of the highest
    band, where noise rules; moments through asinh.

    Args:
        bands: multipole bands of the maps' patch.
        smoothings: sides of the blocks, in pixels, over which maps are averaged before the moments are taken.
    """

    bands: Bands
    smoothings: tuple[int, ...] = eqx.field(static=True, default=(1, 2, 4))

    def __call__(self, maps: Float[Array, "n n bins"]) -> Float[Array, " k"]:
        """Summarise maps (n, n, bins) with axes (y, x, bin)."""
        powers = band_powers(self.bands, maps)
        first, second = pair_indices(maps.shape[-1])
        floor = jnp.mean(powers[first == second, -1])
        moments = [self._moments(block_average(maps, side)) for side in self.smoothings]
        return jnp.concatenate([jnp.arcsinh(powers / floor).ravel(), *moments])

    def _moments(self, maps):
        centred = maps - jnp.mean(maps, axis=(0, 1))
        scaled = centred / jnp.sqrt(jnp.mean(centred**2, axis=(0, 1)))
        return jnp.arcsinh(jnp.concatenate([jnp.mean(scaled**3, axis=(0, 1)), jnp.mean(scaled**4, axis=(0, 1)) - 3]))
