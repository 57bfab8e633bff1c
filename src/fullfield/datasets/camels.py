"""The 2-D maps of the CAMELS Multifield Dataset (CMD), as they are published.

A file `Maps_{field}_{suite}_{set}_z={z}.npy` holds float32 maps of 256² pixels, 25 Mpc/h wide and periodic, of slabs 5 Mpc/h
thick, in linear units: masses in (M☉/h) / (Mpc/h)². Map i is of the simulation in row i // 15 of the table of parameters,
`params_{set}_{suite}.txt`, until 2023 `params_{suite}.txt`.

Villaescusa-Navarro et al. 2022 (arXiv:2109.10915); camels-multifield-dataset.readthedocs.io.
"""

import math
import os
import pathlib
import warnings

import equinox as eqx
import numpy as np
from jaxtyping import Float, Float32

from fullfield._core import DamagedDataError, DataError, digest, ShapeError
from fullfield.datasets.camels_labels import (
    camels_parameters,
    columns_of,
    COSMOLOGY,
    map_name,
    MAPS_PER_SIMULATION,
    SETS,
    SIDE,
    table_names,
)
from fullfield.parameters import ParameterSpace


DOWNLOAD = "Download it as camels-multifield-dataset.readthedocs.io/en/latest/access.html says, from 2D_maps/data."
ANOTHER_TABLE = "Take the table that was published with the maps."
ROUNDING = 5e-3  # of the numbers in a table, relative
# Mass over Omega_m is the same in all boxes; maps of our own fields, which do not conserve mass, scatter about it. Of unrelated
# cosmologies about half differ by less than this factor: sixteen of them all do once in 10⁵ times.
MASS_FACTOR = 1.5
LOOKED_AT = 16


class CamelsMaps(eqx.Module):
    """Maps of one field of a set of simulations, left on disk until they are indexed.

    Args:
        path: file of the maps.
        table: file of the parameters.
        field: what the maps show, such as "Mtot".
        suite: the code that simulated.
        set: how the parameters are laid out. Only in "LH" and "SB…" has every simulation a cosmology of its own.
        redshift: of the maps.
        theta: parameters (n, p), in the order of `parameters`; of N-body simulations only those that they know.
        maps: maps (n, 15, y, y), memory-mapped.
        note: who made the maps, if they are not the published ones.
    """

    path: pathlib.Path
    table: pathlib.Path
    field: str
    suite: str
    set: str
    redshift: float
    theta: Float32[np.ndarray, "n p"]
    maps: Float32[np.ndarray, "n 15 y y"]
    note: str | None

    @classmethod
    def open(
        cls, folder: str | os.PathLike, field: str, suite: str = "IllustrisTNG", set: str = "LH", redshift: float = 0.0
    ) -> "CamelsMaps":
        """Find the maps and their table in a folder, and check them against each other and the documentation.

        Args:
            folder: where both files lie.
            field: one of `FIELDS`.
            suite: one of `SUITES`.
            set: one of `SETS`.
            redshift: of the maps; the published ones are all at zero.

        Raises:
            ConfigurationError: field, suite or set is unknown.
            DataError: a file is missing (says under which names it was looked for) or in another format, or the table is of
                another suite or set. Of fields other than Mtot the maps cannot tell their cosmology, and tables of two suites
                that have equal ranges are not told apart.
            ShapeError: the maps are not square or not 15 for each row of the table.
            DamagedDataError: the file of maps is shorter or longer than it says.
        """
        folder = pathlib.Path(folder)
        path = _find(folder, [map_name(field, suite, set, redshift)])
        table = _find(folder, table_names(suite, set))
        beside = note_of(path)
        note = beside.read_text() if beside.exists() else None
        theta = read_table(table, suite, set)
        if note is None and SETS[set] not in (None, len(theta)):
            raise DataError(
                str(table), expected=f"{SETS[set]} rows, one for each simulation of {set}", got=len(theta), remedy=ANOTHER_TABLE
            )
        maps = _map_file(path, side=SIDE if note is None else None)
        if len(maps) != MAPS_PER_SIMULATION * len(theta):
            raise ShapeError(
                str(path), expected=f"{MAPS_PER_SIMULATION} maps for each of the {len(theta)} rows of {table.name}",
                got=f"{len(maps)} maps", remedy="Maps and table must be of the same suite and set.",
            )  # fmt: skip
        maps = maps.reshape(len(theta), MAPS_PER_SIMULATION, *maps.shape[1:])
        if field == "Mtot":
            some = looked_at(len(theta))
            check_mass(table, np.array([maps[row].mean(dtype=float) for row in some]), theta[some, 0], path.name)
        return cls(path, table, field, suite, set, redshift, theta, maps, note)

    @property
    def synthetic(self) -> bool:
        """Whether the maps were made by `write_camels` instead of the CAMELS simulations."""
        return self.note is not None

    @property
    def parameters(self) -> ParameterSpace:
        """Names of the columns of `theta`; the published ranges of the suite as prior. Those of "EX" lie outside on purpose."""
        return camels_parameters(self.suite, self.theta.shape[1])

    @property
    def identity(self) -> str:
        """Digest of the name, all parameters and sixteen simulations."""
        return digest(self.path.name, self.theta, self.maps[looked_at(len(self.theta))], self.note)


