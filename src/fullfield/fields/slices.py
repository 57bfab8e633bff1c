"""Images from particles of a box: counts in thin slices, smoothed to fewer pixels, and cut."""

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter

from fullfield._core import ConfigurationError, ShapeError


def slice_counts(
    positions: Float[np.ndarray, "n 3"], side: float, *, slices: int, pixels: int, axis: int = 2
) -> Int[np.ndarray, "slices pixels pixels"]:
    """Particles per pixel of slices across one axis of a periodic box.

    Args:
        positions: in the unit of `side`, in any period.
        side: of the box.
        slices: their number; each is side / slices thick.
        pixels: on a side of a slice.
        axis: across which slices are cut.
    """
    cells = [slices if i == axis else pixels for i in range(3)]
    place = np.stack([np.floor(positions[:, i] / side * cells[i]).astype(int) % cells[i] for i in range(3)])
    counts = np.bincount(np.ravel_multi_index(tuple(place), cells), minlength=np.prod(cells))
    return np.moveaxis(counts.reshape(cells), axis, 0)


def strided(images: Float[np.ndarray, "n y x"], width: int) -> Float[np.ndarray, "n v u"]:
    """Periodic images smoothed by a Gaussian of a deviation of `width` pixels, in the middle of every `width` x `width`.

    Smooth, and with structures of low density left (Ullmo, Decelle & Aghanim 2021, A&A 651, A46, section 2.2, where it follows
    the logarithm, and 770 pixels become 256; here sides must divide).

    Raises:
        ConfigurationError: `width` is not an odd number that divides the sides.
    """
    if width % 2 == 0 or any(pixels % width for pixels in images.shape[1:]):
        raise ConfigurationError("width", expected=f"an odd divisor of the sides, {images.shape[1:]}", got=width)
    smooth = gaussian_filter(images, (0, width, width), mode="wrap")
    return smooth[:, width // 2 :: width, width // 2 :: width]


def crops(maps: Float[np.ndarray, "n m m"], pixels: int, each: int) -> Float[np.ndarray, "k p p"]:
    """Square parts of maps, `each` x `each` of every map at even distances, one map's behind the other's.

    Args:
        maps: square.
        pixels: on a side of a part.
        each: parts along a side, which overlap where they must.

    Raises:
        ShapeError: maps are not square, or smaller than their parts.
    """
    n, rows, columns = maps.shape
    if rows != columns or rows < pixels:
        raise ShapeError("maps", expected=f"square, of at least {pixels} pixels", got=maps.shape)
    starts = np.round(np.linspace(0, rows - pixels, each)).astype(int)
    parts = [maps[:, y : y + pixels, x : x + pixels] for y in starts for x in starts]
    return np.stack(parts, axis=1).reshape(n * each**2, pixels, pixels)


def eightfold(images: Float[np.ndarray, "n p p"]) -> Float[np.ndarray, "k p p"]:
    """Every square image turned by four right angles and mirrored, one behind the other."""
    turned = [np.rot90(one, quarter, (1, 2)) for one in (images, images.transpose(0, 2, 1)) for quarter in range(4)]
    return np.stack(turned, axis=1).reshape(-1, *images.shape[1:])
