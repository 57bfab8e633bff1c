import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.datasets import OnlineSimulations, StoredSimulations
from fullfield.simulators import LinearGaussian


N = 96


def numbered(n=N):
    """Examples whose parameter and data both tell their number."""
    number = np.arange(n, dtype=np.float32)
    return number[:, None], np.repeat(number[:, None], 25, axis=1)


def visited(simulations, key):
    """Every batch of an epoch as (parameters, data)."""
    batches = []
    for shard in simulations.shards(key):
        for step in range(int(shard.steps)):
            batches.append(shard.draw(jax.random.fold_in(key, step), jnp.asarray(step)))
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


@pytest.fixture(params=["memory", "streamed from an array", "streamed from disk"])
def simulations(request, tmp_path):
    theta, data = numbered()
    if request.param == "memory":
        return StoredSimulations(theta, data, batch_size=8)
    if request.param == "streamed from disk":
        array = zarr.create_array(tmp_path / "data.zarr", shape=data.shape, chunks=(10, 25), dtype="float32")
        array[:] = data
        data = array
    # 96 examples of 100 bytes: shards of 16 examples.
    return StoredSimulations(theta, data, batch_size=8, memory=9599)


def test_every_example_is_visited_exactly_once_per_epoch(simulations, key):
    theta, data = visited(simulations, key)
    np.testing.assert_array_equal(np.sort(theta[:, 0]), np.arange(N))
    np.testing.assert_array_equal(data, np.repeat(theta, 25, axis=1))
    assert simulations.steps_per_epoch * simulations.batch_size == N == simulations.cost(7)


@pytest.mark.parametrize("memory", [2**20, 9599])
def test_an_epoch_of_several_passes_visits_every_example_so_often(memory, key):
    theta, data = numbered()
    simulations = StoredSimulations(theta, data, batch_size=8, passes=3, memory=memory)
    seen = visited(simulations, key)[0][:, 0]
    np.testing.assert_array_equal(np.sort(seen), np.repeat(np.arange(N), 3))
    assert set(seen[:N]) == set(range(N)), "a pass ends before the next begins"
    assert (seen[:N] != seen[N : 2 * N]).any()
    assert simulations.steps_per_epoch == 3 * N // 8
    assert simulations.cost(7) == N
    assert simulations.identity != StoredSimulations(theta, data, batch_size=8, memory=memory).identity, "another run"


def test_order_depends_on_the_key_alone(simulations, key):
    first, again, other = (visited(simulations, k)[0] for k in (key, key, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_streaming_mixes_chunks_and_keeps_one_shape(tmp_path, key):
    theta, data = numbered()
    array = zarr.create_array(tmp_path / "data.zarr", shape=data.shape, chunks=(10, 25), dtype="float32")
    array[:] = data
    simulations = StoredSimulations(theta, array, batch_size=8, memory=9599)
    shards = list(simulations.shards(key))
    assert len(shards) == 6
    assert {shard.data.shape for shard in shards} == {(16, 25)}
    # Batches that came from one chunk alone would mean that nothing is shuffled across chunks.
    batches = [shard.draw(key, jnp.asarray(step))[0][:, 0] for shard in shards for step in range(2)]
    assert np.mean([len(set((np.asarray(batch) // 10).tolist())) > 1 for batch in batches]) > 0.8


def test_rows_select_examples_in_memory_and_streamed(tmp_path, key):
    theta, data = numbered()
    array = zarr.create_array(tmp_path / "data.zarr", shape=data.shape, chunks=(10, 25), dtype="float32")
    array[:] = data
    rows = np.arange(3, N, 2)[:40]
    for memory in (2**20, 3999):
        simulations = StoredSimulations(theta, array, batch_size=8, rows=rows, memory=memory)
        got, got_data = visited(simulations, key)
        np.testing.assert_array_equal(np.sort(got[:, 0]), rows)
        np.testing.assert_array_equal(got_data[:, 0], got[:, 0])
        assert simulations.cost(3) == 40


@pytest.mark.parametrize(
    ("n", "batch_size", "dealt"), [(96, 8, (8, 12)), (1000, 128, (125, 8)), (5, 8, (5, 1)), (160, 10, (10, 16))]
)
def test_small_sets_are_dealt_evenly(n, batch_size, dealt):
    simulations = StoredSimulations(*numbered(n), batch_size=batch_size)
    assert (simulations.batch_size, simulations.steps_per_epoch) == dealt


def test_augmentation_is_fresh_per_example(key):
    theta, data = numbered()
    noisy = StoredSimulations(
        theta, data, batch_size=8, augment=lambda key, theta, data: data + jax.random.normal(key, data.shape)
    )
    theta, data = visited(noisy, key)
    noise = data - theta
    assert np.unique(noise).size == noise.size
    # Mean of 2400 standard normals: five standard errors are 0.1.
    assert abs(noise.mean()) < 0.1


def test_online_simulations_are_those_of_the_model_and_never_repeat(key):
    model = LinearGaussian(n_data=4, n_parameters=2)
    simulations = OnlineSimulations(model, batch_size=16, steps_per_epoch=4)
    theta, data = visited(simulations, key)
    assert np.unique(theta).size == theta.size == 4 * 16 * 2
    assert data.shape == (64, 4)
    assert (simulations.cost(3), simulations.batch_size, simulations.steps_per_epoch) == (3 * 64, 16, 4)
    again, _ = visited(simulations, key)
    np.testing.assert_array_equal(theta, again)


def test_online_identity_tells_models_apart():
    first, same, other = (
        OnlineSimulations(LinearGaussian(noise_scale=scale), batch_size=4, steps_per_epoch=2).identity
        for scale in (1.0, 1.0, 2.0)
    )
    assert first == same != other


def test_stored_identity_tells_data_apart():
    theta, data = numbered()
    identity = StoredSimulations(theta, data, batch_size=8).identity
    assert identity == StoredSimulations(theta.copy(), data.copy(), batch_size=8).identity
    assert identity != StoredSimulations(theta + 1, data, batch_size=8).identity
    assert identity != StoredSimulations(theta, data + 1, batch_size=8).identity
    assert identity != StoredSimulations(theta, data, batch_size=4).identity


def test_bad_input_is_refused():
    theta, data = numbered()
    with pytest.raises(ShapeError, match="96 examples"):
        StoredSimulations(theta, data[:-1], batch_size=8)
    with pytest.raises(DataError, match="at least one"):
        StoredSimulations(theta, data, batch_size=8, rows=np.arange(0))
    with pytest.raises(ConfigurationError, match="batch_size"):
        StoredSimulations(theta, data, batch_size=0)
    with pytest.raises(ConfigurationError, match="steps_per_epoch"):
        OnlineSimulations(LinearGaussian(), batch_size=4, steps_per_epoch=0)
    data = data.copy()
    data[7, 3] = np.nan
    with pytest.raises(DataError, match="NaN or infinity in 1 of 96 examples, first at row 7"):
        StoredSimulations(theta, data, batch_size=8)


def test_what_is_streamed_is_looked_at_when_it_is_read(tmp_path, key):
    theta, data = numbered()
    data = data.copy()
    data[47, 3] = np.nan
    array = zarr.create_array(tmp_path / "data.zarr", shape=data.shape, chunks=(10, 25), dtype="float32")
    array[:] = data
    simulations = StoredSimulations(theta, array, batch_size=8, memory=9599)
    with pytest.raises(DataError, match="NaN or infinity in 1 of 10 examples, first at row 47"):
        visited(simulations, key)
    visited(StoredSimulations(theta, array, batch_size=8, memory=3999, rows=np.arange(40, 80)[np.arange(40) != 7]), key)