def read_table(path: pathlib.Path, suite: str, set: str) -> Float32[np.ndarray, "n p"]:
    """Read a table of parameters (n, p); of N-body simulations the first two columns, since the others mean nothing.

    Raises:
        DataError: it is no table of numbers, or not one of this suite and set.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty file, which has no columns either
            theta = np.loadtxt(path, dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise DataError(str(path), expected="a table of numbers", got=str(error), remedy=ANOTHER_TABLE) from error
    columns = columns_of(suite, set)
    if theta.shape[1] not in columns:
        raise DataError(
            str(path), expected=f"{' or '.join(map(str, columns))} columns, as tables of {suite} {set} have",
            got=theta.shape[1], remedy=ANOTHER_TABLE,
        )  # fmt: skip
    theta = theta[:, :2] if suite.startswith("Nbody_") else theta
    check_table(path, theta, suite, set)
    return theta


def check_table(path: pathlib.Path, theta: Float[np.ndarray, "n p"], suite: str, set: str) -> None:
    """Refuse parameters (n, p) outside the published ranges of the suite, or laid out otherwise than the set.

    Raises:
        DataError: names the file and the first such row.
    """
    space = camels_parameters(suite, theta.shape[1])
    # The units of the larger tables are not documented, and the feedback of "EX" is extreme.
    checked = space.names if set != "EX" and theta.shape[1] <= 7 else COSMOLOGY
    for column, name in enumerate(checked):
        low, high = space.bounds[column]
        values, margin = theta[:, column], ROUNDING * max(abs(low), abs(high))
        outside = ~((values >= low - margin) & (values <= high + margin))
        if outside.any():
            raise DataError(
                str(path), expected=f"{name} of {suite} between {low:g} and {high:g}",
                got=f"{values[outside.argmax()]:g} in row {outside.argmax()}", remedy=ANOTHER_TABLE,
            )  # fmt: skip
    _check_layout(path, theta, set)


def check_mass(
    table: pathlib.Path, masses: Float[np.ndarray, " m"], omega_m: Float[np.ndarray, " m"], maps: str = "the maps"
) -> None:
    """Refuse maps of the total mass whose means are not proportional to Omega_m: the table is of other simulations.

    The 15 maps of a box hold all of its mass three times, so their mean is Omega_m · 2.775e11 · 5 (M☉/h) / (Mpc/h)².

    Raises:
        DataError: names the table.
    """
    with np.errstate(all="ignore"):
        ratio = masses / omega_m
        away = ratio / np.median(ratio)
        sound = np.abs(np.log(away)) < np.log(MASS_FACTOR)
    if not sound.all():
        raise DataError(
            str(table), expected=f"Omega_m in proportion to the mass in {maps}",
            got=f"{away[sound.argmin()]:.2g} times the usual mass where it is {omega_m[sound.argmin()]:g}",
            remedy=ANOTHER_TABLE,
        )  # fmt: skip


def note_of(path: pathlib.Path) -> pathlib.Path:
    """The note that lies beside maps that are synthetic."""
    return path.with_suffix(".synthetic.txt")


def looked_at(n: int) -> np.ndarray:
    """Rows of a few simulations, evenly spread."""
    return np.unique(np.linspace(0, n - 1, LOOKED_AT).astype(int))


def _check_layout(path: pathlib.Path, theta: Float[np.ndarray, "n p"], set: str) -> None:
    cosmologies, distinct = (len(np.unique(columns, axis=0)) for columns in (theta[:, :2], theta))
    moved = (theta != np.median(theta, axis=0)).sum(axis=1)
    expected, sound = {
        "CV": ("the same parameters in all rows", distinct == 1),
        "1P": ("one parameter in each row away from its fiducial value", moved.max(initial=0) <= 1),
        "EX": ("the same cosmology in all rows", cosmologies == 1),
    }.get("CV" if set == "BE" else set, ("another cosmology in every row", cosmologies == len(theta)))
    if not sound:
        got = f"{len(theta)} rows, of which {distinct} differ and have {cosmologies} cosmologies"
        raise DataError(str(path), expected=f"{expected}, as {set} has", got=got, remedy=ANOTHER_TABLE)


def _find(folder: pathlib.Path, names: list[str]) -> pathlib.Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        str(folder), expected=f"a file {' or '.join(names)}", got="none", remedy=f"{DOWNLOAD} Or make one with write_camels."
    )


def _map_file(path: pathlib.Path, side: int | None) -> Float32[np.memmap, "m y y"]:
    with open(path, "rb") as file:
        magic = file.read(6)
    if magic != b"\x93NUMPY":
        raise DataError(str(path), expected="an .npy file", got=f"one that begins with {magic!r}", remedy=DOWNLOAD)
    size = path.stat().st_size
    try:
        maps = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:  # of objects, or fewer bytes than the header announces
        raise DamagedDataError(str(path), expected=_announced(path), got=f"{size} bytes: {error}", remedy=DOWNLOAD) from error
    if maps.dtype != np.float32 or not maps.flags.c_contiguous:
        order = "" if maps.flags.c_contiguous else " in Fortran's order"
        raise DataError(str(path), expected="float32 in C's order", got=f"{maps.dtype}{order}", remedy=DOWNLOAD)
    if maps.ndim != 3 or maps.shape[1] != maps.shape[2] or maps.shape[1] != (side or maps.shape[1]):
        expected = f"maps of {side}² pixels, (m, {side}, {side})" if side else "square maps, (m, y, y)"
        raise ShapeError(str(path), expected=expected, got=maps.shape, remedy=DOWNLOAD)
    if size != maps.offset + maps.nbytes:
        raise DamagedDataError(
            str(path), expected=f"{maps.offset + maps.nbytes} bytes, as its header says", got=size, remedy=DOWNLOAD
        )
    return maps


def _announced(path: pathlib.Path) -> str:
    """What a file that cannot be mapped should hold: bytes as its header says, if that is whole and of float32."""
    with open(path, "rb") as file:
        try:
            first = np.lib.format.read_magic(file) == (1, 0)
            shape, _, dtype = (np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0)(file)
        except ValueError:
            return "an array of float32, whole"
        if dtype != np.float32:
            return "an array of float32, whole"
        return f"{file.tell() + math.prod(shape) * dtype.itemsize} bytes, for the {dtype} {shape} of its header"
