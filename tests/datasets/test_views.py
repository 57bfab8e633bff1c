"""Pairs of views, and simulations that share some parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import FullfieldError, stream
from fullfield.datasets import Pairs
from fullfield.simulators import BrokenPowerLaw, SharedViews, simulate_views


def test_pairs_are_of_different_views_and_of_others_every_time():
    views = jnp.arange(6.0)[:, None] * jnp.ones(3)
    chosen = jax.vmap(lambda key: Pairs(2)(key, jnp.zeros(1), views))(jax.random.split(jax.random.key(0), 300))
    numbers = np.asarray(chosen[..., 0]).astype(int)
    assert all(len(set(row)) == 4 for row in numbers)
    # Each view is in four of six places: 200 of 300 times, give or take 8.
    np.testing.assert_allclose(np.bincount(numbers.ravel()), 200, atol=35)


def test_each_view_is_augmented_by_itself():
    noisy = Pairs(1, lambda key, theta, data: data + theta[0] * jax.random.normal(key))
    first, second = noisy(jax.random.key(1), jnp.ones(1), jnp.zeros((2, 3)))
    assert abs(first[0] - second[0]) > 1e-3
    np.testing.assert_array_equal(first, first[0])


def test_too_few_views_are_refused():
    with pytest.raises(FullfieldError, match="at least 4 views in each row"):
        Pairs(2)(jax.random.key(0), jnp.zeros(1), jnp.zeros((3, 2)))


def test_views_share_all_parameters_but_nuisances():
    views = simulate_views(BrokenPowerLaw(), jax.random.key(2), 50, 4, nuisance=("D",))
    assert views.data.shape == (50, 4, 140)
    spread = np.ptp(np.asarray(views.theta), axis=1)
    np.testing.assert_array_equal(spread[:, :2], 0)
    assert spread[:, 2].min() > 0
    model = BrokenPowerLaw()
    expected = jax.vmap(jax.vmap(model.power))(views.theta)
    pull = (views.data / expected - 1) * np.sqrt(2 * np.pi) * np.arange(3, 143)  # in units of √(2 / 4π n²)
    assert float(jnp.std(pull)) == pytest.approx(1.0, abs=0.02)  # 28 000 numbers: known to .4 %


@pytest.mark.parametrize(("nuisance", "message"), [(("E",), "among"), (("A", "B", "D"), "fewer than all")])
def test_nuisances_must_be_some_of_the_parameters(nuisance, message):
    with pytest.raises(FullfieldError, match=message):
        simulate_views(BrokenPowerLaw(), jax.random.key(0), 4, 2, nuisance=nuisance)


def test_a_model_of_views_simulates_them_like_the_model_of_one():
    model = BrokenPowerLaw()
    pair = SharedViews(model, 2)
    theta = model.parameters.fiducial
    data = pair.simulate_at(jax.random.key(3), theta)
    keys = jax.random.split(stream(jax.random.key(3), "simulations"), 2)
    np.testing.assert_array_equal(data, jax.vmap(model.simulate_at, (0, None))(keys, theta))
    free = SharedViews(model, 3, ("D",))
    assert free.parameters.names == ("A", "B")
    own, views = free.draw(jax.random.key(4), theta[:2])
    assert views.shape == (3, 140)
    np.testing.assert_array_equal(own[:, :2], jnp.broadcast_to(theta[:2], (3, 2)))
    with pytest.raises(FullfieldError, match="positive"):
        SharedViews(model, 0)
