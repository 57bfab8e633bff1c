"""Shear maps from catalogues: means, noise, orientation on the sphere, and what is refused."""

import io

import jax
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import FlatSky, kaiser_squires, randomly_rotated, shear_maps, ShearMaps


SKY, CENTRE = FlatSky(8, 1.0), (150.0, 2.0)


def galaxies(count=4000, seed=0, side=1.2, centre=CENTRE):
    random = np.random.default_rng(seed)
    offset = random.uniform(-side / 2, side / 2, (2, count))
    e1, e2 = random.normal(0, 0.25, (2, count)).clip(-0.7, 0.7)
    ra, dec = centre[0] + offset[0] / np.cos(np.radians(centre[1])), centre[1] + offset[1]
    return {"ra": ra, "dec": dec, "e1": e1, "e2": e2, "weight": random.gamma(4.0, 0.25, count)}


def test_pixels_hold_the_weighted_means_of_their_galaxies():
    catalogue = galaxies() | {"bin": np.arange(4000) % 2}
    maps = shear_maps(catalogue, SKY, CENTRE)
    # Near the equator and the centre the sky is flat to a thousandth of a pixel, which moves a few galaxies at the edges.
    x = ((catalogue["ra"] - 150) * np.cos(np.radians(2.0)) + 0.5) * 8
    y = (catalogue["dec"] - 2.0 + 0.5) * 8
    weight = catalogue["weight"]
    for row, column, bin_ in [(0, 0, 0), (3, 6, 1), (7, 2, 0)]:
        mine = (np.floor(y) == row) & (np.floor(x) == column) & (catalogue["bin"] == bin_)
        assert maps.counts[row, column, bin_] == pytest.approx(mine.sum(), abs=1)
        np.testing.assert_allclose(maps.weight[row, column, bin_], weight[mine].sum(), rtol=0.06)
        for component, name in enumerate(("e1", "e2")):
            mean = np.average(catalogue[name][mine], weights=weight[mine])
            np.testing.assert_allclose(maps.shear[row, column, bin_, component], mean, atol=0.03)
    assert maps.counts.sum() == pytest.approx(4000 / 1.44, rel=0.05)


def test_noise_is_the_scatter_of_randomly_rotated_galaxies():
    """Error budget: 50 rotations of 128 numbers, variance to 1.8 %; false alarm at four sigma 6e-5.

    The broken twin takes σ_e / √counts for the noise, and is 12 % low in the variance where weights scatter by a half.
    """
    catalogue = galaxies()
    maps = shear_maps(catalogue, SKY, CENTRE)
    turned = [
        shear_maps(randomly_rotated(catalogue, key=key), SKY, CENTRE).shear for key in jax.random.split(jax.random.key(0), 50)
    ]
    ratio = np.var(np.stack(turned) / maps.noise[..., None])
    assert abs(ratio - 1) < 0.072
    scatter = np.sqrt((catalogue["e1"] ** 2 + catalogue["e2"] ** 2).mean() / 2)
    assert np.var(np.stack(turned) / (scatter / np.sqrt(maps.counts))[..., None]) - 1 > 0.1


def towards(ra, dec, centre):
    """Position angle of the great circle to `centre`, from north through east, by spherical trigonometry."""
    ra, dec, (ra_0, dec_0) = np.radians(ra), np.radians(dec), np.radians(centre)
    east = np.cos(dec_0) * np.sin(ra_0 - ra)
    return np.arctan2(east, np.cos(dec) * np.sin(dec_0) - np.sin(dec) * np.cos(dec_0) * np.cos(ra_0 - ra))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("centre", [(359.9, 60.0), (0.2, -45.0), (150.0, 2.0)])
def test_great_circles_through_the_centre_stay_straight(centre, sign):
    # Galaxies that point at the centre: at 60 degrees the meridian four degrees away leans by 3.5 degrees in the projection.
    sky = FlatSky(16, 8.0)
    catalogue = galaxies(20000, side=9.0, centre=centre)
    catalogue["ra"] %= 360
    # x to the east: position angle P from north through east is an angle of 90° - P from x; an image's x runs west.
    angle = np.pi / 2 - sign * towards(catalogue["ra"], catalogue["dec"], centre)
    maps = shear_maps(catalogue | {"e1": 0.3 * np.cos(2 * angle), "e2": 0.3 * np.sin(2 * angle)}, sky, centre, e2_sign=sign)
    y, x = np.indices((16, 16)) - 7.5
    shear = maps.shear[..., 0, 0] + 1j * maps.shear[..., 0, 1]
    turned = shear / (x + 1j * y) ** 2
    outside = np.hypot(x, y) > 4
    # Where its galaxies happen to lie turns a pixel's mean by 0.4 degrees; a meridian taken for the y axis, by 2.
    angles = np.degrees(np.angle(turned[outside]) / 2)
    assert np.std(angles) < 0.6
    assert abs(np.mean(angles)) < 0.15
    # What points at a mass is minus its shear: a trough of the E modes. The patch is not periodic, which makes B modes.
    modes = np.asarray(kaiser_squires(maps.shear))[:, :, 0]
    assert np.unravel_index(modes[..., 0].argmin(), (16, 16)) in [(i, j) for i in (7, 8) for j in (7, 8)]
    assert np.std(modes[..., 1]) < 0.4 * np.std(modes[..., 0])


