"""Flows of images against laws that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wave_images import KEY, like, SCALE, stored, waves

from fullfield._core import DataError
from fullfield.generative import ImageFlow, train_image_flow


@pytest.fixture(scope="module")
def trained():
    images = waves(2000, 5)
    flow = ImageFlow.begun(images, SCALE, key=KEY, latents=8, base=8, widths=(16, 32), context=32)
    return train_image_flow(flow, stored(images, 50), stored(waves(400, 4), 400), key=KEY, max_epochs=50)


def test_images_are_like_those_of_the_training(trained):
    flow, history = trained
    images = flow.images(jax.random.key(1), 400)
    assert jnp.all(jnp.abs(images) < 1)
    assert like(images, waves(400, 4)) < 0.3
    assert history.best < history.held_out[0]
    np.testing.assert_allclose(flow.sample(jax.random.key(1), 400), SCALE.inverse(images), rtol=1e-5)


def test_copies_have_the_wave_of_their_image(trained):
    """Phase and strength of the wave go through the code; the noise does not."""
    flow, _ = trained
    images = waves(100, 6)
    copies = jax.vmap(flow.copied)(jax.random.split(KEY, 100), images)
    waved, copied = (np.fft.rfft(np.asarray(one).mean(1), axis=1)[:, 1] for one in (images, copies))
    assert np.mean(np.abs(copied - waved) ** 2) < 0.1 * np.mean(np.abs(waved) ** 2)


def test_images_that_reach_one_are_refused():
    with pytest.raises(DataError, match="images: expected different numbers between -1 and 1"):
        ImageFlow.begun(np.ones((3, 16, 16), np.float32), SCALE, key=KEY)
