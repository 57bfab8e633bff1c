"""Snapshots in the binary format of GADGET-2, its first kind (Springel 2005, MNRAS 364, 1105; its users' guide, section 6)."""

import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.cosmology.constants import CRITICAL_DENSITY


# Of each type of particles: their numbers here and in all files, and the mass of one in 1e10 M☉/h. Type 1 is dark matter.
HEADER = np.dtype(
    [
        ("numbers", "<u4", 6), ("masses", "<f8", 6), ("a", "<f8"), ("redshift", "<f8"), ("stars", "<i4", 2),
        ("totals", "<u4", 6), ("cooling", "<i4"), ("files", "<i4"),
        ("side", "<f8"), ("omega_m", "<f8"), ("omega_lambda", "<f8"), ("h", "<f8"), ("unused", "V96"),
    ]
)  # fmt: skip


def write_gadget(
    path: str | os.PathLike,
    positions: Float[Any, "n 3"],
    side: float,
    *,
    omega_m: float,
    h: float,
    redshift: float = 0.0,
) -> pathlib.Path:
    """Write dark matter at rest, of equal masses that make up Ωm, in one file in kpc/h.

    Args:
        path: of the file.
        positions: comoving, in Mpc/h; those outside of the box are wrapped into it.
        side: of the periodic box, Mpc/h.
        omega_m: Ωm today of a flat universe.
        h: H0 / (100 km/s/Mpc).
        redshift: of the snapshot.

    Returns:
        The path.

    Raises:
        ConfigurationError: there is such a file already, or a number is not positive.
        ShapeError: positions are not (n, 3), or are too many for one file, 2³¹ bytes of them.
        DataError: a position is not finite.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise ConfigurationError(str(path), expected="no such file", got="one", remedy="Choose another name.")
    for name, number in {"side": side, "omega_m": omega_m, "h": h, "1 + redshift": 1 + redshift}.items():
        if not 0 < number < np.inf:
            raise ConfigurationError(name, expected="a positive number", got=number)
    positions = np.asarray(positions)
    if positions.ndim != 2 or positions.shape[1] != 3 or not 0 < positions.size < 2**29:
        raise ShapeError("positions", expected="(n, 3) with n below 1.8e8", got=positions.shape)
    if not np.isfinite(positions).all():
        raise DataError("positions", expected="finite numbers", got="NaN or infinity")
    header, number = np.zeros((), HEADER), len(positions)
    header["numbers"][1] = header["totals"][1] = number
    header["masses"][1] = omega_m * CRITICAL_DENSITY * side**3 / number / 1e10
    header["a"], header["redshift"], header["files"] = 1 / (1 + redshift), redshift, 1
    header["side"], header["omega_m"], header["omega_lambda"], header["h"] = 1000 * side, omega_m, 1 - omega_m, h
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "wb") as file:
            for block in (
                header,
                (1000 * (positions % side)).astype("<f4"),
                np.zeros((number, 3), "<f4"),  # velocities
                np.arange(1, number + 1, dtype="<u4"),
            ):
                size = np.uint32(block.nbytes).astype("<u4").tobytes()  # before and after a record, as Fortran has it
                file.writelines([size, block.tobytes(), size])
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
