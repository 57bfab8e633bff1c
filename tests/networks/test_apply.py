import jax
import jax.numpy as jnp
import numpy as np
import zarr

from fullfield.networks import apply_many


def test_batches_equal_a_loop_whatever_their_size():
    data = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    expected = np.stack([np.cumsum(row) for row in data])
    for batch_size in (1, 3, 7, 100):
        np.testing.assert_allclose(apply_many(jnp.cumsum, data, batch_size=batch_size), expected, rtol=1e-6)


def test_reads_keys_and_zarr_side_by_side():
    keys = jax.random.split(jax.random.key(0), 5)
    stored = zarr.array(np.arange(10.0, dtype=np.float32).reshape(5, 2))
    noisy = apply_many(lambda key, x: x + jax.random.normal(key, x.shape), keys, stored, batch_size=2)
    expected = np.stack([stored[i] + jax.random.normal(keys[i], (2,)) for i in range(5)])
    np.testing.assert_allclose(noisy, expected, rtol=1e-6)


def test_tells_how_far_it_is():
    told = []
    apply_many(
        jnp.sum, np.ones((5, 2)), batch_size=2, progress=lambda stage, done, total: told.append((stage, done, total)), stage="x"
    )
    assert told == [("x", 2, 5), ("x", 4, 5), ("x", 5, 5)]
