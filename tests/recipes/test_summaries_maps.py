"""Maps that are stored without noise are, under it, the maps of the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.compression import check_alive, compress, fixed, whitened
from fullfield.datasets import simulate_to_store
from fullfield.recipes.summaries_maps import Noiseless, StoredMaps, UnderNoise
from fullfield.simulators import lsst_y10_model


MODEL = lsst_y10_model(16)
COUNTS = {"training": 30, "validation": 6, "calibration": 4}


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    store = simulate_to_store(tmp_path_factory.mktemp("maps") / "maps.zarr", Noiseless(MODEL), n=40, seed=3)
    return StoredMaps(store, COUNTS, MODEL.survey.noise_scale, jax.random.key(1))


def test_noise_is_all_that_they_lack(key):
    theta = MODEL.parameters.fiducial
    keys = jax.random.split(key, 20)
    both = lambda key: (MODEL.simulate_at(key, theta), Noiseless(MODEL).simulate_at(key, theta))  # noqa: E731
    noisy, clean = jax.jit(jax.vmap(both))(keys)
    noise = np.asarray(noisy - clean.astype(jnp.float32))
    assert clean.dtype == jnp.float16
    # 5120 pixels a bin: deviations to 1 % each, means to 1.4 % of one.
    np.testing.assert_allclose(noise.std((0, 1, 2)), MODEL.survey.noise_scale, rtol=0.05)
    assert np.all(np.abs(noise.mean((0, 1, 2))) < 0.07 * np.asarray(MODEL.survey.noise_scale))
    assert np.asarray(clean, np.float32).std() > 0.1 * noise.std(), "maps without signal"


def test_noise_that_stays_is_the_same_in_every_slice_and_another_in_every_map(maps):
    seen = maps.observed("training")
    assert (len(seen), seen.shape, seen.dtype) == (30, (30, 16, 16, 5), np.float32)
    whole = np.asarray(seen[:])
    np.testing.assert_array_equal(np.concatenate([seen[0:7], seen[7:30]]), whole)
    noise = whole - np.asarray(maps.store.array("data")[:30], np.float32)
    np.testing.assert_allclose(noise.std((0, 1, 2)), maps.scale, rtol=0.05)  # 7680 pixels: 0.8 % each
    assert np.abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.14  # 1280 pixels: five standard errors
    other = np.asarray(maps.observed("validation")[:]) - np.asarray(maps.store.array("data")[30:36], np.float32)
    assert not np.allclose(other[0], noise[0], atol=1e-3)


def test_parts_share_no_simulation_and_are_read_batch_by_batch(maps):
    thetas = {part: maps.theta(part) for part in COUNTS}
    assert {part: len(theta) for part, theta in thetas.items()} == COUNTS
    assert len(np.unique(np.concatenate(list(thetas.values())), axis=0)) == 40
    for turned in (True, False):
        shard = next(maps.batches("validation", 6, turned=turned).shards(jax.random.key(0)))
        (theta, one), (_, two) = (shard.draw(jax.random.key(i), jnp.asarray(0, jnp.int32)) for i in range(2))
        np.testing.assert_array_equal(np.sort(theta[:, 0]), np.sort(thetas["validation"][:, 0]))
        assert (one.shape, one.dtype) == ((6, 16, 16, 5), jnp.float32)
        assert not np.allclose(one, two), "noise must be fresh"
        clean = np.asarray(maps.store.array("data")[30:36], np.float32)
        order = [int(np.flatnonzero(thetas["validation"][:, 0] == value)[0]) for value in np.asarray(theta[:, 0])]
        left = np.asarray(one) - clean[order]
        noise = float(maps.scale[0])
        # What turned maps leave is noise and the field twice over.
        assert (np.abs(left.std() / noise - 1) < 0.05) == (not turned)


def test_summaries_take_them_like_arrays(maps):
    seen = maps.observed("training")
    compressor = fixed(lambda data: jnp.stack([data[..., 0].std(), data[..., 4].std()]), MODEL.data_shape)
    np.testing.assert_allclose(
        compress(compressor, seen, batch_size=7), np.asarray(seen[:])[..., [0, 4]].std((1, 2)), rtol=1e-4
    )
    check_alive(compress(whitened(compressor, seen, batch_size=7), seen))
    assert isinstance(seen, UnderNoise)
