"""What sets of density images are compared by: curves of the whole set, and numbers of every image.

Images are square, cut out of a larger field, of densities in any one unit. All sets are measured by one ruler, made from the
simulations: densities are in units of the simulations' mean, so that P(k) is that of ρ / ρ̄ with the same ρ̄ for both sets, and
a set whose images are too empty shows in its power as it does when powers of ρ itself are compared (Ullmo et al. 2021, A&A
651, A46, eq. 8).
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.groups import as_groups, members, resampled
from fullfield.diagnostics.samples import generator, Numeric
from fullfield.fields import histogram, inner_peaks, pixel_distribution, Plane, ring_powers, Rings


BATCH = 64
BANDS = 6


class ImageRuler(eqx.Module):
    """Axes of the curves, and the unit of density.

    Args:
        rings: rings of |k| of the images' plane.
        mean: mean density of the simulations.
        density: log10 of the density of pixels over the mean, evenly spaced.
        heights: the same of peaks.
        means: mean densities of images over the mean, evenly spaced.
    """

    rings: Rings
    mean: float = eqx.field(static=True)
    density: Float[Array, " b"]
    heights: Float[Array, " h"]
    means: Float[Array, " m"]

    def measure(
        self, images: Float[Numeric, "n y x"], groups: Int[Numeric, " n"] | None = None, *, name: str = "images"
    ) -> "ImageTable":
        """Measure a set of images.

        Args:
            images: densities.
            groups: labels of images that are not independent, such as the number of the box that each is from; all are
                independent if not given.
            name: of the set, for errors.

        Raises:
            DataError: pixels that are not finite or empty, or images without structure.
            ShapeError: images that are not square or not of the ruler's size, or labels that do not go with them.
        """
        images, n = check_images(name, images, positive=True), self.rings.plane.pixels
        if images.shape[1] != n:
            raise ShapeError(name, expected=f"{n} x {n} pixels, as the ruler's images have", got=images.shape)
        measured = _measured(self, jnp.asarray(images / self.mean, jnp.float32))
        return ImageTable(self, as_groups(groups, len(images)), *(np.asarray(array, np.float64) for array in measured))


class ImageTable(eqx.Module):
    """Numbers of each of n images; densities are in units of the ruler's mean.

    Args:
        ruler: the axes.
        groups: number of the group that each image belongs to.
        mean: mean density.
        pixels: share of the pixels near each density.
        power: P(k) of the density in each ring, the squared unit of the plane's side.
        peaks: number of peaks near each height; pixels on the border have no say.
        moments: variance and skewness of log10 of the density.
    """

    ruler: ImageRuler
    groups: Int[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    pixels: Float[np.ndarray, "n b"]
    power: Float[np.ndarray, "n r"]
    peaks: Float[np.ndarray, "n h"]
    moments: Float[np.ndarray, "n 2"]

    def take(self, rows: Int[np.ndarray, " m"]) -> "ImageTable":
        """The table of some of the images, in which each is its own group."""
        columns = (self.mean, self.pixels, self.power, self.peaks, self.moments)
        return ImageTable(self.ruler, np.arange(len(rows)), *(column[rows] for column in columns))

    @property
    def summaries(self) -> Float[np.ndarray, "n s"]:
        """Ten numbers that tell images apart: log powers in six bands, log mean, log variance, skewness, and root of peaks.

        Peaks are those above the mean of the simulations.
        """
        ends = np.unique(np.rint(np.geomspace(1, self.power.shape[1] + 1, BANDS + 1)).astype(int)) - 1
        modes = self.ruler.rings.modes
        bands = [np.average(self.power[:, a:b], 1, modes[a:b]) for a, b in itertools.pairwise(ends)]
        variance, skewness = self.moments.T
        peaks = self.peaks[:, np.asarray(self.ruler.heights) >= 0].sum(1)
        return np.column_stack([*np.log(bands), np.log(self.mean), np.log(variance), skewness, np.sqrt(peaks)])


class Curve(eqx.Module):
    """A curve with the standard deviation of its values over other sets of as many groups."""

    at: Float[np.ndarray, " k"]
    values: Float[np.ndarray, " k"]
    errors: Float[np.ndarray, " k"]


class ImageCurves(eqx.Module):
    """The curves of a set.

    Args:
        pixels: distribution of pixels over log10 of their density, per dex.
        means: distribution of the mean density of images.
        power: median over images of P(k), the squared unit of the plane's side, over k.
        scatter: median over images of |P(k) - median|, which is not scaled to a standard deviation.
        peaks: peaks per image near each log10 of their height.
    """

    pixels: Curve
    means: Curve
    power: Curve
    scatter: Curve
    peaks: Curve


def check_images(name: str, images: Float[Numeric, "n y x"], *, positive: bool = False) -> Float[np.ndarray, "n y x"]:
    """Refuse what cannot be judged as a set of images.

    Args:
        name: of the set, for errors.
        images: the images.
        positive: whether logarithms will be taken of them.

    Raises:
        DataError: pixels that are not finite, or empty where none may be; images all of whose pixels are equal.
        ShapeError: not a stack of square images.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2] or not len(images):
        raise ShapeError(name, expected="(n, y, x) with square images", got=images.shape)
    array = np.asarray(images)
    least, largest = array.min((1, 2)), array.max((1, 2))
    finite, collapsed = "A training that diverged makes such images.", "A generator that collapsed makes such images."
    faults = [
        (~(np.isfinite(least) & np.isfinite(largest)), "finite pixels", "NaN or infinity", finite),
        (least == largest, "images with structure", "equal pixels only", collapsed),
    ]
    if positive:
        remedy = "Give both sets the same least density, such as half a particle per pixel: numpy.maximum(images, least)."
        faults.append((least <= 0, "positive densities", "empty pixels", remedy))
    for found, expected, got, remedy in faults:
        if found.any():
            rows = ", ".join(map(str, np.flatnonzero(found)[:5])) + (", …" if found.sum() > 5 else "")
            where = f"{got} in {found.sum()} of {len(array)} images ({rows})"
            raise DataError(name, expected=expected, got=where, remedy=remedy)
    return array


