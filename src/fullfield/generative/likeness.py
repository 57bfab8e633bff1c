"""How like simulated images generated ones are: what chooses the weights of a generator, as its loss cannot."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield.fields import histogram, inner_peaks, LogScale, pixel_distribution, Plane, ring_powers, Rings


VALUES, HEIGHTS = 24, 8  # of pixels and of peaks, told apart between -1 and 1
EVEN = 1e-6  # power, in pixels times density squared, far below that of any image but an even one
FAINT = 0.05  # of a deviation over all statistics of a kind, below which one is not worth telling apart


class Likeness(eqx.Module):
    """Squared difference of the statistics of generated and of simulated images, in deviations from image to image.

    The statistics are the distribution of pixels, numbers of peaks by height, log powers in rings and the log mean density:
    those by which Ullmo, Decelle & Aghanim 2021 (A&A 651, A46, section 4.1) compare sets. Their means over a batch tell whether
    images are right, their deviations whether they differ enough. For a perfect generator and n images of each kind it is
    about 3 / n; for one that makes the same image always it is above one.

    A `measure` for `fullfield.training.fit` of modules with `images(key, n)` and `scale`.
    """

    def __call__(
        self, module, theta: Float[Array, "b p"], data: Float[Array, "b y x"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Mean over the statistics, and over the kinds of them; parameters are ignored."""
        made = module.images(key, len(data))
        found = (statistics(module.scale, images) for images in (data, made))
        return jnp.mean(jnp.stack([_difference(*pair) for pair in zip(*found, strict=True)]))


def statistics(scale: LogScale, images: Float[Array, "n y x"]) -> tuple[Float[Array, "n _"], ...]:
    """Of each image between -1 and 1: pixels, peaks, powers and mean, in this order.

    Args:
        scale: between images and densities.
        images: square, not periodic.
    """
    pixels = images.shape[1]
    rings, values, heights = Rings(Plane(pixels, float(pixels))), jnp.linspace(-1, 1, VALUES), jnp.linspace(-1, 1, HEIGHTS)

    def one(image):
        density = scale.inverse(image)
        return (
            pixel_distribution(image, values),
            histogram(image, heights, inner_peaks(image)),
            jnp.log(ring_powers(rings, density) + EVEN),
            jnp.log(jnp.mean(density))[None],
        )

    return jax.lax.map(one, images, batch_size=min(64, len(images)))


def _difference(simulated, generated):
    least = FAINT * jnp.sqrt(jnp.mean(jnp.var(simulated, axis=0)))
    deviations = [jnp.maximum(jnp.std(one, axis=0), least) for one in (simulated, generated)]
    shift = (jnp.mean(simulated, axis=0) - jnp.mean(generated, axis=0)) / deviations[0]
    return jnp.mean(shift**2 + jnp.log(deviations[1] / deviations[0]) ** 2)
