"""From a catalogue of galaxy shapes to shear maps on a flat patch.

Positions are projected from the sphere onto the plane that touches it at the patch's centre (gnomonic projection). Maps have
axes (y, x): y runs north and x east, so that right ascension grows with the second index. A pixel's shear is the weighted mean
Σ w e / Σ w of its galaxies, and the standard deviation of its noise per component

    σ = σ_e √(Σ w²) / Σ w,    σ_e² = Σ w² (e₁² + e₂²) / (2 Σ w²) over all galaxies of the bin:

in the mean, the scatter that random rotations of the galaxies give.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields.grid import FlatSky


COLUMNS = ("ra", "dec", "e1", "e2", "weight")
ARRAYS = ("side", "centre", "shear", "weight", "noise", "counts")


class ShearMaps(eqx.Module):
    """Shear of one flat patch as galaxies show it, NumPy arrays with axes (y, x, bin).

    Args:
        sky: patch and pixels.
        centre: right ascension and declination of its centre, degrees.
        shear: γ₁ and γ₂ (n, n, bins, 2) with x to the east and y to the north, zero where unobserved.
        weight: sum of the galaxies' weights (n, n, bins).
        noise: standard deviation of the noise of either component (n, n, bins), infinite where unobserved.
        counts: number of galaxies of positive weight (n, n, bins).

    Raises:
        ShapeError: an array does not fit the patch.
        DataError: an observed shear is not finite or |γ| ≥ 1, or no pixel is observed.
    """

    sky: FlatSky
    centre: tuple[float, float] = eqx.field(static=True)
    shear: Float[np.ndarray, "n n bins 2"]
    weight: Float[np.ndarray, "n n bins"]
    noise: Float[np.ndarray, "n n bins"]
    counts: Int[np.ndarray, "n n bins"]

    def __check_init__(self):
        expected = (self.sky.pixels, self.sky.pixels, self.shear.shape[2])
        for name, array in {
            "shear": self.shear[..., 0],
            "weight": self.weight,
            "noise": self.noise,
            "counts": self.counts,
        }.items():
            if array.shape != expected:
                raise ShapeError(name, expected=f"maps {expected} of the patch", got=array.shape)
        check_shear(self.shear, self.observed)

    @property
    def observed(self) -> Bool[np.ndarray, "n n bins"]:
        """Where there are galaxies."""
        return self.weight > 0

    def places(
        self, ra: Float[np.ndarray, " c"], dec: Float[np.ndarray, " c"]
    ) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
        """Row and column of positions on the sky (degrees), whole at pixels' centres; NaN on the other half of the sky."""
        x, y, _ = _projected(ra, dec, self.centre)
        row, column = self.sky.pixels * (np.stack([y, x]) / self.sky.side_radians + 0.5) - 0.5
        return row, column

    def coarsened(self, factor: int) -> "ShearMaps":
        """The maps that the same galaxies give with `factor` times fewer pixels on a side.

        Raises:
            ConfigurationError: `factor` does not divide the number of pixels.
        """
        sky = self.sky.coarsened(factor)
        weight = _summed(self.weight, factor)
        inverse = 1 / np.where(weight > 0, weight, 1)
        shear = _summed(self.weight[..., None] * self.shear, factor) * inverse[..., None]
        scatter = np.sqrt(_summed((np.where(self.observed, self.noise, 0) * self.weight) ** 2, factor)) * inverse
        noise = np.where(weight > 0, scatter, np.inf)
        return ShearMaps(sky, self.centre, shear, weight, noise, _summed(self.counts, factor))

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays, for `numpy.savez` or a FITS table; `from_arrays` takes them back."""
        arrays = {name: getattr(self, name) for name in ("shear", "weight", "noise", "counts")}
        return arrays | {"side": np.asarray(self.sky.side), "centre": np.asarray(self.centre)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "ShearMaps":
        """Maps from the arrays of `as_arrays`.

        Raises:
            DataError: an array is missing.
        """
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            remedy = "`as_arrays` makes them; maps of your own go to ShearMaps itself."
            raise DataError("arrays", expected=", ".join(ARRAYS), got=f"no {', '.join(missing)}", remedy=remedy)
        shear = np.asarray(arrays["shear"])
        ra, dec = (float(number) for number in arrays["centre"])
        rest = (np.asarray(arrays[name]) for name in ("weight", "noise", "counts"))
        return cls(FlatSky(len(shear), float(arrays["side"])), (ra, dec), shear, *rest)


def check_shear(shear: Float[np.ndarray, "n n bins 2"], observed: Bool[np.ndarray, "n n bins"]) -> None:
    """Refuse what no shear map can hold.

    Raises:
        DataError: no pixel is observed, or an observed shear is not finite or |γ| ≥ 1; says how many and where the first is.
    """
    if not observed.any():
        remedy = "Are weights all zero, or the mask inverted?"
        raise DataError("shear", expected="at least one observed pixel", got="none", remedy=remedy)
    bad = ~(np.hypot(shear[..., 0], shear[..., 1]) < 1) & observed
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            "shear", expected="|γ| < 1 in observed pixels",
            got=f"{bad.sum()} pixels beyond, NaN or infinite, the first at (y, x, bin) = {where}",
            remedy="Take larger pixels, or mark such as unobserved.",
        )  # fmt: skip


def shear_maps(
    catalogue: Mapping[str, np.ndarray] | np.ndarray,
    sky: FlatSky,
    centre: tuple[float, float],
    *,
    e2_sign: int = 1,
    largest: float = 1.0,
) -> ShearMaps:
    """Pixelise a catalogue of galaxy shapes.

    Ellipticities are turned with the meridians, which are not parallel in the projection.

    Args:
        catalogue: columns "ra", "dec" (degrees), "e1", "e2" (estimates of shear) and "weight", optionally "bin" (0, 1, ...),
            as a mapping or a structured array.
        sky: patch and pixels; galaxies outside are left out.
        centre: right ascension and declination of the patch's centre, degrees.
        e2_sign: 1 if e2 > 0 elongates from south-west to north-east, as with x to the east; -1 for an image with north up and
            east left, whose x runs west.
        largest: |e| that no galaxy may reach. Ellipticities end at one; estimates of shear that are corrected for seeing and
            response scatter beyond, and may be let through.

    Raises:
        DataError: a column is missing or holds no numbers, there are no rows, a row is not finite, an ellipticity too large, a
            weight negative or a bin number not whole, no galaxy lies in the patch, or none of a bin has weight.
        ShapeError: columns have different lengths.
        ConfigurationError: `e2_sign` is neither 1 nor -1.
    """
    if e2_sign not in (1, -1):
        raise ConfigurationError("e2_sign", expected="1 or -1", got=e2_sign)
    columns = _columns(catalogue, largest)
    x, y, north = _projected(columns["ra"], columns["dec"], centre)
    n = sky.pixels
    place = n * (np.stack([y, x]) / sky.side_radians + 0.5)
    inside = np.all((place >= 0) & (place < n), axis=0)
    if not inside.any():
        middle = f"({np.median(columns['ra']):.3f}, {np.median(columns['dec']):.3f})"
        remedy = f"The galaxies' median position is {middle} degrees."
        raise DataError(
            "centre", expected="galaxies in the patch", got=f"none within {sky.side:g} degrees of side", remedy=remedy
        )
    bins = int(columns["bin"].max()) + 1
    row, column = place[:, inside].astype(int)
    pixel = np.ravel_multi_index((row, column, columns["bin"][inside].astype(int)), (n, n, bins))
    weight, ellipticity = columns["weight"][inside], (columns["e1"] + 1j * e2_sign * columns["e2"])[inside]
    ellipticity = ellipticity * np.exp(2j * north[inside])

    def summed(values):
        return np.bincount(pixel, weights=values, minlength=n * n * bins).reshape(n, n, bins)

    total, squares = summed(weight), summed(weight**2)
    if not np.all(total.sum((0, 1)) > 0):
        empty = int(np.argmin(total.sum((0, 1))))
        raise DataError(
            "weight", expected="galaxies of positive weight in every bin", got=f"none in bin {empty}, in the patch",
            remedy="Number the bins from 0 without gaps; is the patch where all of them have galaxies?",
        )  # fmt: skip
    inverse = 1 / np.where(total > 0, total, 1)
    scatter = summed(weight**2 * np.abs(ellipticity) ** 2).sum((0, 1)) / (2 * squares.sum((0, 1)))
    noise = np.where(total > 0, np.sqrt(scatter * squares) * inverse, np.inf)
    shear = np.stack([summed(weight * ellipticity.real), summed(weight * ellipticity.imag)], axis=-1) * inverse[..., None]
    counts = summed((weight > 0).astype(float)).astype(np.int32)
    return ShearMaps(sky, centre, shear.astype(np.float32), total.astype(np.float32), noise.astype(np.float32), counts)


def randomly_rotated(catalogue: Mapping[str, np.ndarray] | np.ndarray, *, key: Key[Array, ""]) -> dict[str, np.ndarray]:
    """The same galaxies, each turned by a random angle: no shear is left, and all of the noise."""
    catalogue = _by_name(catalogue)
    phase = np.asarray(jax.random.uniform(key, np.shape(catalogue["e1"]), maxval=2 * np.pi))
    turned = (np.asarray(catalogue["e1"]) + 1j * np.asarray(catalogue["e2"])) * np.exp(1j * phase)
    return {**catalogue, "e1": turned.real, "e2": turned.imag}


def _by_name(catalogue: Any) -> Mapping[str, np.ndarray]:
    if hasattr(catalogue, "keys"):
        return catalogue
    if not isinstance(catalogue, np.ndarray) or catalogue.dtype.names is None:
        got = f"a plain array {catalogue.shape}" if isinstance(catalogue, np.ndarray) else f"a {type(catalogue).__name__}"
        remedy = f"Make it a mapping of columns {', '.join(COLUMNS)}, or a structured array."
        raise DataError("catalogue", expected="named columns", got=got, remedy=remedy)
    return {name: catalogue[name] for name in catalogue.dtype.names}


def _numbers(name, column):
    try:
        return np.asarray(column, float)
    except (TypeError, ValueError):
        remedy = "Bins are numbered 0, 1, ..." if name == "bin" else "Convert the column."
        raise DataError(name, expected="numbers", got=f"{np.asarray(column).dtype} in the column", remedy=remedy) from None


def _columns(catalogue, largest):
    catalogue = _by_name(catalogue)
    missing = [name for name in COLUMNS if name not in catalogue]
    if missing:
        remedy = f"Has {', '.join(sorted(catalogue))}: rename columns to {', '.join(COLUMNS)}."
        raise DataError("catalogue", expected=f"columns {', '.join(COLUMNS)}", got=f"no {', '.join(missing)}", remedy=remedy)
    columns = {name: _numbers(name, catalogue[name]) for name in COLUMNS}
    columns["bin"] = _numbers("bin", catalogue["bin"]) if "bin" in catalogue else np.zeros(columns["ra"].shape)
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or columns["ra"].ndim != 1:
        raise ShapeError("catalogue", expected="columns of one length", got=shapes)
    if not columns["ra"].size:
        raise DataError("catalogue", expected="galaxies", got="no rows", remedy="Has a cut left none?")
    finite = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    size = np.hypot(columns["e1"], columns["e2"])
    whole = (columns["bin"] >= 0) & (columns["bin"] % 1 == 0)
    wide = "Cut them; or, for estimates of shear that scatter beyond, raise `largest`."
    for name, fine, expected, remedy in (
        ("catalogue", finite, "finite rows", "Cut them, or set their weight to zero and their numbers to any."),
        ("e1, e2", size < largest, f"|e| < {largest:g}", wide),
        ("weight", columns["weight"] >= 0, "no negative weights", "Cut them, or set them to zero."),
        ("bin", whole, "whole numbers from 0 up", "Galaxies outside all bins are to be cut."),
    ):
        if not fine.all():
            raise DataError(name, expected=expected, got=f"{(~fine).sum()} of {fine.size} galaxies that are not", remedy=remedy)
    return columns


def _projected(ra, dec, centre):
    """Tangents east and north of the centre, and by how much the meridian there leans counterclockwise from the y axis."""
    ra, dec, (ra_0, dec_0) = np.radians(ra), np.radians(dec), np.radians(centre)
    east, cosine = np.cos(dec) * np.sin(ra - ra_0), np.cos(dec) * np.cos(ra - ra_0)
    towards = np.sin(dec) * np.sin(dec_0) + cosine * np.cos(dec_0)
    # What lies more than 90 degrees away has no projection.
    safe = np.where(towards > 0, towards, np.nan)
    north = np.sin(dec) * np.cos(dec_0) - cosine * np.sin(dec_0)
    lean = np.arctan2(np.sin(dec_0) * np.sin(ra - ra_0), np.cos(ra - ra_0))
    return east / safe, north / safe, lean


def _summed(maps, factor):
    rows, columns = maps.shape[:2]
    return maps.reshape(rows // factor, factor, columns // factor, factor, *maps.shape[2:]).sum((1, 3))
