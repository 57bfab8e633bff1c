"""Autoencoders whose decoder is a generator that stays as it is: latents of images that were not generated.

    L = ||T(x) - T(G(E(x)))||²,    sanity check  L = ||z - E(G(z))||²

with T(x) what the last layer of the GAN's critic sees of an image (Ullmo, Decelle & Aghanim 2021, A&A 651, A46, equation 7 and
section 4.3.1).
"""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.generative.gan import GAN, MOMENTUM, RATE
from fullfield.networks import ImageCritic
from fullfield.training import fit, History


class ImageAutoencoder(eqx.Module):
    """An encoder before the generator of a trained GAN.

    Args:
        encoder: image (p, p) between -1 and 1 to latents (z,).
        gan: what decodes, and tells how far images are from each other; it is not trained.
    """

    encoder: ImageCritic
    gan: GAN

    def __call__(self, image: Float[Array, "p p"]) -> Float[Array, "p p"]:
        """The generated image that an image is taken for."""
        return self.gan.generator(self.encoder(image))

    def distance(self, image: Float[Array, "p p"], other: Float[Array, "p p"]) -> Float[Array, ""]:
        """Squared distance of two images as the critic sees them."""
        return jnp.sum((self.gan.critic.features(image) - self.gan.critic.features(other)) ** 2)

    def refined(
        self, image: Float[Array, "p p"], *, steps: int = 200, rate: float = 0.02
    ) -> tuple[Float[Array, " z"], Float[Array, " steps"]]:
        """Latents climbed to from the encoder's, by Adam on the distance of images: what the encoder leaves to be had.

        Args:
            image: image between -1 and 1.
            steps: of the climb.
            rate: of Adam.

        Returns:
            The latents, and the distance before each step.
        """
        optimiser = optax.adam(rate)
        loss = jax.value_and_grad(lambda z: self.distance(image, self.gan.generator(z)))

        def step(carry, _):
            z, state = carry
            value, slope = loss(z)
            change, state = optimiser.update(slope, state)
            return (z + change, state), value

        first = self.encoder(image)
        (z, _), distances = jax.lax.scan(step, (first, optimiser.init(first)), length=steps)
        return z, distances


class FeatureDistance(eqx.Module):
    """Mean distance of images from what they are taken for, of an `ImageAutoencoder`."""

    def __call__(
        self, module: ImageAutoencoder, theta: Float[Array, "b p"], data: Float[Array, "b y x"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of a batch of images; parameters and `key` are ignored."""
        return jnp.mean(jax.vmap(lambda image: module.distance(image, module(image)))(data))


class LatentDistance(eqx.Module):
    """Mean squared distance of latents from those that are found of the images which they generate.

    The sanity check of the paper: whether an encoder could do its work if all images were generated ones.
    """

    def __call__(
        self, module: ImageAutoencoder, theta: Float[Array, "b p"], data: Float[Array, "b y x"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of as many latents as there are images; parameters and images are ignored."""
        z = jax.random.normal(key, (len(data), module.gan.generator.latents))
        return jnp.mean(jax.vmap(lambda one: jnp.sum((one - module.encoder(module.gan.generator(one))) ** 2))(z))


def train_autoencoder(
    gan: GAN,
    encoder: ImageCritic,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    loss: FeatureDistance | LatentDistance | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 50,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "autoencoder",
) -> tuple[ImageAutoencoder, History]:
    """Train an encoder; the GAN stays as it is.

    Args:
        gan: the trained GAN.
        encoder: `ImageCritic(pixels, latents, key=key)`.
        simulations: images between -1 and 1, in batches.
        validation: others, which stop the training.
        key: scalar key.
        loss: `FeatureDistance()` if not given.
        optimiser: Adam of the paper's rate and momentum if not given.
        max_epochs: number of epochs.
        checkpoint: as of `fullfield.training.fit`.
        progress: told about every epoch.
        stage: name of the training.
    """
    begun = ImageAutoencoder(encoder, paramax.non_trainable(gan))
    found, history = fit(
        begun, loss or FeatureDistance(), simulations, validation=validation, key=key,
        optimiser=optimiser or optax.adam(RATE, b1=MOMENTUM), max_epochs=max_epochs, patience=max_epochs,
        checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    return paramax.unwrap(found), history
