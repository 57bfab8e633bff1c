"""Images of one wave, as like as they are: sets whose law is known, for generators of images."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield.datasets import StoredSimulations
from fullfield.fields import LogScale
from fullfield.generative import Likeness


SCALE = LogScale(0.01, 100.0)
KEY = jax.random.key(0)


def waves(n, seed):
    """Images of one wave across, of random phase and strength, under a little noise."""
    random = np.random.default_rng(seed)
    phase, strength = random.uniform(0, 2 * np.pi, (n, 1, 1)), random.uniform(0.2, 0.6, (n, 1, 1))
    x = np.arange(16) * 2 * np.pi / 16
    images = strength * np.sin(x + phase) * np.ones((n, 16, 1)) + 0.05 * random.normal(size=(n, 16, 16))
    return images.astype(np.float32)


class Made(eqx.Module):
    """Images of a set instead of a generator's."""

    made: jax.Array
    scale: LogScale = SCALE

    def images(self, key, n):
        """The first n."""
        return self.made[:n]


def like(images, others):
    found = jnp.asarray(others)
    return float(Likeness()(Made(jnp.asarray(images)), jnp.zeros((len(found), 1)), found, key=KEY))


def stored(images, batch):
    return StoredSimulations(np.zeros((len(images), 1), np.float32), images, batch_size=batch)
