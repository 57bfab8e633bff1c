"""Making a store, and making it larger."""

import pathlib
import shutil
import tempfile
from typing import Any

import jax
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from fullfield._core import ConfigurationError
from fullfield.datasets.split import split
from fullfield.datasets.store import array_of, CHECKSUM, FACTS, SimulationSet, SPLIT, split_checksum


def create_store(path: pathlib.Path, facts: dict[str, Any], layout: dict[str, jax.ShapeDtypeStruct]) -> SimulationSet:
    """Make an empty store.

    Args:
        path: folder that must not exist.
        facts: what the store is of; see `SimulationSet`.
        layout: shape and type of every array for one simulation.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and moved there whole, so that no half-made store is ever found.
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        n, chunk = facts["n"], facts["chunk"]
        group = zarr.create_group(folder, overwrite=True, zarr_format=3)
        for name, one in layout.items():
            # Noisy maps do not compress; the checksum that any Zarr reader verifies costs next to nothing.
            group.create_array(
                name, shape=(n, *one.shape), chunks=(chunk, *one.shape), dtype=one.dtype, compressors=[Crc32cCodec()]
            )
        records = (len(layout), 32)
        group.create_array(CHECKSUM, shape=(-(-n // chunk), *records), chunks=(1, *records), dtype="uint8", compressors=None)
        labels = split(n, facts["fractions"], facts["seed"])
        group.create_array(SPLIT, shape=(n,), chunks=(2**16,), dtype="uint8")[:] = labels
        facts = facts | {"split": split_checksum(labels)}
        group.attrs[FACTS] = facts
        folder.chmod(0o755)
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return SimulationSet(path, facts)


def grow_store(store: SimulationSet, facts: dict[str, Any], *, free_chunk: bool) -> SimulationSet:
    """Make room for more simulations in a store of the same campaign; every step may be repeated after an interruption.

    Args:
        store: what there is.
        facts: what is wanted.
        free_chunk: whether the store may decide the number of simulations per chunk.

    Raises:
        ConfigurationError: the store is of another campaign; names the first difference.
    """
    compared = [name for name in facts if name not in ("n", "revision") and not (name == "chunk" and free_chunk)]
    for name in compared:
        difference = first_difference(store.facts.get(name), facts[name], name)
        if difference is not None:
            setting, theirs, mine = difference
            raise ConfigurationError(
                f"{store.path.name}: {setting}",
                expected=f"{theirs!r}, as in the store",
                got=repr(mine),
                remedy="Restore the setting or choose another folder.",
            )
    old, n = store.n, facts["n"]
    if n < old:
        raise ConfigurationError("n", expected=f"at least {old}, as in the store", got=n, remedy="A store only grows.")
    if n == old:
        return store
    group = zarr.open_group(store.path, mode="r+")
    checksum, stored = array_of(group, CHECKSUM), array_of(group, SPLIT)
    labels = split(n, facts["fractions"], facts["seed"], earlier=np.asarray(stored[:old]))
    grown = SimulationSet(store.path, store.facts | {"n": n, "split": split_checksum(labels)})
    if old % store.chunk:
        checksum[old // store.chunk] = 0  # the last chunk was not full and is now another
    for name in store.facts["arrays"]:
        array = array_of(group, name)
        array.resize((n, *array.shape[1:]))
    checksum.resize((grown.chunks, *checksum.shape[1:]))
    stored.resize((n,))
    stored[:] = labels
    group.attrs[FACTS] = grown.facts
    return grown


def first_difference(theirs: Any, mine: Any, name: str) -> tuple[str, Any, Any] | None:
    """Dotted name and both values of the first setting in which two nested configurations differ."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        for key in (*theirs, *(key for key in mine if key not in theirs)):
            difference = first_difference(theirs.get(key), mine.get(key), f"{name}.{key}")
            if difference is not None:
                return difference
        return None
    return None if theirs == mine else (name, theirs, mine)
