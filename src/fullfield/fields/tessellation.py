"""Density of particles in a plane by the Delaunay tessellation field estimator (DTFE).

At particle i the density is ρ_i = 3 m_i / A_i, with A_i the area of all Delaunay triangles that meet there; within a triangle
it is linear (Schaap & van de Weygaert 2000, A&A 363, L29). It keeps the mass and resolves what particles do: haloes finely,
voids without shot noise.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import Delaunay

from fullfield._core import ConfigurationError, DataError, ShapeError


MARGIN = 12  # mean distances of particles by which the periodic copy reaches beyond each edge: past the widest voids' triangles
SMALL = 1 / 8  # of a pixel: larger triangles are quartered before their mass is put on the map
NEAR, FAR = 2 / 3, 1 / 6  # barycentric coordinates of three points, with a third of its mass each, that stand for a triangle


def delaunay_density(positions: Float[np.ndarray, "..."], side: float, pixels: int) -> Float[np.ndarray, "pixels pixels"]:
    """Density over its mean on the pixels of a periodic plane.

    Args:
        positions: of the particles (n, 2), in any period, in the unit of `side`.
        side: length of the plane.
        pixels: on a side of the map.

    Returns:
        Map, the first axis along the first coordinate, each pixel the mean of the density over it.

    Raises:
        ShapeError: positions are not of two dimensions.
        ConfigurationError: `side` or `pixels` is not positive.
        DataError: there are fewer than nine particles, or a position is not finite.
    """
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ShapeError("positions", expected="(n, 2)", got=positions.shape)
    for name, value in {"side": side, "pixels": pixels}.items():
        if not value > 0:
            raise ConfigurationError(name, expected="more than zero", got=value)
    if len(positions) < 9 or not np.isfinite(positions).all():
        raise DataError("positions", expected="at least nine, finite", got=f"{len(positions)}, or NaN or infinity among them")
    points = _with_margin(np.asarray(positions, float) % side / side)
    mesh = Delaunay(points)
    corners = (points[mesh.simplices] * pixels).transpose(1, 2, 0).copy()  # (3, 2, triangles)
    density = _at_particles(mesh, _areas(corners))[mesh.simplices.T] * (pixels**2 / len(positions))
    seen = (corners.max(axis=0) >= 0).all(axis=0) & (corners.min(axis=0) <= pixels).all(axis=0)
    return _mapped(corners[..., seen], density[..., seen], pixels).astype(np.float32)


def _with_margin(points):
    """Points of the unit square, and what of their periodic copies lies near its edges."""
    width = min(0.5, MARGIN / len(points) ** 0.5)
    for axis in range(2):
        shift = np.eye(2)[axis]
        low, high = points[points[:, axis] < width], points[points[:, axis] >= 1 - width]
        points = np.concatenate([points, low + shift, high - shift])
    return points


def _areas(corners):
    (across, up), (over, high) = corners[1] - corners[0], corners[2] - corners[0]
    return np.abs(across * high - up * over) / 2


def _at_particles(mesh, areas):
    n = len(mesh.points)
    stars = np.bincount(mesh.simplices.ravel(), np.repeat(areas, 3), n)
    # Particles at one place are one corner of the tessellation, with the mass of all.
    masses = 1 + np.bincount(mesh.coplanar[:, 2], minlength=n)
    return np.divide(3 * masses, stars, out=np.zeros(n), where=stars > 0)


def _mapped(corners, density, pixels):
    """Masses of triangles (3, 2, t), of densities linear between their corners (3, t), in the pixels where they lie."""
    found = np.zeros(pixels**2)
    while density.size:
        areas = _areas(corners)
        small = areas < SMALL
        for near, far, other in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            (row, column), own = (
                NEAR * values[near][..., small] + FAR * (values[far][..., small] + values[other][..., small])
                for values in (corners, density)
            )
            within = (row >= 0) & (row < pixels) & (column >= 0) & (column < pixels)
            place = row[within].astype(int) * pixels + column[within].astype(int)
            found += np.bincount(place, (areas[small] * own)[within] / 3, pixels**2)
        corners, density = _quartered(corners[..., ~small]), _quartered(density[..., ~small])
    return found.reshape(pixels, pixels)


def _quartered(corners):
    """The four triangles between the corners (3, ..., t) and the middles of the sides, or what is linear at them."""
    middles = (corners + corners[[1, 2, 0]]) / 2
    outer = [np.stack([corners[i], middles[i], middles[i - 1]]) for i in range(3)]
    return np.concatenate([*outer, middles], axis=-1)
