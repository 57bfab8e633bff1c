"""Delaunay densities against densities that are known."""

import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import delaunay_density


def lattice(n, side=1.0):
    """Rows of points, every other moved by half a distance, so that each has six triangles."""
    row, column = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    return np.stack([row, column + row % 2 / 2], axis=-1).reshape(-1, 2) * side / n


def test_an_even_plane_has_density_one():
    np.testing.assert_allclose(delaunay_density(lattice(48, 7.0) + 0.03, 7.0, 6), 1, atol=0.03)


def test_a_wave_has_its_density():
    """Particles moved from u to x, u = x + sin(2πx) / 4π, have the density du/dx; whole rows lie on one side of an edge."""
    u, x = lattice(96) + 0.003, np.linspace(0, 1, 20_001)
    waved = np.stack([np.interp(u[:, 0], x + np.sin(2 * np.pi * x) / (4 * np.pi), x), u[:, 1]], axis=1)
    centres = (np.arange(12) + 0.5) / 12
    expected = 1 + np.cos(2 * np.pi * centres) / 2 * np.sinc(1 / 12)
    np.testing.assert_allclose(delaunay_density(waved, 1.0, 12), expected[:, None] * np.ones(12), rtol=0.05)


def clustered(n=20_000):
    random = np.random.default_rng(1)
    halo = random.normal([0.02, 0.5], 0.01, (n // 4, 2))  # over the edge
    return np.concatenate([random.random((n - len(halo), 2)), halo])


def test_mass_is_kept_in_haloes_and_voids():
    density = delaunay_density(clustered(), 1.0, 64)
    assert density.mean() == pytest.approx(1, abs=0.01)
    # A quarter of the mass and π (.03)² of the rest lie within three deviations of the halo's centre, less e^-4.5 of it.
    centres = (np.arange(64) + 0.5) / 64
    x, y = np.meshgrid(centres, centres, indexing="ij")
    near = np.hypot((x - 0.02 + 0.5) % 1 - 0.5, y - 0.5) < 0.06
    assert density[near].sum() / density.size == pytest.approx(0.25 + 0.75 * near.mean(), rel=0.03)


def test_the_plane_is_periodic():
    points = clustered()
    moved = delaunay_density(points + np.array([3 / 64, -20 / 64]), 1.0, 64)
    here = np.roll(delaunay_density(points, 1.0, 64), (3, -20), (0, 1))
    assert np.mean(np.abs(np.log(moved / here)) > 0.01) < 0.01  # of the samples, a few fall on edges of triangles


def test_particles_at_one_place_are_one_of_all_their_mass():
    points = clustered(4000)
    np.testing.assert_allclose(
        delaunay_density(np.concatenate([points, points]), 1.0, 32), delaunay_density(points, 1.0, 32), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"positions": np.zeros((20, 3))}, ShapeError, r"positions: expected \(n, 2\), got \(20, 3\)"),
        ({"positions": np.zeros((8, 2))}, DataError, "positions: expected at least nine"),
        ({"positions": np.full((20, 2), np.nan)}, DataError, "positions: expected at least nine, finite"),
        ({"side": 0.0}, ConfigurationError, "side: expected more than zero"),
        ({"pixels": 0}, ConfigurationError, "pixels: expected more than zero"),
    ],
)
def test_what_has_no_density_is_refused(change, error, message):
    settings = {"positions": lattice(8), "side": 1.0, "pixels": 4} | change
    with pytest.raises(error, match=message):
        delaunay_density(settings["positions"], settings["side"], settings["pixels"])