def test_coarser_maps_are_those_of_the_same_galaxies_and_survive_a_file():
    catalogue = galaxies(300)
    fine, coarse = (shear_maps(catalogue, FlatSky(n, 1.0), CENTRE) for n in (16, 8))
    averaged = fine.coarsened(2)
    assert not fine.observed.all()
    file = io.BytesIO()
    np.savez(file, **averaged.as_arrays())
    file.seek(0)
    with np.load(file) as arrays:
        again = ShearMaps.from_arrays(arrays)
    assert again.sky == coarse.sky
    assert again.centre == CENTRE
    for name in ("shear", "weight", "noise", "counts"):
        np.testing.assert_allclose(getattr(again, name), getattr(coarse, name), rtol=1e-5, atol=1e-6)


def without(name):
    return lambda catalogue: catalogue.pop(name)


def put(name, values, rows=slice(0, 3)):
    return lambda catalogue: catalogue[name].__setitem__(rows, values)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("weight"), r"catalogue: expected columns ra, dec, e1, e2, weight, got no weight.*rename columns"),
        (put("e1", np.nan), r"expected finite rows, got 3 of 4000 galaxies that are not\. Cut them"),
        (put("ra", np.inf), "finite rows"),
        (put("e2", -1.0), r"e1, e2: expected \|e\| < 1, got 3 of 4000 galaxies"),
        (put("weight", -1.0), r"weight: expected no negative weights, got 3 of 4000"),
        (put("weight", 0.0, slice(None)), "galaxies of positive weight in every bin, got none in bin 0.*without gaps"),
        (put("dec", -60.0, slice(None)), r"centre: expected galaxies in the patch.*median position is \(1\d+\.\d+, -60\.000\)"),
        (lambda catalogue: catalogue.update(bin=np.full(4000, 0.5)), "whole numbers from 0 up, got 4000"),
        (lambda catalogue: catalogue.update(bin=np.full(4000, "low")), r"bin: expected numbers, got <U3 .*numbered 0, 1"),
        (lambda catalogue: catalogue.update(ra=np.full(4000, "9h")), r"ra: expected numbers, got <U2"),
        (
            lambda catalogue: catalogue.update({name: column[:0] for name, column in catalogue.items()}),
            r"galaxies, got no rows\. Has a cut",
        ),
    ],
)
def test_bad_catalogues_are_refused(spoil, message):
    catalogue = galaxies()
    spoil(catalogue)
    with pytest.raises(DataError, match=message):
        shear_maps(catalogue, SKY, CENTRE)


def test_structured_arrays_are_catalogues(unchecked):
    catalogue = galaxies(300)
    rows = np.rec.fromarrays(list(catalogue.values()), names=list(catalogue))
    maps, others = shear_maps(catalogue, SKY, CENTRE), shear_maps(rows, SKY, CENTRE)
    np.testing.assert_array_equal(maps.shear, others.shear)
    turned = [randomly_rotated(each, key=jax.random.key(0)) for each in (catalogue, rows)]
    np.testing.assert_array_equal(turned[0]["e1"], turned[1]["e1"])
    with pytest.raises(DataError, match=r"named columns, got a plain array \(300, 5\)"):
        shear_maps(np.zeros((300, 5)), SKY, CENTRE)
    for refuse in (lambda rows: shear_maps(rows, SKY, CENTRE), lambda rows: randomly_rotated(rows, key=jax.random.key(0))):
        with pytest.raises(
            DataError, match=r"catalogue: expected named columns, got a list. Make it a mapping of columns ra, "
        ):
            refuse([catalogue["ra"], catalogue["dec"]])


def test_bad_settings_and_maps_are_refused():
    catalogue = galaxies()
    with pytest.raises(ConfigurationError, match="e2_sign: expected 1 or -1, got 0"):
        shear_maps(catalogue, SKY, CENTRE, e2_sign=0)
    with pytest.raises(ShapeError, match="columns of one length"):
        shear_maps(catalogue | {"e1": np.zeros(3)}, SKY, CENTRE)
    wide = catalogue | {"e1": np.full(4000, 1.2)}
    with pytest.raises(DataError, match=r"\|γ\| < 1 in observed pixels, got 64 pixels"):
        shear_maps(wide, SKY, CENTRE, largest=1.5)
    arrays = shear_maps(catalogue, SKY, CENTRE).as_arrays()
    with pytest.raises(DataError, match="at least one observed pixel, got none"):
        ShearMaps.from_arrays(arrays | {"weight": np.zeros((8, 8, 1))})
    with pytest.raises(DataError, match=r"arrays: expected side, centre, .* got no noise, counts"):
        ShearMaps.from_arrays({name: arrays[name] for name in ("side", "centre", "shear", "weight")})
    maps = (arrays[name] for name in ("shear", "weight", "noise", "counts"))
    with pytest.raises(ShapeError, match=r"shear: expected maps \(16, 16, 1\) of the patch, got \(8, 8, 1\)"):
        ShearMaps(FlatSky(16, 1.0), CENTRE, *maps)
