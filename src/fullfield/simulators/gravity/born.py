"""Maps of the light cone in the Born approximation: its planes, weighted and seen under angles.

    m_i(θ) = Σ_j w_ij δ_j(S_k(χ_j) θ),    w_i = Δχ 3/2 Ωm (H0/c)² (1+z) S_k(χ) ∫ dz' n_i(z') S_k(χ'−χ)/S_k(χ')

for convergence, the kernel of `fullfield.cosmology.lensing_spectra` at the middle of each plane, Δχ n_i(z) dz/dχ for galaxies,
and that times the F(z) of intrinsic alignment for theirs.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, full_precision
from fullfield.cosmology import comoving_distance, Cosmology, expansion_rate, history, NLA, RedshiftBins
from fullfield.cosmology.background import curved_sine_and_cosine
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.fields import FlatSky
from fullfield.simulators.gravity.checks import unless
from fullfield.simulators.gravity.lightcone import LightCone
from fullfield.simulators.gravity.mesh import read


_REDSHIFTS = np.expm1(np.linspace(0, np.log(31), 256))  # of the first guess of a redshift


@full_precision
def lensing_weights(
    cosmology: Cosmology, bins: RedshiftBins, cone: LightCone, *, lost: float = 0.01
) -> Float[Array, "bins planes"]:
    """Weight of the density contrast of each plane in the convergence of each bin.

    Args:
        cosmology: the universe.
        bins: redshift distributions of the sources.
        cone: the planes.
        lost: share of the sources of a bin that may lie behind the last plane; nothing behind that plane lenses them.

    Raises:
        ConfigurationError: more sources than that lie behind it; under `jit` it is equinox's runtime error.
    """
    at = jnp.asarray(cone.distances, float)
    z = _redshift(cosmology, at)
    sine, cosine = curved_sine_and_cosine(cosmology, at)
    behind = comoving_distance(cosmology, bins.z)
    source_sine, source_cosine = curved_sine_and_cosine(cosmology, behind)
    seen = bins.z > 0
    cotangent = jnp.where(seen, source_cosine / jnp.where(seen, source_sine, 1.0), 0.0)
    # S_k(χ'−χ)/S_k(χ') = C_k(χ) − S_k(χ) C_k(χ')/S_k(χ') falls through zero where the source is at the plane.
    efficiency = jnp.where(behind > at[:, None], cosine[:, None] - sine[:, None] * cotangent, 0.0)
    half = jnp.diff(bins.z) / 2
    sources = bins.density * (jnp.pad(half, (0, 1)) + jnp.pad(half, (1, 0)))  # the trapezium rule
    beyond = ConfigurationError(
        "bins",
        expected=f"at most a share of {lost:g} of the sources of each bin behind the end of the light cone",
        got=f"more behind its {cone.distance:g} Mpc/h",
        remedy="Take a deeper cone, cut the redshift distributions, or allow to lose more.",
    )
    sources = unless(jnp.any(jnp.sum(jnp.where(behind > cone.distance, sources, 0.0), axis=1) > lost), beyond, sources)
    weight = 1.5 * cosmology.omega_m * (cone.thickness / HUBBLE_DISTANCE**2) * (1 + z) * sine
    return weight * (sources @ efficiency.T)


@full_precision
def galaxy_weights(
    cosmology: Cosmology, bins: RedshiftBins, cone: LightCone
) -> tuple[Float[Array, "bins planes"], Float[Array, "bins planes"]]:
    """Weights of the density contrast of each plane in that of unbiased galaxies, and in their intrinsic convergence.

    The latter is of an amplitude of one at every redshift, as in `fullfield.cosmology.MatterShells`.

    Args:
        cosmology: the universe.
        bins: redshift distributions of the galaxies; those behind the last plane are in no map.
        cone: the planes.
    """
    z = _redshift(cosmology, jnp.asarray(cone.distances, float))
    density = jax.vmap(lambda row: jnp.interp(z, bins.z, row, left=0.0, right=0.0))(bins.density)
    galaxies = density * expansion_rate(cosmology, 1 / (1 + z)) * (cone.thickness / HUBBLE_DISTANCE)
    return galaxies, NLA(1.0)(cosmology, z, history(cosmology).at(z)[1]) * galaxies


def seen(cosmology: Cosmology, cone: LightCone, planes: Float[Array, "y x planes"], sky: FlatSky) -> Float[Array, "planes n n"]:
    """Density contrast of each plane (planes, n, n), interpolated to the middles of pixels.

    Args:
        cosmology: the universe.
        cone: the planes' light cone.
        planes: from `ParticleMesh.on_lightcone`.
        sky: patch and pixels of the map.

    Raises:
        ConfigurationError: the box is two-dimensional or narrower than the patch at the last plane.
    """
    return jax.lax.map(lambda plane: _view(cone, sky)(*plane), (jnp.moveaxis(planes, -1, 0), _transverse(cosmology, cone)))


def convergence(
    cosmology: Cosmology,
    bins: RedshiftBins,
    cone: LightCone,
    planes: Float[Array, "y x planes"],
    sky: FlatSky,
    *,
    lost: float = 0.01,
) -> Float[Array, "n n bins"]:
    """Convergence maps (n, n, bins) of the density contrasts of planes, interpolated to the middles of pixels.

    Pixels larger than a cell of the plane under their angle skip some of it; `fullfield.fields.block_average` of maps of more
    pixels averages it.

    Args:
        cosmology: the universe.
        bins: redshift distributions of the sources.
        cone: the planes' light cone.
        planes: from `ParticleMesh.on_lightcone`.
        sky: patch and pixels of the map.
        lost: share of the sources of a bin that may lie behind the last plane.

    Raises:
        ConfigurationError: the box is two-dimensional or narrower than the patch at the last plane, or more sources than `lost`
            lie behind that plane; the last is equinox's runtime error under `jit`.
    """
    weights, view = lensing_weights(cosmology, bins, cone, lost=lost), _view(cone, sky)

    def add(maps, plane):
        contrast, weight, distance = plane
        return maps + view(contrast, distance)[..., None] * weight, None

    empty = jnp.zeros((sky.pixels, sky.pixels, bins.size))
    return jax.lax.scan(add, empty, (jnp.moveaxis(planes, -1, 0), weights.T, _transverse(cosmology, cone)))[0]


def _view(cone, sky) -> Callable:
    """Interpolates a plane at some transverse distance to the middles of pixels."""
    if cone.box.dimensions != 3:
        raise ConfigurationError("cone", expected="a light cone of a box of three dimensions", got=cone.box.shape)
    across, narrowest = sky.side_radians * cone.distances[-1], min(cone.box.sides[:2])
    if across > narrowest * (1 + 1e-6):
        raise ConfigurationError(
            "sky",
            expected=f"a patch that fits the box, {np.degrees(narrowest / cone.distances[-1]):.3g} degrees at the last plane",
            got=f"{sky.side:g} degrees",
            remedy="Take a wider box, a nearer end of the light cone or a smaller patch.",
        )
    angle = jnp.asarray((np.arange(sky.pixels) + 0.5 - sky.pixels / 2) * (sky.side_radians / sky.pixels), float)

    def view(contrast, distance):
        y, x = (angle * (distance / cone.box.cell) + points / 2 for points in cone.box.shape[:2])
        offset = jnp.stack(jnp.broadcast_arrays(y[:, None], x[None]))
        return read(0, contrast[..., None], offset)[0]

    return view


def _transverse(cosmology, cone):
    return curved_sine_and_cosine(cosmology, jnp.asarray(cone.distances, float))[0]


def _redshift(cosmology, distance):
    """Redshift of comoving distances: Newton's step from a look-up has the derivative of the inverse function."""
    nodes = jnp.asarray(_REDSHIFTS, float)
    z = jax.lax.stop_gradient(jnp.interp(distance, comoving_distance(cosmology, nodes), nodes))
    return z - (comoving_distance(cosmology, z) - distance) * expansion_rate(cosmology, 1 / (1 + z)) / HUBBLE_DISTANCE
