"""How far from Gaussian the matter of each supplier is: what maps can know beyond spectra begins with it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress
from fullfield.compression import ScaledProbes
from fullfield.fields import normal, smoothed
from fullfield.simulators import CombinedProbes


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
