import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, ShapeError
from fullfield.datasets import Decorrelated, FreshNoise, InTurn, StoredSimulations, turn_and_roll
from fullfield.fields import band_powers, FlatSky, logarithmic_bands, pair_indices, pairs_within


THETA = jnp.zeros(2)


def test_turning_and_rolling_are_symmetries(key):
    # Parameters enter the maps through isotropic fields and white noise alone: what keeps every spectrum keeps them.
    data = jax.random.normal(key, (16, 16, 3))
    bands = logarithmic_bands(FlatSky(16, 10.0), 4)
    powers = band_powers(bands, data)
    seen = []
    for number in range(8):
        turned = turn_and_roll(jax.random.key(number), THETA, data)
        np.testing.assert_allclose(band_powers(bands, turned), powers, rtol=2e-4, atol=1e-6 * np.max(np.abs(powers)))
        np.testing.assert_array_equal(np.sort(turned.reshape(-1, 3), axis=0), np.sort(data.reshape(-1, 3), axis=0))
        seen.append(np.asarray(turned).tobytes())
    assert len(set(seen)) == len(seen)


def test_noise_is_fresh_every_time_and_as_deep_as_said():
    noise = FreshNoise(np.array([0.5, 2.0]))
    data = jnp.ones((64, 64, 2))
    one, other = (noise(jax.random.key(i), THETA, data) - data for i in range(2))
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05  # 8192 numbers: 4.5 standard errors
    np.testing.assert_allclose(one.std((0, 1)), [0.5, 2.0], rtol=0.06)  # 4096 each: five standard errors


def test_one_behind_the_other_with_keys_of_their_own():
    twice = InTurn((FreshNoise(jnp.ones(())), FreshNoise(jnp.ones(()))))
    added = twice(jax.random.key(0), THETA, jnp.zeros(10_000))
    # With one key for both it would be 2.
    assert float(added.std()) == pytest.approx(2**0.5, rel=0.04)


def test_stored_simulations_never_show_the_same_noise_twice():
    stored = StoredSimulations(np.zeros((4, 2)), np.zeros((4, 8, 8, 1)), batch_size=4, augment=FreshNoise(jnp.ones(1)))
    shard = next(stored.shards(jax.random.key(0)))
    first, second = (shard.draw(jax.random.key(i), jnp.asarray(0, jnp.int32))[1] for i in range(2))
    assert not np.allclose(first, second)
    assert np.unique(first).size == first.size


def test_augmentations_that_do_not_fit_the_data_are_refused():
    wide = StoredSimulations(np.zeros((4, 2)), np.ones((4, 8, 6, 1)), batch_size=4, augment=turn_and_roll)
    with pytest.raises(ShapeError, match=r"one for data of shape \(8, 6, 1\), got turn_and_roll, which is not"):
        next(wide.shards(jax.random.key(0))).draw(jax.random.key(1), jnp.asarray(0, jnp.int32))
    for scale in (-1.0, jnp.array([0.5, jnp.nan])):
        with pytest.raises(ConfigurationError, match="deviations of at least zero"):
            FreshNoise(np.asarray(scale))


def test_bands_of_another_patch_are_refused():
    with pytest.raises(ShapeError, match="16 x 16 pixels, as the bands' patch has"):
        band_powers(logarithmic_bands(FlatSky(16, 10.0), 4), jnp.ones((8, 8, 1)))


def test_decorrelated_groups_keep_what_is_theirs_alone(key):
    """Spectra within groups stay; between them they vanish on average, where before they were the autos'."""
    one = jax.random.normal(key, (32, 32, 1))
    data = one + 0.3 * jax.random.normal(jax.random.fold_in(key, 1), (32, 32, 4))
    groups = ((0, 3), (2,), (1,))
    bands = logarithmic_bands(FlatSky(32, 10.0), 4)
    kept = np.array([pair in pairs_within(groups) for pair in zip(*pair_indices(4), strict=True)])
    before = np.asarray(band_powers(bands, data))
    moved = jax.vmap(lambda k: band_powers(bands, Decorrelated(groups)(k, THETA, data)))(jax.random.split(key, 200))
    np.testing.assert_allclose(moved[:, kept], np.broadcast_to(before[kept], moved[:, kept].shape), rtol=1e-3)
    error = np.std(moved[:, ~kept], axis=0) / np.sqrt(200)
    assert (np.abs(np.mean(moved[:, ~kept], axis=0)) < 5 * error).all()
    assert (before[~kept] > 20 * error).all()
    with pytest.raises(ConfigurationError, match=r"every map 0, 1, 2, \.\.\. in one group"):
        Decorrelated(((0, 1), (1, 2)))
    with pytest.raises(ShapeError, match="4 maps, as the groups hold"):
        Decorrelated(groups)(key, THETA, data[..., :3])
