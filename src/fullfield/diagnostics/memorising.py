"""Has a generator memorised? How like its images are to training images, and how like to images that it has never seen."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy import stats

from fullfield._core import full_precision, ShapeError
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.groups import as_groups, members
from fullfield.diagnostics.images import check_images
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import generator, Numeric
from fullfield.fields import block_average


TOLERATED = 0.02
SHUFFLES = 500


class Memorising(eqx.Module):
    """Correlations with the nearest images, and the verdict.

    Args:
        training: correlation of each generated image with its nearest training image.
        held_out: with its nearest held-out image.
        report: `memorising/training` and `memorising/held_out`, medians of these; and `memorising/excess`, the mean of
            `training` less `held_out`, above what it is if images change places between the two sets.
    """

    training: Float[np.ndarray, " n"]
    held_out: Float[np.ndarray, " n"]
    report: Report


def memorising(
    generated: Float[Numeric, "n y x"],
    training: Float[Numeric, "m v u"],
    held_out: Float[Numeric, "l t s"],
    groups: tuple[Int[Numeric, " m"], Int[Numeric, " l"]] | None = None,
    *,
    pixels: int = 32,
    budget: Budget | None = None,
    key: Key[Array, ""],
) -> Memorising:
    """Compare the nearest training images of generated ones with their nearest held-out images.

    Images are near that correlate in the logarithm of density, in the best of the eight turns and mirrors and of all shifts,
    what leaves on one side coming back on the other. Were the generator blind to which images it was trained on, then they
    could change places with held-out ones, whatever it makes of them: to how much the excess comes by chance is found by
    shuffling groups between the two sets. Of generated images a share f of which are copies, the excess is about f times what
    a copy correlates better with its original than with a stranger.

    An excess of 0.02 is tolerated, about one image copied in twenty, and chance may exceed it with the budget's probability. To
    tell copies from chance ten of them are needed, and more if held-out images are fewer than training images.

    At 32 pixels a turn of a pair takes some seven microseconds: a minute for 200 generated images and 5000 others. Some of
    each set are enough, as long as training and held-out images are chosen at random and alike.

    Args:
        generated: generated densities.
        training: images that the generator was trained on, without their turns and mirrors.
        held_out: as many others of the same simulations, or fewer.
        groups: labels of training and of held-out images that are not independent, such as those of one box.
        pixels: images are averaged over blocks to so many pixels a side at least.
        budget: false-alarm probability, `Budget()` if not given.
        key: shuffles.

    Raises:
        DataError: pixels that are not finite or empty, or images without structure.
        ShapeError: images of different sizes, or fewer than ten groups of either set.
    """
    sets = {"generated": generated, "training": training, "held_out": held_out}
    logs = {name: np.log(check_images(name, images, positive=True)) for name, images in sets.items()}
    for name, images in logs.items():
        if images.shape[1:] != generated.shape[1:]:
            raise ShapeError(name, expected=f"images {generated.shape[1:]}, as the generated ones", got=images.shape[1:])
    given = groups or (None, None)
    rows = [members(as_groups(labels, len(logs[name]))) for labels, name in zip(given, ("training", "held_out"), strict=True)]
    if min(map(len, rows)) < 10:
        raise ShapeError("groups", expected="at least ten groups of training and of held-out images", got=[*map(len, rows)])
    seen, others, made = (_standard(logs[name], pixels) for name in ("training", "held_out", "generated"))
    near = [np.asarray(_nearness(made, images)) for images in (seen, others)]
    by_group = np.stack([block[:, row].max(1) for block, own in zip(near, rows, strict=True) for row in own], axis=1)

    def nearest(chosen):
        return by_group[:, chosen].max(1), by_group[:, ~chosen].max(1)

    chosen = np.arange(by_group.shape[1]) < len(rows[0])
    random, found = generator(key, "memorising"), nearest(chosen)
    shuffled = [float(np.subtract(*nearest(random.permutation(chosen))).mean()) for _ in range(SHUFFLES)]
    chance, value = float(np.std(shuffled)), float(np.subtract(*found).mean() - np.mean(shuffled))
    bar = max(TOLERATED, chance * stats.norm.isf((budget or Budget()).fail))
    excess = Number("memorising/excess", value, chance, f"<= {bar:.3g}")
    names = ("memorising/training", "memorising/held_out")
    medians = [Number(name, float(np.median(values))) for name, values in zip(names, found, strict=True)]
    return Memorising(*found, Report((*medians, excess)))


def _standard(images, pixels):
    """Images of few pixels, of zero mean and unit norm."""
    factor = max(1, images.shape[1] // pixels)
    while images.shape[1] % factor:
        factor -= 1
    small = np.moveaxis(block_average(np.moveaxis(images, 0, -1), factor), -1, 0)
    small = small - small.mean((1, 2), keepdims=True)
    return jnp.asarray(small / np.sqrt((small**2).sum((1, 2), keepdims=True)), jnp.float32)


@jax.jit
@full_precision
def _nearness(images: Float[Array, "n y x"], others: Float[Array, "m y x"]) -> Float[Array, "n m"]:
    """Largest correlation of each pair over turns, mirrors and periodic shifts."""
    modes = jnp.fft.rfft2(others)

    def of_copy(copy):
        return jnp.max(jnp.fft.irfft2(jnp.conj(jnp.fft.rfft2(copy)) * modes, copy.shape), axis=(1, 2))

    def of_image(image):
        copies = jnp.stack([jnp.rot90(side, quarter) for side in (image, image.T) for quarter in range(4)])
        return jnp.max(jax.lax.map(of_copy, copies), axis=0)

    return jax.lax.map(of_image, images)
