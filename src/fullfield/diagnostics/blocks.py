"""Blocks of a joint posterior of parameters and maps, and the references that distances within them are measured from.

A joint posterior has a few parameters and tens of thousands of pixels, so that distances in all of it at once see pixels
only. Distances are therefore kept per block: each parameter, all parameters (whitened), each tomographic bin (sum over
pixels), each multipole band (sum over the real modes of all bins, each in units of the typical power of truths).
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision, ShapeError, stream
from fullfield.diagnostics.references import ESTIMATE, OTHER_TRUTH, UNIFORM
from fullfield.diagnostics.samples import as_finite, check_names, Numeric
from fullfield.fields import Bands, hartley


RULES = (UNIFORM, OTHER_TRUTH, ESTIMATE)
BOX = 3.0  # reach of uniform references of maps in deviations of a mode; some hundred truths reach as far


class References(eqx.Module):
    """References of one observation in the order of `RULES`, several per rule.

    Args:
        theta: parameters.
        modes: Hartley coefficients of maps.
    """

    theta: Float[Array, "K F p"]
    modes: Float[Array, "K F n n bins"]


class JointBlocks(eqx.Module):
    """Units of every block, from simulations with their truths and baseline estimates.

    Args:
        names: names of the parameters.
        bands: multipole bands.
        root: whitens parameters by the covariance of the errors of their estimate.
        low: smallest truth of each parameter.
        high: largest truth of each parameter.
        modes: root mean square of each mode of the truths, sr^½.
        errors: root mean square error of each mode of the estimate.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    bands: Bands
    root: Float[Array, "p p"]
    low: Float[Array, " p"]
    high: Float[Array, " p"]
    modes: Float[Array, "n n bins"]
    errors: Float[Array, "n n bins"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each block: parameters, "theta", bins, bands."""
        bins = self.modes.shape[-1]
        return (*self.names, "theta", *bin_names(bins), *band_names(self.bands))

    @full_precision
    def references(
        self,
        key: Key[Array, ""],
        estimate: tuple[Float[Array, " p"], Float[Array, "n n bins"]],
        others: tuple[Float[Array, "F p"], Float[Array, "F n n bins"]],
    ) -> References:
        """Place the references of one observation, before a posterior draw of it exists.

        The rules: "uniform" in the box of the truths (maps: of their whitened modes); "other_truth", those of other
        simulations; "estimate", a baseline estimate plus normal noise half as broad as its errors.

        Args:
            key: places the references.
            estimate: parameters and maps, estimated from the observation.
            others: parameters and maps of other simulations, one per fold.
        """
        theta, maps = others
        even = jax.random.uniform(stream(key, "theta"), theta.shape, minval=self.low, maxval=self.high)
        box = BOX * jax.random.uniform(stream(key, "maps"), maps.shape, minval=-1.0) * self.modes
        broad = 0.5 * jax.random.normal(stream(key, "theta errors"), theta.shape) @ jnp.linalg.inv(self.root)
        rough = 0.5 * jax.random.normal(stream(key, "map errors"), maps.shape) * self.errors
        sky = self.bands.sky
        return References(
            jnp.stack([even, theta, estimate[0] + broad]),
            jnp.stack([box, hartley(sky, maps), hartley(sky, estimate[1]) + rough]),
        )

    @full_precision
    def distances(
        self, references: References, theta: Float[Array, "s p"], modes: Float[Array, "s n n bins"]
    ) -> Float[Array, "s K F blocks"]:
        """Squared distances of parameters and modes to the references within each block, in the order of `labels`."""
        unit = jnp.linalg.norm(jnp.linalg.inv(self.root), axis=0)
        power = jnp.where(self.modes > 0, self.modes, 1.0) ** 2
        inside = jnp.asarray(self.bands.plane, modes.dtype)
        # Parseval: the same as the sum over pixels.
        area = (self.bands.sky.pixels / self.bands.sky.side_radians) ** 2

        def to(place):
            single, field = theta - place[0], (modes - place[1]) ** 2
            together = jnp.sum((single @ self.root) ** 2, axis=-1, keepdims=True)
            bands = jnp.einsum("byx,syxc->sb", inside, field / power)
            return jnp.concatenate([(single / unit) ** 2, together, area * jnp.sum(field, axis=(1, 2)), bands], axis=-1)

        rules, folds = references.theta.shape[:2]
        flat = jax.tree.map(lambda array: array.reshape(rules * folds, *array.shape[2:]), (references.theta, references.modes))
        return jnp.moveaxis(jax.lax.map(to, flat).reshape(rules, folds, *theta.shape[:1], -1), 2, 0)


def joint_blocks(
    names: Sequence[str],
    bands: Bands,
    theta: Float[Numeric, "m p"],
    maps: Float[Numeric, "m n n bins"],
    theta_estimates: Float[Numeric, "m p"],
    map_estimates: Float[Numeric, "m n n bins"],
) -> JointBlocks:
    """Measure the units of the blocks from a few hundred simulations, those to be tested or others.

    Args:
        names: names of the parameters.
        bands: multipole bands of the maps' patch.
        theta: true parameters.
        maps: true maps.
        theta_estimates: parameters estimated from the data, such as by `regress`.
        map_estimates: maps estimated from the data, such as Wiener filtered ones.

    Raises:
        DataError: values that are not finite.
        ShapeError: arrays that do not belong together.
    """
    names = check_names(names, theta.shape[1])
    for name, array, like in (("theta_estimates", theta_estimates, theta), ("map_estimates", map_estimates, maps)):
        if array.shape != like.shape:
            raise ShapeError(name, expected=f"{like.shape}, as the truths", got=array.shape)
    if maps.shape[1:3] != (bands.sky.pixels,) * 2 or len(maps) != len(theta):
        raise ShapeError("maps", expected=f"({len(theta)}, {bands.sky.pixels}, {bands.sky.pixels}, bins)", got=maps.shape)
    theta, errors = as_finite("theta", theta), as_finite("theta_estimates", theta_estimates) - as_finite("theta", theta)
    root = np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(errors.T)))).T
    truths = hartley(bands.sky, jnp.asarray(as_finite("maps", maps), jnp.float32))
    missed = truths - hartley(bands.sky, jnp.asarray(as_finite("map_estimates", map_estimates), jnp.float32))
    root, low, high = (jnp.asarray(array, jnp.float32) for array in (root, theta.min(0), theta.max(0)))
    modes, missed = (jnp.sqrt(jnp.mean(array**2, axis=0)) for array in (truths, missed))
    return JointBlocks(names, bands, root, low, high, modes, missed)


def bin_names(bins: int) -> tuple[str, ...]:
    """Names of tomographic bins, counted from one."""
    return tuple(f"bin_{i + 1}" for i in range(bins))


def band_names(bands: Bands) -> tuple[str, ...]:
    """Names of multipole bands by their centres."""
    return tuple(f"ell_{centre:.0f}" for centre in bands.centres)
