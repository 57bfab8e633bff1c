"""The store of a simulation campaign: one Zarr 3 group, checksummed chunk by chunk."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import zarr
from jaxtyping import Int, Shaped, UInt8

from fullfield._core import DamagedDataError, DataError, nearest, ParameterError
from fullfield.datasets.stored import read_rows, StoredSimulations
from fullfield.simulators import Simulations


SCHEMA = 2
FACTS = "fullfield"
CHECKSUM = "checksum"
SPLIT = "split"
BEYOND_REPAIR = "Restore it from a copy, or delete the store and simulate again."


class SimulationSet(eqx.Module):
    """Simulations on disk, with what they were made of.

    A Zarr 3 group whose arrays `theta` (n, p), `data` (n, ...), and optionally `key` (n, words), `score` (n, p) and
    `latents.<site>` (n, ...) are cut into chunks of the same simulations. `checksum` holds the SHA-256 of every array's
    chunk; it is written last, so a row of zeros means that the chunk is not finished. `split` (n,) holds the part that each
    simulation belongs to. The attribute "fullfield" holds schema version, configuration, model digest, parameter names,
    seed, code revision and the SHA-256 of the split.

    Args:
        path: folder of the group.
        facts: content of the attribute "fullfield".
    """

    path: pathlib.Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike) -> "SimulationSet":
        """Open a store that `simulate_to_store` or `store_camels` made, finished or not.

        Raises:
            DataError: there is no such store.
            DamagedDataError: its description cannot be read, or the split is not the one that was made.
        """
        path = pathlib.Path(path)
        try:
            group = zarr.open_group(path, mode="r")
            facts: Any = group.attrs[FACTS]
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DamagedDataError(
                str(path / "zarr.json"), expected="the JSON that was written", got=str(error), remedy=BEYOND_REPAIR
            ) from error
        except (FileNotFoundError, KeyError) as error:
            raise DataError(
                str(path), expected="a store of simulations", got="another folder or none", remedy="Make it by simulating."
            ) from error
        if facts["schema"] != SCHEMA:
            raise DataError(str(path), expected=f"schema version {SCHEMA}", got=facts["schema"], remedy="Simulate again.")
        _check_split(path, group, facts)
        return cls(path, facts)

    @property
    def n(self) -> int:
        """Number of simulations, finished or not."""
        return self.facts["n"]

    @property
    def chunk(self) -> int:
        """Simulations per chunk."""
        return self.facts["chunk"]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in their order."""
        return tuple(self.facts["parameters"])

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.n // self.chunk)

    def array(self, name: str) -> zarr.Array:
        """One array of the store, read from disk when indexed.

        Raises:
            ParameterError: there is no such array.
        """
        if name not in (*self.facts["arrays"], SPLIT, CHECKSUM):
            raise ParameterError("name", expected="an array of the store", got=name, remedy=nearest(name, self.facts["arrays"]))
        return array_of(zarr.open_group(self.path, mode="r"), name)

    def rows(self, part: str | None = None) -> Int[np.ndarray, " m"]:
        """Indices of the simulations of one part ("train", "validation", ...), or of all.

        Raises:
            ParameterError: there is no such part.
        """
        if part is None:
            return np.arange(self.n)
        parts = list(self.facts["fractions"])
        if part not in parts:
            raise ParameterError("part", expected="a part of the split", got=repr(part), remedy=nearest(part, parts))
        return np.flatnonzero(np.asarray(self.array(SPLIT)[: self.n]) == parts.index(part))

    def arrays(self, part: str | None = None) -> Simulations:
        """Read the parameters and data of one part, or of all, into memory.

        Raises:
            DataError: chunks are missing.
            DamagedDataError: a chunk's checksum is wrong.
        """
        return Simulations(jnp.asarray(self.read("theta", part)), jnp.asarray(self.read("data", part)))

    def read(self, name: str, part: str | None = None) -> Shaped[np.ndarray, "m ..."]:
        """Read one array of one part, or of all, into memory; raises as `arrays`."""
        self._check_complete()
        try:
            return read_rows(self.array(name), self.rows(part))
        except (ValueError, RuntimeError) as error:
            raise self._damaged(self.damaged()) from error

    def batches(
        self, part: str, batch_size: int, *, augment: Callable | None = None, memory: int = 4 * 2**30
    ) -> StoredSimulations:
        """The simulations of one part as training data; they are streamed from disk if they exceed `memory` bytes.

        Raises:
            DataError: chunks are missing.
            DamagedDataError: a chunk's checksum is wrong.
        """
        self._check_complete()
        try:
            return StoredSimulations(
                self.array("theta")[: self.n], self.array("data"), batch_size=batch_size, rows=self.rows(part), augment=augment,
                memory=memory,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            raise self._damaged(self.damaged()) from error

    def missing(self) -> list[int]:
        """Numbers of the chunks that are not finished."""
        finished = np.asarray(self.array(CHECKSUM)[: self.chunks]).any(axis=(1, 2))
        return np.flatnonzero(~finished).tolist()

    def damaged(self) -> list[int]:
        """Numbers of the finished chunks whose bytes differ from what was written; reads everything."""
        return [number for number, sound in self.inspect() if not sound]

    def inspect(self) -> Iterator[tuple[int, bool]]:
        """Go through the finished chunks: number, and whether its bytes are those written."""
        recorded = np.asarray(self.array(CHECKSUM)[: self.chunks])
        arrays = {name: self.array(name) for name in self.facts["arrays"]}
        for number in np.flatnonzero(recorded.any(axis=(1, 2))).tolist():
            try:
                content = {name: np.asarray(array[self.slice(number)]) for name, array in arrays.items()}
                yield number, bool((checksums(content) == recorded[number]).all())
            except (ValueError, RuntimeError, OSError):
                yield number, False

    def verify(self) -> None:
        """Compare every chunk with its checksum.

        Raises:
            DamagedDataError: names the damaged chunks.
        """
        damaged = self.damaged()
        if damaged:
            raise self._damaged(damaged)

    def slice(self, number: int) -> slice:
        """Rows of a chunk."""
        return slice(number * self.chunk, min((number + 1) * self.chunk, self.n))

    def _check_complete(self) -> None:
        missing = self.missing()
        if missing:
            raise DataError(
                str(self.path), expected=f"{self.chunks} finished chunks", got=f"{len(missing)} that are missing",
                remedy="Run the campaign again: it goes on where it stopped.",
            )  # fmt: skip

    def _damaged(self, numbers: list[int]) -> DamagedDataError:
        return DamagedDataError(
            str(self.path), expected="the bytes that were written", got=f"others in chunks {numbers}",
            remedy="Run the campaign again: it simulates these chunks again, bit for bit.",
        )  # fmt: skip


def array_of(group: zarr.Group, name: str) -> zarr.Array:
    """The array called `name` of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def split_checksum(labels: UInt8[np.ndarray, " n"]) -> str:
    """SHA-256 of the split; it is recorded because a store that has grown cannot recompute its split from the seed alone."""
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()


def _check_split(path: pathlib.Path, group: zarr.Group, facts: dict[str, Any]) -> None:
    try:
        sound = split_checksum(np.asarray(array_of(group, SPLIT)[: facts["n"]])) == facts["split"]
    except (KeyError, ValueError, RuntimeError, OSError):
        sound = False
    if not sound:
        raise DamagedDataError(
            str(path / SPLIT), expected="the split that was made", got="another or none", remedy=BEYOND_REPAIR
        )


def checksums(arrays: dict[str, Shaped[np.ndarray, "rows ..."]]) -> Shaped[np.ndarray, "arrays 32"]:
    """SHA-256 of each array's bytes."""
    digests = [hashlib.sha256(np.ascontiguousarray(array).data).digest() for array in arrays.values()]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), 32)
