"""Where estimates look: their slopes by every pixel of the maps, against the galaxies that are there.

s = ∂θ̂/∂m of an estimate θ̂ linear in the summaries, as in figure 6 of Kacprzak & Fluri 2022 (PRX 12, 031029), with what they
left open: how sensitive the convergence is where galaxies are dense and where they are not, as a number. An estimate from cross
spectra alone is linear in the galaxies, too: ∂(Σ κ δ_g)/∂κ = δ_g, smoothed. That sensitivity follows overdensities is therefore
no mark of what networks know beyond spectra.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.compression import ScaledProbes
from fullfield.fields import FlatSky, smoothed


CLASSES = 10  # of density, with as many pixels each
SMOOTHING = 5.0  # arcminutes, of galaxies that sensitivity is set against


def linear_estimate(theta: Float[np.ndarray, "n p"], summaries: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "p s"]:
    """Slopes of the least-squares line from summaries to parameters."""
    centred = [values - values.mean(axis=0) for values in (theta, summaries)]
    return np.linalg.lstsq(centred[1], centred[0], rcond=None)[0].T


def sensitivities(
    scaled: ScaledProbes, summary: Callable, slopes: Float[np.ndarray, "q s"], surveys: Float[np.ndarray, "m k n n c"]
) -> Float[np.ndarray, "m q k n n c"]:
    """Slopes of linear estimates by every pixel of the scaled maps before they were smoothed.

    Args:
        scaled: what scaled and smoothed the maps.
        summary: survey to summaries, a callable module.
        slopes: of each estimate by the summaries.
        surveys: scaled, smoothed maps.
    """
    weights = jnp.asarray(slopes, jnp.float32)
    return np.stack([np.asarray(_slopes(scaled, summary, weights, jnp.asarray(maps, jnp.float32))) for maps in surveys])


@eqx.filter_jit
def _slopes(scaled, summary, weights, maps):
    _, pull = jax.vjp(summary, maps)
    widths = sum(scaled.widths, ())
    # Smoothing by an even beam is its own adjoint.
    back = jax.vmap(lambda field: smoothed(scaled.sky, field, widths))
    return jnp.stack([back(pull(row)[0]) for row in weights])


def against_density(
    sky: FlatSky, sensitivity: Float[np.ndarray, "f n n"], galaxies: Float[np.ndarray, "f n n"]
) -> tuple[Float[np.ndarray, " classes"], Float[np.ndarray, " classes"], float]:
    """Sensitivity stacked on pixels of similar density.

    Args:
        sky: patch of the fields.
        sensitivity: slopes by the pixels of one map of every field.
        galaxies: contrast of their numbers there, smoothed here.

    Returns:
        Mean density and mean sensitivity, in their own deviations, of ten classes of pixels by density; and the correlation
        coefficient of the two over all pixels.
    """
    density = np.asarray(_smooth(sky, jnp.moveaxis(jnp.asarray(galaxies, jnp.float32), 0, -1)))
    density, slopes = np.moveaxis(density, -1, 0).ravel(), np.asarray(sensitivity, float).ravel()
    density, slopes = ((values - values.mean()) / values.std() for values in (density, slopes))
    classes = np.array_split(np.argsort(density), CLASSES)
    stacked = [np.array([values[rows].mean() for rows in classes]) for values in (density, slopes)]
    return stacked[0], stacked[1], float(np.mean(density * slopes))


@eqx.filter_jit
def _smooth(sky: FlatSky, maps: Float[Array, "n n f"]) -> Float[Array, "n n f"]:
    return smoothed(sky, maps, SMOOTHING)
