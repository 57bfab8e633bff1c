"""Flow matching of images, with and without a code of the image: what a GAN and its autoencoder are held against.

    y_t = (1 - t) ε + t y,    v(t, y_t, c) = E[y - ε | y_t, c],    y = artanh(image) / s,  ε standard normal

(Lipman et al. 2023, ICLR, arXiv:2210.02747, with straight paths). The code c = E(image) comes from an encoder that learns with
the flow, and is withheld from half of the images, so that one network makes images of a code and images of any (as a diffusion
autoencoder, Preechakul et al. 2022, arXiv:2111.15640). A generator like the GAN's draws the code, and the flow is shown the
drawing: convolutions alone would know what is in an image, and not where. The artanh keeps images between -1 and 1 whatever the
flow does.
"""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.fields import LogScale
from fullfield.generative.denoiser import WAVES, waves
from fullfield.generative.integrators import AbstractIntegrator, Midpoint
from fullfield.networks import AbstractBranch, ImageCritic, ImageGenerator, ResidualMLP, UNetBranch
from fullfield.training import cosine_adam, fit, History


AVERAGE = 0.999  # of weights, by steps
WITHHELD = 0.5  # share of images whose code the flow is not told


class ImageFlow(eqx.Module):
    """A flow from noise to images (p, p) between -1 and 1.

    Args:
        branch: U-Net of the velocity, shown where the flow is, and what is drawn of the code.
        trunk: what it is told of the time, and of whether there is a code.
        encoder: image to code (z,).
        drawer: code to drawing (p, p).
        size: s.
        scale: between images and densities.
        integrator: of the flow.
    """

    branch: AbstractBranch
    trunk: ResidualMLP
    encoder: ImageCritic
    drawer: ImageGenerator
    size: paramax.NonTrainable | Float[Array, ""]
    scale: LogScale
    integrator: AbstractIntegrator

    @classmethod
    def begun(
        cls,
        images: Float[Array | np.ndarray, "n p p"],
        scale: LogScale,
        *,
        key: Key[Array, ""],
        latents: int = 100,
        base: int = 32,
        widths: tuple[int, ...] = (32, 64, 128),
        context: int = 128,
        integrator: AbstractIntegrator | None = None,
    ) -> "ImageFlow":
        """The flow before training.

        Args:
            images: examples between -1 and 1, for the size.
            scale: between images and densities.
            key: key of the initial weights.
            latents: length of the code.
            base: channels of the encoder's finest map.
            widths: channels of the U-Net's levels, from fine to coarse.
            context: length of what the U-Net is told.
            integrator: of the flow; `Midpoint(8)` if not given.

        Raises:
            DataError: an image reaches -1 or 1, or all pixels are equal.
        """
        pixels, size = images.shape[-1], float(jnp.std(jnp.arctanh(jnp.asarray(images))))
        if not 0 < size < np.inf:
            raise DataError("images", expected="different numbers between -1 and 1", got=f"a deviation of artanh of {size}")
        return cls(
            UNetBranch((pixels, pixels, 2), 1, context, key=stream(key, "branch"), widths=widths, periodic=False),
            ResidualMLP(2 * WAVES + 1, context, key=stream(key, "trunk")),
            ImageCritic(pixels, latents, base, key=stream(key, "encoder")),
            ImageGenerator(pixels, latents, base, key=stream(key, "drawer")),
            paramax.NonTrainable(jnp.asarray(size)),
            scale,
            integrator or Midpoint(8),
        )

    def velocity(
        self, t: Float[Array, ""], y: Float[Array, "p p"], drawing: Float[Array, "p p"], told: Float[Array, ""]
    ) -> Float[Array, "p p"]:
        """The velocity v at y; `told` is one where the drawing is of a code, and zero where it is not looked at."""
        context = self.trunk(jnp.append(waves(t), told))
        shown = jnp.stack([y, told * drawing], axis=-1)
        return self.branch.decode(self.branch.encode(shown, context), context)[..., 0]

    def images(self, key: Key[Array, ""], n: int) -> Float[Array, "n p p"]:
        """Images without a code."""
        blank = jnp.zeros((self.drawer.pixels, self.drawer.pixels))
        noise = jax.random.normal(key, (n, *blank.shape))
        return jax.lax.map(lambda start: self._carried(start, blank, jnp.zeros(())), noise, batch_size=min(n, 50))

    def sample(self, key: Key[Array, ""], n: int) -> Float[Array, "n p p"]:
        """Densities of as many images."""
        return self.scale.inverse(self.images(key, n))

    def copied(self, key: Key[Array, ""], image: Float[Array, "p p"]) -> Float[Array, "p p"]:
        """An image of the code of an image, one of those that have it."""
        return self._carried(jax.random.normal(key, image.shape), self.drawer(self.encoder(image)), jnp.ones(()))

    def _carried(self, noise, drawing, told):
        y = self.integrator.solve(lambda t, y: self.velocity(t, y, drawing, told), noise)
        return jnp.tanh(self.size * y)


class ImageFlowMatching(eqx.Module):
    """Mean squared error of the velocity of an `ImageFlow`, at random times."""

    def __call__(
        self, module: ImageFlow, theta: Float[Array, "b p"], data: Float[Array, "b y x"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of a batch of images; parameters are ignored."""
        n = len(data)
        y, noise = jnp.arctanh(data) / jnp.asarray(module.size), jax.random.normal(stream(key, "noise"), data.shape)
        # One time in each of n equal parts: less noise of the loss.
        t = (jnp.arange(n) + jax.random.uniform(stream(key, "times"))) / n
        told = jax.random.bernoulli(stream(key, "told"), 1 - WITHHELD, (n,)).astype(float)
        at = (1 - t)[:, None, None] * noise + t[:, None, None] * y
        drawings = jax.vmap(lambda image: module.drawer(module.encoder(image)))(data)
        found = jax.vmap(module.velocity)(t, at, drawings, told)
        return jnp.mean((found - (y - noise)) ** 2)


def train_image_flow(
    flow: ImageFlow,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "flow of images",
) -> tuple[ImageFlow, History]:
    """Train flow, encoder and drawer together.

    Args:
        flow: `ImageFlow.begun(...)`.
        simulations: images between -1 and 1, in batches.
        validation: others, whose loss chooses the epoch.
        key: scalar key.
        optimiser: `cosine_adam(1e-3, all steps)` if not given.
        max_epochs: number of epochs.
        checkpoint: as of `fullfield.training.fit`.
        progress: told about every epoch.
        stage: name of the training.
    """
    found, history = fit(
        flow, ImageFlowMatching(), simulations, validation=validation, key=key,
        optimiser=optimiser or cosine_adam(1e-3, max_epochs * simulations.steps_per_epoch), max_epochs=max_epochs,
        patience=max_epochs, average=AVERAGE, checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return paramax.unwrap(found), history
