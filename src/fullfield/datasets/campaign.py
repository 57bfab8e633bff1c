"""Simulating into a store: resumable, append-only, each chunk reproducible by itself."""

import concurrent.futures
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import zarr
from jaxtyping import Array, Key

import fullfield
from fullfield._core import ConfigurationError, DataError, digest, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets.layout import create_store, grow_store
from fullfield.datasets.simulations import check_positive
from fullfield.datasets.split import FRACTIONS
from fullfield.datasets.store import array_of, CHECKSUM, checksums, SCHEMA, SimulationSet
from fullfield.simulators import AbstractExplicitModel, AbstractForwardModel, even_batch


CHUNK_BYTES = 16 * 2**20


def simulate_to_store(
    path: str | os.PathLike,
    model: AbstractForwardModel,
    *,
    n: int,
    seed: int,
    chunk: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    fractions: Mapping[str, float] = FRACTIONS,
    score: bool = False,
    latents: bool = False,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> SimulationSet:
    """Bring the store at `path` to `n` finished simulations of `model`.

    A new store is made; in an existing one, chunks that are finished and sound stay, and those that are missing or damaged
    are simulated. Chunk i depends on the model, the seed and i alone, so an interrupted campaign ends with the same bytes as
    an uninterrupted one, and a larger `n` later keeps the simulations and the parts of the split that there are.

    Args:
        path: folder of the store.
        model: what simulates.
        n: number of simulations.
        seed: of the campaign.
        chunk: simulations per chunk; about 16 MiB of data if not given.
        configuration: JSON-able settings to record.
        fractions: share of each part of the split by name.
        score: whether to store the joint score too.
        latents: whether to store the latents too.
        batch_size: simulations side by side, `model.batch_size` if not given.
        progress: told about every chunk verified and simulated.

    Returns:
        The finished store.

    Raises:
        ConfigurationError: the store is of another campaign; names the first difference. Or a setting is impossible.
        DataError: a simulation is not finite (says how many of those so far), or the disk is full; finished chunks are kept.
    """
    given = {"n": n, "batch_size": batch_size, "chunk": chunk}
    check_positive(**{name: value for name, value in given.items() if value is not None})
    if (score or latents) and not isinstance(model, AbstractExplicitModel):
        raise ConfigurationError(
            "score, latents", expected="an explicit model", got=type(model).__name__, remedy="Leave them out."
        )
    path = pathlib.Path(path)
    layout = jax.eval_shape(lambda key: _simulate_one(model, key, score, latents), jax.random.key(0))
    facts = {
        "schema": SCHEMA,
        "parameters": list(model.parameters.names),
        "seed": seed,
        "configuration": json.loads(json.dumps(dict(configuration or {}))),
        "model": digest(model),
        "fractions": dict(fractions),
        "arrays": list(layout),
        "chunk": chunk or rows_per_chunk(n, layout),
        "n": n,
        "revision": f"fullfield {fullfield.__version__}",
    }
    store, wanted = begin(path, facts, layout, free_chunk=chunk is None, progress=progress)
    write_chunks(store, model, wanted, batch_size=batch_size, progress=progress)
    return store


def begin(
    path: pathlib.Path, facts: dict[str, Any], layout: dict[str, jax.ShapeDtypeStruct], *, free_chunk: bool, progress: Progress
) -> tuple[SimulationSet, list[int]]:
    """Make a store, or go on with the one there is: the store, and the chunks of it that are missing or damaged.

    Args:
        path: folder of the store.
        facts: what the store is of; see `SimulationSet`.
        layout: shape and type of every array for one simulation.
        free_chunk: whether an earlier store may have other chunks.
        progress: told about every chunk verified.

    Raises:
        ConfigurationError: the store is of another campaign; names the first difference.
    """
    if path.exists():
        store = grow_store(SimulationSet.open(path), facts, free_chunk=free_chunk)
    else:
        store = create_store(path, facts, layout)
    sound = []
    for number, good in store.inspect():
        sound += [number] if good else []
        progress("verifying", number + 1, store.chunks)
    return store, sorted(set(range(store.chunks)) - set(sound))


def write_chunks(
    store: SimulationSet,
    model: AbstractForwardModel,
    numbers: Iterable[int],
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> None:
    """Simulate chunks of a store by number; several processes may write different chunks at once.

    Args:
        store: where to.
        model: the model that the store was made for.
        numbers: the chunks.
        batch_size: simulations side by side, `model.batch_size` if not given.
        progress: told about every chunk.

    Raises:
        DataError: a simulation is not finite (says how many of those so far), or the disk is full; finished chunks are kept.
    """
    numbers = list(numbers)
    names = store.facts["arrays"]
    score, latents = "score" in names, any(name.startswith("latents.") for name in names)
    group = zarr.open_group(store.path, mode="r+")
    check_space(store, group, len(numbers))
    parent = stream(jax.random.key(store.facts["seed"]), "simulations")
    batch_size = batch_size or model.batch_size
    # One chunk is written and checksummed while the next is simulated.
    with concurrent.futures.ThreadPoolExecutor(1) as writer:
        pending = None
        for done, number in enumerate(numbers):
            arrays = _simulate_chunk(model, jax.random.fold_in(parent, number), store.chunk, batch_size, score, latents)
            arrays = {name: np.asarray(arrays[name]) for name in names}
            if pending is not None:
                pending.result()
                progress("simulating", done, len(numbers))
            _check_finite(arrays, model.parameters.names, number, done * store.chunk)
            pending = writer.submit(write_chunk, store, group, number, arrays)
        if pending is not None:
            pending.result()
            progress("simulating", len(numbers), len(numbers))


@eqx.filter_jit
def _simulate_chunk(model, key, chunk, batch_size, score, latents):
    keys = jax.random.split(key, chunk)
    return jax.lax.map(lambda key: _simulate_one(model, key, score, latents), keys, batch_size=even_batch(chunk, batch_size))


def _simulate_one(model: Any, key: Key[Array, ""], score: bool, latents: bool) -> dict[str, Array]:
    theta = model.parameters.sample(stream(key, "prior"))
    simulation_key = stream(key, "simulation")
    arrays = {"theta": theta, "key": jax.random.key_data(simulation_key)}
    if not (score or latents):
        return arrays | {"data": model.simulate_at(simulation_key, theta)}
    hidden, data = model.simulate_with_latents(simulation_key, theta)
    arrays["data"] = data
    if score:
        arrays["score"] = model.score(theta, hidden, data)
    if latents:
        arrays |= {f"latents.{name}": value for name, value in hidden.items()}
    return arrays


def write_chunk(store: SimulationSet, group: zarr.Group, number: int, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of one chunk, of which those past the end of the store are left out, and their checksums.

    Raises:
        DataError: the disk is full.
    """
    rows = store.slice(number)
    kept = {name: array[: rows.stop - rows.start] for name, array in arrays.items()}
    try:
        for name, array in kept.items():
            array_of(group, name)[rows] = array
        # Last, for this is what makes the chunk count.
        array_of(group, CHECKSUM)[number] = checksums(kept)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _disk_full(store, group, len(store.missing())) from error


def _check_finite(arrays: dict[str, np.ndarray], names: tuple[str, ...], number: int, finite: int) -> None:
    for name, array in arrays.items():
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if bad.any():
            theta = dict(zip(names, arrays["theta"][bad.argmax()].tolist(), strict=True))
            raise DataError(
                name,
                expected="finite simulations",
                got=f"NaN or infinity in {bad.sum()} of the {finite + bad.size} simulations so far, all in chunk {number}, "
                f"first at {theta}",
                remedy="Mend the simulator there or narrow the prior. A store takes no failures; what trains on simulations in "
                "memory leaves them out and counts them (leave_out=True of append_simulations and of sequential).",
            )


def check_space(store: SimulationSet, group: zarr.Group, chunks: int) -> None:
    """Refuse to begin on so many chunks.

    Raises:
        DataError: the disk has no room for them.
    """
    if shutil.disk_usage(store.path).free < _bytes_of(group, store, chunks):
        raise _disk_full(store, group, chunks)


def _disk_full(store: SimulationSet, group: zarr.Group, chunks: int) -> DataError:
    free, needed = shutil.disk_usage(store.path).free, _bytes_of(group, store, chunks)
    return DataError(
        str(store.path),
        expected=f"{needed / 1e9:.3g} GB of free disk for the missing simulations",
        got=f"{free / 1e9:.3g} GB",
        remedy="Free space and run again: finished chunks are kept.",
    )


def _bytes_of(group: zarr.Group, store: SimulationSet, chunks: int) -> int:
    arrays = [array_of(group, name) for name in store.facts["arrays"]]
    return chunks * store.chunk * sum(int(np.prod(array.shape[1:])) * array.dtype.itemsize for array in arrays)


def rows_per_chunk(n: int, layout: dict[str, jax.ShapeDtypeStruct]) -> int:
    """Simulations per chunk that make about 16 MiB."""
    each = sum(int(np.prod(one.shape)) * one.dtype.itemsize for one in layout.values())
    return max(1, min(n, 1024, CHUNK_BYTES // each))
