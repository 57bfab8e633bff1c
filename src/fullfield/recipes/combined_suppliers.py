"""Matter and galaxies before any network: how far from Gaussian each supplier is, and how stochasticity loosens galaxies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import stream
from fullfield._core.progress import Progress
from fullfield.compression import ScaledProbes
from fullfield.fields import Bands, correlation_coefficient, normal, smoothed
from fullfield.simulators import CombinedProbes, exact_spread, published_spread, shuffled_phases


def skewness(
    model: CombinedProbes, scaled: ScaledProbes, key: Key[Array, ""], fields: int, progress: Progress
) -> Float[np.ndarray, "fields k"]:
    """Skewness of noiseless maps at the fiducial parameters, smoothed as for analysis: convergence of every bin, then galaxies.

    Args:
        model: of one field.
        scaled: what smooths.
        key: scalar key.
        fields: how many.
        progress: told after every one.
    """
    found = []
    for number, one in enumerate(jax.random.split(key, fields), start=1):
        found.append(np.asarray(_skewness(model, scaled, one)))
        progress(f"skewness, {type(model.supplier).__name__}", number, fields)
    return np.stack(found)


@eqx.filter_jit
def _skewness(model, scaled, key):
    lensing, _, contrast = model.matter(model.parameters.fiducial, normal(key, model.supplier.white_shape))
    maps = smoothed(scaled.sky, jnp.concatenate([lensing, contrast], axis=-1), sum(scaled.widths, ()))
    centred = maps - jnp.mean(maps, axis=(0, 1))
    return jnp.mean(centred**3, axis=(0, 1)) / jnp.mean(centred**2, axis=(0, 1)) ** 1.5


ASKED = np.linspace(0.1, 1.0, 7)  # values of r_g
LAWS = {"sin(πs) / (πs) = r": exact_spread, "s = (1 - r)^(2/3)": published_spread}


def loosened(model: CombinedProbes, bands: Bands, key: Key[Array, ""], fields: int) -> dict[str, Float[np.ndarray, "r bands"]]:
    """Correlation coefficient of galaxies with matter at each of `ASKED`, by the law of the spread; means over bins.

    Args:
        model: of one field.
        bands: of multipoles.
        key: scalar key.
        fields: how many.
    """
    keys = jax.random.split(key, fields)
    return {name: np.asarray(_loosened(model, bands, keys, jax.vmap(law)(jnp.asarray(ASKED)))) for name, law in LAWS.items()}


@eqx.filter_jit
def _loosened(model, bands, keys, spreads):
    def matter(key):
        return model.matter(model.parameters.fiducial, normal(key, model.supplier.white_shape))[2]

    contrast = jax.lax.map(matter, keys)
    white = normal(stream(keys[0], "phases"), contrast.shape)

    def at(spread):
        galaxies = jax.vmap(shuffled_phases, (0, 0, None))(contrast, white, spread)
        return jnp.mean(correlation_coefficient(bands, contrast, galaxies), axis=0)

    return jax.lax.map(at, spreads)
