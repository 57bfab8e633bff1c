"""Powers of learned filters: whitened on examples, blind to where in a periodic map things are, refused maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.networks import PowerNet


def network(**settings):
    return PowerNet((16, 16, 1), 3, key=jax.random.key(0), window=4, filters=4, width=8, **settings)


def test_powers_are_logarithms_of_squares():
    maps = jax.random.normal(jax.random.key(1), (16, 16, 1))
    net = network()
    assert len(net.filters) == 3  # windows on maps of 16, 8 and 4 pixels
    np.testing.assert_allclose(net.powers(3 * maps) - net.powers(maps), 2 * np.log(3), atol=1e-3)


def test_first_scale_by_hand():
    maps = np.asarray(jax.random.normal(jax.random.key(2), (16, 16, 1)))
    net, total = network(), 0.0
    for y in range(0, 16, 2):
        for x in range(0, 16, 2):
            rows, columns = np.arange(y, y + 4) % 16, np.arange(x, x + 4) % 16
            total = total + (maps[np.ix_(rows, columns)].ravel() @ np.asarray(net.filters[0])) ** 2
    np.testing.assert_allclose(net.powers(jnp.asarray(maps))[:4], np.log(total / 64), rtol=1e-4)


def test_shifts_by_half_a_window_of_the_coarsest_map_change_nothing():
    maps, net = jax.random.normal(jax.random.key(3), (16, 16, 1)), network()
    np.testing.assert_allclose(net(jnp.roll(maps, (8, 0), (0, 1))), net(maps), atol=1e-4)


def test_examples_make_the_perceptron_see_uncorrelated_numbers():
    scale = jnp.exp(0.3 * jax.random.normal(jax.random.key(4), (400, 1, 1, 1)))
    maps = scale * jax.random.normal(jax.random.key(5), (400, 16, 16, 1))
    net = network().fitted_to(maps)
    seen = jax.vmap(lambda x: net.root @ (net.powers(x) - net.mean))(maps)
    np.testing.assert_allclose(jnp.cov(seen.T), np.eye(12), atol=1e-2)


@pytest.mark.parametrize(("shape", "window"), [((18, 18, 1), 4), ((16, 16), 4), ((16, 8, 1), 4), ((15, 15, 1), 5)])
def test_maps_that_windows_do_not_divide_are_refused(shape, window):
    with pytest.raises(ConfigurationError, match="multiple of the even window"):
        PowerNet(shape, 3, key=jax.random.key(0), window=window)
