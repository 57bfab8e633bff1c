"""Maps of CAMELS into a store, and maps of other simulations into files like those of CAMELS."""

import io
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import zarr
from jaxtyping import Array, Float

import fullfield
from fullfield._core import ConfigurationError, DataError, digest, ShapeError, write_atomically
from fullfield._core.progress import Progress, silent
from fullfield.datasets.camels import CamelsMaps, check_mass, check_table, note_of
from fullfield.datasets.camels_labels import columns_of, map_name, MAPS_PER_SIMULATION, table_names
from fullfield.datasets.campaign import begin, check_space, rows_per_chunk, write_chunk
from fullfield.datasets.split import FRACTIONS
from fullfield.datasets.store import SCHEMA, SimulationSet


COLUMNS = 6


def store_camels(
    path: str | os.PathLike,
    source: CamelsMaps,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    fractions: Mapping[str, float] = FRACTIONS,
    progress: Progress = silent,
) -> SimulationSet:
    """Copy maps into a store of simulations, block by block, as its `data` (n, 15, y, y).

    A row holds all views of one simulation, so that no two parts of the split share one. An interrupted copy goes on where it
    stopped, and chunks that are damaged are written again.

    Args:
        path: folder of the store.
        source: the maps.
        seed: of the split.
        names: the parameters to keep, such as ("Omega_m", "sigma_8"); all if not given.
        transform: what is stored of each pixel, such as `np.log10`.
        fractions: share of each part of the split by name.
        progress: told about every chunk verified and copied.

    Returns:
        The finished store.

    Raises:
        ParameterError: a name is none of the parameters.
        ConfigurationError: the store is of other maps; names the first difference.
        DataError: a pixel is not finite, as the logarithm of one that is not positive; or the disk is full.
    """
    path = pathlib.Path(path)
    names = source.parameters.names if names is None else tuple(names)
    theta = source.theta[:, [source.parameters.index(name) for name in names]]
    n, *shape = source.maps.shape
    layout = {"theta": jax.ShapeDtypeStruct((len(names),), "float32"), "data": jax.ShapeDtypeStruct(tuple(shape), "float32")}
    called = None if transform is None else getattr(transform, "__name__", repr(transform))
    facts = {
        "schema": SCHEMA,
        "parameters": list(names),
        "seed": seed,
        "configuration": {"maps": source.path.name, "table": source.table.name, "note": source.note, "transform": called},
        "model": digest("CAMELS", source.identity, transform),
        "fractions": dict(fractions),
        "arrays": list(layout),
        "chunk": rows_per_chunk(n, layout),
        "n": n,
        "revision": f"fullfield {fullfield.__version__}",
    }
    store, wanted = begin(path, facts, layout, free_chunk=True, progress=progress)
    group = zarr.open_group(store.path, mode="r+")
    check_space(store, group, len(wanted))
    for done, number in enumerate(wanted):
        rows = store.slice(number)
        data = _transformed(source, rows, transform, called)
        write_chunk(store, group, number, {"theta": theta[rows], "data": data})
        progress("copying", done + 1, len(wanted))
    return store


