"""Pairs of views, and simulations that share some parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import FullfieldError, stream
from fullfield.datasets import Pairs
from fullfield.simulators import BrokenPowerLaw, LinearGaussian, SharedViews, simulate_views


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
    with pytest.raises(FullfieldError, match="pairs: expected"):
        Pairs(-1)


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


def test_views_of_several_models_come_in_turn_at_the_same_cosmology():
    """A law that breaks elsewhere is another simulator: its spectra are told by where they break."""
    near, far = BrokenPowerLaw(pivot=0.2), BrokenPowerLaw()
    views = simulate_views((near, far), jax.random.key(5), 40, 5, nuisance=("D",))
    assert views.theta.shape == (40, 5, 2)
    assert views.data.shape == (40, 5, 140)
    np.testing.assert_array_equal(np.ptp(np.asarray(views.theta), axis=1), 0)
    k, (a, b) = near.wavenumbers, np.moveaxis(np.asarray(views.theta), -1, 0)
    smooth = views.data / (a[..., None] * k ** b[..., None])
    # Between the pivots the one model has A k^B, to a percent of scatter from cosmic variance, and the other has not.
    off = np.abs(np.log(smooth[..., (k > 0.4) & (k < 0.5)]).mean(axis=-1))
    assert off[:, 1::2].max() < 0.02
    assert (off[:, ::2] > 0.02).mean() > 0.9


@pytest.mark.parametrize(
    ("models", "nuisance", "message"),
    [
        ((BrokenPowerLaw(), LinearGaussian()), (), "the same parameters"),
        ((BrokenPowerLaw(),) * 4, (), "at least one by each of 4"),
        ((BrokenPowerLaw(),) * 2, ("E",), "some model's"),
        ((LinearGaussian(n_data=4), LinearGaussian(n_data=5)), (), "the same shape"),
    ],
)
def test_models_whose_views_cannot_stand_side_by_side_are_refused(models, nuisance, message):
    with pytest.raises(FullfieldError, match=message):
        simulate_views(models, jax.random.key(0), 4, 3, nuisance=nuisance)
