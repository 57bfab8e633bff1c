"""Particles of N-body simulations, from the formats that pynbody reads and from arrays of positions."""

import os
import pathlib

import equinox as eqx
import numpy as np
from jaxtyping import Float

from fullfield._core import ConfigurationError, DamagedDataError, DataError, ShapeError
from fullfield.datasets.pynbody_files import FromFile, read_with_pynbody


UNITS = {"kpc/h": (1e-3, 0), "Mpc/h": (1.0, 0), "kpc": (1e-3, 1), "Mpc": (1.0, 1)}  # in Mpc/h: a factor, and a power of h
# Extents of positions over the side of their box: a wrong power of h lies outside, particles that drifted over the edge inside.
FULL = (0.8, 1.4)


class Snapshot(eqx.Module):
    """Particles of one family, at one time, in a periodic box.

    Args:
        positions: comoving, in Mpc/h, at least zero and below `side`; of two or three dimensions.
        side: of the box, Mpc/h.
        masses: over their mean, or none where all are equal.
        redshift: of the snapshot; none where an array does not say it, as the next two.
        omega_m: Ωm today.
        h: H0 / (100 km/s/Mpc).
    """

    positions: Float[np.ndarray, "n d"]
    side: float
    masses: Float[np.ndarray, " n"] | None = None
    redshift: float | None = None
    omega_m: float | None = None
    h: float | None = None


def read_snapshot(
    path: str | os.PathLike, *, family: str = "dm", unit: str | None = None, side: float | None = None
) -> Snapshot:
    """Particles of a snapshot, in comoving Mpc/h.

    Files of numpy are arrays of positions (n, 2) or (n, 3): the first of an `.npy` file, as nbody2d writes it, or `positions`
    of an `.npz` file, which may hold `side`, `redshift`, `omega_m` and `h` as well. All others are read by pynbody: GADGET,
    AREPO, SWIFT, RAMSES, Tipsy with its parameter file.

    Args:
        path: the file; of several, any or what their names have in common (`snap_010` of `snap_010.0`); of RAMSES, the folder.
        family: of particles, as pynbody has it: "dm", "gas", "star". It makes no difference to arrays.
        unit: of lengths in the file, comoving: "kpc/h", "Mpc/h", "kpc" or "Mpc". Unless told, arrays are in Mpc/h, other files
            in what they say. GADGET's binary files and some in HDF5 say nothing; they are in kpc/h or Mpc/h, whichever gives
            their masses, in 1e10 M☉/h, the mean density.
        side: of the box, in the unit of the positions, for arrays that do not come with it.

    Raises:
        ConfigurationError: pynbody is not installed, there is no such family or unit, or the side is not told or told twice.
        DamagedDataError: a file is cut off, or otherwise not what its format says.
        DataError: there is no such file, one of several is missing, it is no snapshot, has no such particles, no cosmology or
            no box, or the box is of another size than its positions; or a number is not finite.
        ShapeError: positions of an array are not (n, 2) or (n, 3).
    """
    path = pathlib.Path(path)
    if unit is not None and unit not in UNITS:
        raise ConfigurationError("unit", expected=f"one of {', '.join(UNITS)}", got=unit)
    found = _from_arrays(path) if path.suffix in (".npy", ".npz") else read_with_pynbody(path, family)
    if found.side is not None and side is not None:
        raise ConfigurationError("side", expected="none, as the file says it", got=side)
    side = found.side if side is None else side
    if side is None:
        raise ConfigurationError("side", expected=f"one, as {path} does not say it", got=None)
    length = found.length
    if unit is not None:
        length = _length(path, unit, found.h)
    elif not found.told:
        length = _near(path, length)
    return Snapshot(
        _in_box(path, found.positions, side, length),
        side * length,
        _relative(path, found.masses),
        found.redshift,
        found.omega_m,
        found.h,
    )


def _from_arrays(path: pathlib.Path) -> FromFile:
    """What is in a file of numpy."""
    if not path.is_file():
        raise DataError(str(path), expected="a file of positions", got="none")
    try:
        with open(path, "rb") as file:
            found = np.load(file)
            arrays = {"positions": found} if isinstance(found, np.ndarray) else dict(found)
    except Exception as error:  # numpy and zipfile raise six kinds of errors for files that are cut off
        raise DamagedDataError(
            str(path), expected="arrays of numpy", got=f"{type(error).__name__}: {error}", remedy="Copy the file again."
        ) from error
    if "positions" not in arrays:
        raise DataError(str(path), expected="an array named positions", got=", ".join(arrays) or "none")
    positions = arrays["positions"]
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or len(positions) == 0:
        raise ShapeError(str(path), expected="positions (n, 2) or (n, 3)", got=positions.shape)
    if positions.dtype not in (np.float32, np.float64):
        positions = positions.astype(float)
    side, redshift, omega_m, h = (
        float(arrays[name]) if name in arrays else None for name in ("side", "redshift", "omega_m", "h")
    )
    return FromFile(positions, side, redshift=redshift, omega_m=omega_m, h=h)


def _length(path: pathlib.Path, unit: str, h: float | None) -> float:
    """A unit in Mpc/h."""
    factor, power = UNITS[unit]
    if power and h is None:
        raise ConfigurationError("unit", expected=f"kpc/h or Mpc/h, as {path} does not say h", got=unit)
    return factor * (h or 1.0) ** power


def _near(path: pathlib.Path, implied: float) -> float:
    """Kpc/h or Mpc/h, in Mpc/h, in which the density is the mean one to a tenth."""
    for unit in ("kpc/h", "Mpc/h"):
        if abs(implied / UNITS[unit][0] - 1) < 0.03:
            return UNITS[unit][0]
    raise DataError(
        str(path),
        expected="lengths in kpc/h or Mpc/h and masses in 1e10 M☉/h, as the file does not say its units",
        got=f"the mean density for lengths in {implied:.3g} Mpc/h",
        remedy='Say the unit of lengths, such as unit="kpc/h".',
    )


def _in_box(path: pathlib.Path, positions: Float[np.ndarray, "n d"], side: float, length: float) -> Float[np.ndarray, "n d"]:
    """Positions in Mpc/h inside the periodic box."""
    if not np.isfinite(positions).all():
        raise DataError(str(path), expected="finite positions", got="NaN or infinity", remedy="Copy the file again.")
    if not (side > 0 and np.isfinite(side)):
        raise DataError(str(path), expected="a box of positive side", got=side)
    extent = np.ptp(positions, axis=0) / side
    if extent.min() < FULL[0] or extent.max() > FULL[1]:
        raise DataError(
            str(path),
            expected=f"positions that fill their box of {side * length:g} Mpc/h",
            got=f"ones that stretch over {', '.join(f'{one:.3g}' for one in extent)} of its sides",
            remedy="The box and the positions may be of two units. Positions that left the box must be wrapped back.",
        )
    scaled = (positions * length) % (side * length)
    scaled[scaled >= side * length] = 0  # what lies below zero by less than rounding
    return scaled


def _relative(path: pathlib.Path, masses: Float[np.ndarray, " n"] | None) -> Float[np.ndarray, " n"] | None:
    """Masses over their mean, or none if all are equal but for rounding."""
    if masses is None or np.ptp(masses) <= 1e-5 * np.max(masses):
        return None
    mean = masses.mean(dtype=float)
    if not np.isfinite(mean) or masses.min() < 0:
        raise DataError(str(path), expected="finite masses of at least zero", got=f"a mean of {mean:g}")
    return masses / masses.dtype.type(mean)