def image_ruler(
    simulated: Float[Numeric, "n y x"], side: float, *, densities: int = 60, heights: int = 20, means: int = 20
) -> ImageRuler:
    """Axes that hold all densities, heights and means of simulated images; what of other sets lies beyond counts at their ends.

    Args:
        simulated: simulated densities.
        side: of an image, such as in Mpc/h.
        densities: number of densities told apart.
        heights: of heights of peaks.
        means: of mean densities.

    Raises:
        ConfigurationError: images of an odd number of pixels, or a side that is not positive.
        DataError: pixels that are not finite or empty, or images without structure.
        ShapeError: images that are not square.
    """
    images = check_images("simulated", simulated, positive=True)
    each = images.mean((1, 2), dtype=np.float64)
    mean = float(each.mean())
    low, high = np.log10([images.min() / mean, images.max() / mean])
    edges = (each.min() / mean, each.max() / mean)
    axes = (np.linspace(low, high, densities), np.linspace(low, high, heights), np.linspace(*edges, means))
    return ImageRuler(Rings(Plane(images.shape[1], side)), mean, *(jnp.asarray(axis, jnp.float32) for axis in axes))


def image_curves(table: ImageTable, *, resamples: int = 100, key: Key[Array, ""]) -> ImageCurves:
    """Curves of a set, with errors by the bootstrap over its groups.

    Args:
        table: the images' numbers.
        resamples: of the bootstrap.
        key: draws groups.
    """
    ruler, draws = table.ruler, bootstrap(table, resamples, generator(key, "bootstrap"))
    k = ruler.rings.k
    at = {"pixels": ruler.density, "means": ruler.means, "power": k, "scatter": k, "peaks": ruler.heights}
    values = curve_values(table)
    return ImageCurves(**{name: Curve(np.asarray(at[name], float), values[name], draws[name].std(0)) for name in at})


def curve_values(table: ImageTable) -> dict[str, Float[np.ndarray, " k"]]:
    """Values of the curves of `ImageCurves` by name."""
    means, median = np.asarray(table.ruler.means, float), np.median(table.power, axis=0)
    spacing, width = float(table.ruler.density[1] - table.ruler.density[0]), means[1] - means[0]
    place = np.clip(np.rint((table.mean - means[0]) / width), 0, len(means) - 1).astype(int)
    return {
        "pixels": table.pixels.mean(0) / spacing,
        "means": np.bincount(place, minlength=len(means)) / (len(place) * width),
        "power": median,
        "scatter": np.median(np.abs(table.power - median), axis=0),
        "peaks": table.peaks.mean(0),
    }


def bootstrap(table: ImageTable, resamples: int, random: np.random.Generator) -> dict[str, Float[np.ndarray, "s k"]]:
    """The curves of sets of groups drawn with replacement."""
    rows = members(table.groups)
    draws = [curve_values(table.take(resampled(rows, random))) for _ in range(resamples)]
    return {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}


@eqx.filter_jit
def _measured(ruler: ImageRuler, images: Float[Array, "n y x"]):
    """Columns of an `ImageTable` behind the groups."""

    def one(image):
        logs = jnp.log10(image)
        centred = logs - jnp.mean(logs)
        variance = jnp.mean(centred**2)
        return (
            jnp.mean(image),
            pixel_distribution(logs, ruler.density),
            ring_powers(ruler.rings, image),
            histogram(logs, ruler.heights, inner_peaks(image)),
            jnp.stack([variance, jnp.mean(centred**3) / variance**1.5]),
        )

    return jax.lax.map(one, images, batch_size=BATCH)
