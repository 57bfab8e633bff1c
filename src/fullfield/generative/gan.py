"""Generative adversarial networks of images: a generator and a critic that train each other (Goodfellow et al. 2014).

    L_D = - ½ E log D(x) - ½ E log[1 - D(G(z))],    L_G = - E log D(G(z)) or, saturating, ½ E log[1 - D(G(z))] = - L_D + ...

(Ullmo, Decelle & Aghanim 2021, A&A 651, A46, equations 4 and 5; the first L_G has the same minimum, and a slope where the
critic is sure). Both losses are minimised in one step, each in its own network's weights.
"""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, DataError, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import AbstractSimulations
from fullfield.fields import LogScale
from fullfield.generative.likeness import Likeness
from fullfield.networks import ImageCritic, ImageGenerator
from fullfield.training import fit, History


RATE, MOMENTUM = 2e-4, 0.5  # of Adam, appendix A.1 of the paper
AVERAGE = 0.99  # of weights, by steps
COLLAPSED = 0.02  # deviation of a pixel from image to image, in units in which densities span two


class GAN(eqx.Module):
    """A generator of images and its critic.

    Args:
        generator: latent vector (z,) to image (p, p) between -1 and 1.
        critic: image to a logit (1,).
        scale: between images and densities.
    """

    generator: ImageGenerator
    critic: ImageCritic
    scale: LogScale

    def images(self, key: Key[Array, ""], n: int) -> Float[Array, "n p p"]:
        """Images between -1 and 1 of latents drawn from standard normals."""
        return jax.vmap(self.generator)(jax.random.normal(key, (n, self.generator.latents)))

    def sample(self, key: Key[Array, ""], n: int) -> Float[Array, "n p p"]:
        """Densities of as many images."""
        return self.scale.inverse(self.images(key, n))


class Adversarial(eqx.Module):
    """Loss of both networks of a `GAN`.

    Args:
        mistaken: share of images that the critic is told the wrong truth about, which keeps it from winning (appendix A.1; the
            paper does not say how many).
        saturating: whether the generator minimises -L_D, as equation 5 has it.

    Raises:
        ConfigurationError: a share below zero or of half of the images and more.
    """

    mistaken: float = 0.02
    saturating: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not 0 <= self.mistaken < 0.5:
            raise ConfigurationError("mistaken", expected="a share of at least zero and below .5", got=self.mistaken)

    def __call__(
        self, module: GAN, theta: Float[Array, "b p"], data: Float[Array, "b y x"], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """L_D + L_G of a batch of images; parameters are ignored."""
        made = module.images(stream(key, "latents"), len(data))
        shown = jnp.concatenate([data, jax.lax.stop_gradient(made)])
        real = jnp.arange(len(shown)) < len(data)
        told = real ^ jax.random.bernoulli(stream(key, "mistakes"), self.mistaken, real.shape)
        logits = jax.vmap(module.critic)(shown)[:, 0]
        critic = jnp.mean(jax.nn.softplus(jnp.where(told, -logits, logits)))
        # The generator learns through the critic, which does not learn to be fooled.
        fooled = jax.vmap(jax.lax.stop_gradient(module.critic))(made)[:, 0]
        if self.saturating:
            return critic - jnp.mean(jax.nn.softplus(fooled)) / 2
        return critic + jnp.mean(jax.nn.softplus(-fooled))


def train_gan(
    gan: GAN,
    simulations: AbstractSimulations,
    validation: AbstractSimulations,
    *,
    key: Key[Array, ""],
    loss: Adversarial | None = None,
    optimiser: optax.GradientTransformation | None = None,
    max_epochs: int = 60,
    checkpoint: str | os.PathLike | None = None,
    progress: Progress = silent,
    stage: str = "GAN",
) -> tuple[GAN, History]:
    """Train both networks, and keep the weights of the epoch whose images are most like held-out ones, by `Likeness`.

    Args:
        gan: networks to begin with.
        simulations: images between -1 and 1, in batches.
        validation: others, in one batch of several hundred: statistics of few images are noise.
        key: scalar key.
        loss: `Adversarial()` if not given.
        optimiser: of both; Adam of the paper's rate and momentum if not given.
        max_epochs: number of epochs.
        checkpoint: as of `fullfield.training.fit`.
        progress: told about every epoch; "held out" is the likeness.
        stage: name of the training.

    Raises:
        DataError: all chosen images are nearly one, so that the generator has collapsed.
        DivergenceError: a loss is not finite.
    """
    found, history = fit(
        gan, loss or Adversarial(), simulations, validation=validation, measure=Likeness(), key=stream(key, "training"),
        optimiser=optimiser or optax.adam(RATE, b1=MOMENTUM), max_epochs=max_epochs, patience=max_epochs, average=AVERAGE,
        checkpoint=checkpoint, progress=progress, stage=stage,
    )  # fmt: skip
    spread = float(jnp.mean(jnp.std(found.images(stream(key, "collapse"), 64), axis=0)))
    if not spread > COLLAPSED:
        raise DataError(
            "gan", expected=f"images whose pixels scatter by more than {COLLAPSED:g}", got=f"one image, within {spread:.2g}",
            remedy="Lower the learning rate, or have the critic mistaken more often.",
        )  # fmt: skip
    return found, history
