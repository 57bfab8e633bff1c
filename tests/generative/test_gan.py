"""Adversarial training against the losses' definitions, and statistics that choose weights against sets that are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from wave_images import KEY, like, SCALE, stored, waves

from fullfield._core import ConfigurationError, DataError, stream
from fullfield.generative import Adversarial, FeatureDistance, GAN, LatentDistance, train_autoencoder, train_gan
from fullfield.networks import ImageCritic, ImageGenerator


def gan(pixels=16, base=8):
    generator = ImageGenerator(pixels, 8, base, key=jax.random.key(1))
    return GAN(generator, ImageCritic(pixels, base=base, key=jax.random.key(2)), SCALE)


@pytest.mark.parametrize("saturating", [False, True])
def test_both_networks_learn_from_their_own_loss(saturating):
    module, data = gan(), jnp.asarray(waves(6, 0))
    z = jax.random.normal(stream(KEY, "latents"), (6, 8))

    def critic_loss(critic):
        d = [jax.nn.sigmoid(jax.vmap(critic)(images)[:, 0]) for images in (data, jax.vmap(module.generator)(z))]
        return -jnp.mean(jnp.log(d[0])) / 2 - jnp.mean(jnp.log(1 - d[1])) / 2

    def generator_loss(generator):
        d = jax.nn.sigmoid(jax.vmap(module.critic)(jax.vmap(generator)(z))[:, 0])
        return jnp.mean(jnp.log(1 - d)) / 2 if saturating else -jnp.mean(jnp.log(d))

    found = eqx.filter_grad(lambda one: Adversarial(0.0, saturating)(one, jnp.zeros((6, 1)), data, key=KEY))(module)
    for one, other in (
        (found.critic, eqx.filter_grad(critic_loss)(module.critic)),
        (found.generator, eqx.filter_grad(generator_loss)(module.generator)),
    ):
        for leaf, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(leaf, expected, atol=1e-5 + 1e-4 * np.abs(expected).max())


def test_equal_laws_are_as_like_as_their_numbers_allow():
    """Means differ by 1 / n + 1 / m and deviations by half of that, .006 for 500 each, and by more where tails are long."""
    assert like(waves(500, 1), waves(500, 2)) < 0.04


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images[:1] * np.ones((500, 1, 1)),  # one image
        lambda images: images * 0.7,
        lambda images: images + 0.1,
        lambda images: images + 0.1 * np.random.default_rng(3).normal(size=images.shape),
    ],
)
def test_other_laws_are_less_alike(change):
    assert like(change(waves(500, 1)).astype(np.float32), waves(500, 2)) > 0.2


@pytest.mark.slow
def test_training_makes_images_like_those_it_sees():
    held_out = waves(400, 4)
    found, history = train_gan(
        gan(), stored(waves(2000, 5), 50), stored(held_out, 400), key=KEY, max_epochs=50, optimiser=optax.adam(1e-3, b1=0.5)
    )
    assert history.best < 0.7 < history.held_out[0] / 10
    images = found.images(jax.random.key(6), 400)
    assert like(images, held_out) < 0.9
    np.testing.assert_allclose(found.sample(jax.random.key(6), 400), SCALE.inverse(images), rtol=1e-5)


def test_one_image_for_all_latents_is_a_collapse():
    module = gan()
    blind = eqx.tree_at(lambda one: one.generator.first.weight, module, jnp.zeros_like(module.generator.first.weight))
    with pytest.raises(DataError, match=r"gan: expected images whose pixels scatter.*got one image"):
        train_gan(blind, stored(waves(50, 0), 50), stored(waves(50, 1), 50), key=KEY, max_epochs=1, optimiser=optax.sgd(0.0))


def test_a_critic_that_is_mostly_mistaken_is_refused():
    with pytest.raises(ConfigurationError, match=r"mistaken: expected a share of at least zero and below \.5, got 0\.5"):
        Adversarial(0.5)


def test_encoders_find_the_latents_of_generated_images():
    """The sanity check of the paper: of images that were generated, latents and images come back."""
    module, seen = gan(), stored(waves(800, 7), 50)
    encoder = ImageCritic(16, 8, 8, key=jax.random.key(3))
    found, history = train_autoencoder(
        module, encoder, seen, stored(waves(100, 8), 100), key=KEY, loss=LatentDistance(), max_epochs=15,
        optimiser=optax.adam(2e-3),
    )  # fmt: skip
    assert history.best < 0.3 * 8  # of the scatter of the latents
    images = module.images(jax.random.key(9), 100)
    errors = np.mean((jax.vmap(found)(images) - images) ** 2)
    assert errors < 0.3 * np.var(images)
    for leaf, before in zip(jax.tree.leaves(found.gan), jax.tree.leaves(module), strict=True):
        np.testing.assert_array_equal(leaf, before)


def test_refinement_brings_images_nearer():
    module, encoder = gan(), ImageCritic(16, 8, 8, key=jax.random.key(3))
    found, _ = train_autoencoder(
        module, encoder, stored(waves(100, 7), 50), stored(waves(50, 8), 50), key=KEY, loss=FeatureDistance(), max_epochs=1
    )
    image = module.images(jax.random.key(9), 1)[0]
    z, distances = eqx.filter_jit(found.refined)(image)
    assert found.distance(image, module.generator(z)) < 0.5 * distances[0]