def write_camels(
    folder: str | os.PathLike,
    field: str,
    suite: str,
    set: str,
    theta: Float[Array | np.ndarray, "n k"],
    simulations: Iterable[Float[Any, "15 y y"]],
    *,
    made_by: str,
    redshift: float = 0.0,
) -> CamelsMaps:
    """Write maps that are not of CAMELS under the names and in the format of CAMELS, with a note beside them that says so.

    Args:
        folder: where to; made if there is none.
        field: one of `FIELDS`; "Mtot" must be in proportion to Omega_m.
        suite: one of `SUITES`, whose ranges the parameters keep.
        set: one of `SETS`, whose layout the parameters keep; not "SB…", whose tables are larger.
        theta: the first 2 to 6 of the six parameters (n, k); the others are written as one.
        simulations: maps (15, y, y) of each, positive if they are masses; they are written as they come.
        made_by: what simulated; stands in the note.
        redshift: of the maps.

    Returns:
        The maps, opened.

    Raises:
        ConfigurationError: a name is unknown, or the folder has such files already: published maps are never written over.
        ShapeError: maps of another shape.
        DataError: the parameters are not such as the suite and set have, maps are not finite, or there are more or fewer
            simulations than parameters; nothing is left of such a file.
    """
    folder = pathlib.Path(folder)
    path, table = folder / map_name(field, suite, set, redshift), folder / table_names(suite, set)[0]
    values, text = _table(theta, suite, set, table, made_by)
    if path.exists() or (table.exists() and table.read_text() != text):
        raise ConfigurationError(
            str(folder), expected=f"no {path.name}, and no {table.name} of other parameters", got="one",
            remedy="Choose another folder.",
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    masses, shape = [], (MAPS_PER_SIMULATION, 1, 1)
    with write_atomically(path) as file:
        for row, simulation in enumerate(simulations):
            block = np.asarray(simulation, np.float32)
            if row == 0:
                shape = (MAPS_PER_SIMULATION, block.shape[-1], block.shape[-1])
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(values) * shape[0], *shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            if block.shape != shape:
                raise ShapeError("simulations", expected=f"15 square maps of each, as {shape}", got=block.shape)
            if not np.isfinite(block).all():
                raise DataError("simulations", expected="finite maps", got=f"NaN or infinity in simulation {row}")
            masses.append(block.mean(dtype=float))
            file.write(block.astype("<f4").tobytes())
        if len(masses) != len(values):
            raise DataError("simulations", expected=f"{len(values)}, as many as parameters", got=len(masses))
        if field == "Mtot":
            check_mass(table, np.array(masses), values[:, 0])
        table.write_text(text)
        note_of(path).write_text(f"{path.name} is synthetic: not of the CAMELS simulations, but made by {made_by}.\n")
    return CamelsMaps.open(folder, field, suite, set, redshift)


def _table(theta, suite: str, set: str, table: pathlib.Path, made_by: str) -> tuple[np.ndarray, str]:
    if COLUMNS not in columns_of(suite, set):
        raise ConfigurationError("set", expected=f"one whose tables have {COLUMNS} columns", got=repr(set), remedy="Take LH.")
    theta = np.asarray(theta, np.float32)
    if theta.ndim != 2 or not len(theta) or not 2 <= theta.shape[1] <= COLUMNS:
        raise ShapeError("theta", expected=f"(n, 2) to (n, {COLUMNS}), Omega_m and sigma_8 first", got=theta.shape)
    values = np.concatenate([theta, np.ones((len(theta), COLUMNS - theta.shape[1]), np.float32)], axis=1)
    check_table(table, values[:, :2] if suite.startswith("Nbody_") else values, suite, set)
    buffer = io.StringIO()
    # Nine digits give a single-precision number back.
    np.savetxt(buffer, values, fmt="%.9g", header=f"synthetic, by {' '.join(made_by.split())}")
    return values, buffer.getvalue()


def _transformed(source: CamelsMaps, rows: slice, transform: Callable | None, called: str | None) -> np.ndarray:
    raw = np.asarray(source.maps[rows])
    with np.errstate(all="ignore"):
        data = raw if transform is None else np.asarray(transform(raw), np.float32)
    if data.shape != raw.shape:
        raise ShapeError("transform", expected=f"one number for each pixel, {raw.shape}", got=data.shape)
    bad = ~np.isfinite(data)
    if bad.any():
        where = np.unravel_index(bad.argmax(), bad.shape)
        number = (rows.start + where[0]) * MAPS_PER_SIMULATION + where[1]
        wanted = "finite pixels" if transform is None else f"pixels whose {called} is finite, so positive ones for a logarithm"
        raise DataError(
            str(source.path), expected=wanted, got=f"{raw[where]:g} in map {number}",
            remedy="Choose another transform, such as the logarithm of the pixel plus a small number.",
        )  # fmt: skip
    return data
