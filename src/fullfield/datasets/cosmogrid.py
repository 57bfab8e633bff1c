"""Projected probes of CosmoGrid simulations, in the files of the DeepLSS study (Kacprzak & Fluri 2022, PRX 12, 031029).

A folder `cosmo_{Ωm:.3f}_{σ8:.3f}_{number}` holds one simulation: `kappa_maps.h5` has 1000 datasets named "0" to "999", fields
of 5 x 5 degrees, float32 (128, 128, 3, 5), with convergence, intrinsic convergence of unit amplitude and matter contrast along
the third axis, and four redshift bins and their total along the last (github.com/tomaszkacprzak/DeepLSS).
"""

import importlib
import os
import pathlib
import re
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Float32

from fullfield._core import ConfigurationError, DamagedDataError, DataError, ShapeError
from fullfield.fields import block_average
from fullfield.simulators.given import LEAST_CONTRAST


FILE, NOTE = "kappa_maps.h5", "synthetic"  # name of the maps, and of the attribute that says who made them
FIELDS, PIXELS = 1000, 128
PROBES = ("kg", "ia", "dg")
BINS = 4  # and their total
_FOLDER = re.compile(r"cosmo_(\d+\.\d{3})_(\d+\.\d{3})_(\d+)")
_REMEDY = "Copy the file again, or leave the simulation out."


class CosmoGridMaps(eqx.Module):
    """Noiseless fields of one simulation, each read from disk when it is indexed.

    Args:
        path: file of the fields.
        omega_m: Ωm, from the name of the folder.
        sigma_8: σ8, likewise.
        number: of the simulation among those of its cosmology.
        size: number of fields.
        pixels: on a side of a field as it is stored.
        average: pixels per side of the blocks that are averaged.
        note: who made the fields, if they are not of CosmoGrid.
    """

    path: pathlib.Path
    omega_m: float
    sigma_8: float
    number: int
    size: int
    pixels: int
    average: int
    note: str | None

    @classmethod
    def open(cls, folder: str | os.PathLike, *, average: int = 2) -> "CosmoGridMaps":
        """Check the fields of one simulation without reading them.

        Args:
            folder: of the simulation.
            average: pixels per side of the blocks that are averaged; two, as the study has it, make 64² of 128² pixels.

        Raises:
            DataError: the name of the folder is none of a simulation, or its file is missing, lacks a field or is of another
                format.
            DamagedDataError: the file is cut off.
            ShapeError: a field has another shape.
            ConfigurationError: blocks do not divide the field, or h5py is not installed.
        """
        folder = pathlib.Path(folder)
        named = _FOLDER.fullmatch(folder.resolve().name)
        if named is None or not 0 < float(named[1]) < 1 or float(named[2]) == 0:
            raise DataError(
                str(folder), expected="a folder cosmo_{Ωm}_{σ8}_{number} with three digits, such as cosmo_0.291_0.784_0",
                got=folder.resolve().name,
            )  # fmt: skip
        path = folder / FILE
        if not path.is_file():
            raise DataError(
                str(path), expected="the file of the fields", got="none", remedy="Or make one with write_cosmogrid."
            )
        with open_file(path) as file:
            note = file.attrs.get(NOTE)
            size, pixels = _checked(path, file, note is not None)
        if average < 1 or pixels % average or pixels // average % 2:
            raise ConfigurationError("average", expected=f"a divisor of {pixels} that leaves an even number", got=average)
        return cls(path, float(named[1]), float(named[2]), int(named[3]), size, pixels, average, note)

    @classmethod
    def open_all(cls, folder: str | os.PathLike, *, average: int = 2) -> list["CosmoGridMaps"]:
        """All simulations in a folder, in the order of their names.

        Args:
            folder: of the folders of simulations, and of no others.
            average: as of `open`.

        Raises:
            DataError: there are none; or as of `open`, likewise its other errors.
        """
        found = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_dir())
        if not found:
            raise DataError(str(folder), expected="folders cosmo_{Ωm}_{σ8}_{number}", got="none")
        return [cls.open(path, average=average) for path in found]

    def __len__(self) -> int:
        return self.size

    def __getitem__(
        self, index: int
    ) -> tuple[Float32[np.ndarray, "n n 4"], Float32[np.ndarray, "n n 4"], Float32[np.ndarray, "n n 4"]]:
        """Convergence less its mean, intrinsic convergence and contrast of one field, averaged; for `GivenMatter`.

        The mean is taken off field by field as the study has it; the total of all bins is left out.

        Raises:
            DamagedDataError: the field cannot be read.
            DataError: a number is not finite, or a contrast lies below -1.
        """
        if not 0 <= index < self.size:
            raise IndexError(index)
        with open_file(self.path) as file:
            try:
                field = file[str(index)][..., :BINS]
            except OSError as error:
                raise DamagedDataError(str(self.path), expected=f"field {index}", got=str(error), remedy=_REMEDY) from error
        check_field(str(self.path), index, field)
        lensing, alignment, contrast = np.moveaxis(block_average(field, self.average), 2, 0)
        return lensing - lensing.mean((0, 1)), alignment, contrast


def check_field(name: str, index: int, field: Float[np.ndarray, "n n 3 bins"]) -> None:
    """Refuse a field with numbers that no field has.

    Raises:
        DataError: says the file, the field and the probe.
    """
    for probe, maps in zip(PROBES, np.moveaxis(field, 2, 0), strict=True):
        if not np.isfinite(maps).all():
            raise DataError(name, expected="finite fields", got=f"NaN or infinity in {probe} of field {index}", remedy=_REMEDY)
    if maps.min() < LEAST_CONTRAST:
        raise DataError(
            name, expected="contrasts of at least -1, where nothing is", got=f"{maps.min():g} in dg of field {index}",
            remedy="The last of the three probes must be the contrast of matter, not of biased galaxies.",
        )  # fmt: skip


def open_file(path: pathlib.Path, mode: str = "r") -> Any:
    """An HDF5 file.

    Raises:
        ConfigurationError: h5py is not installed.
        DamagedDataError: the file is cut off.
        DataError: it is of another format.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise ConfigurationError(
            "h5py", expected="this package, which reads HDF5", got="none", remedy="pip install 'fullfield[hdf5]'"
        ) from error
    try:
        return h5py.File(path, mode)
    except OSError as error:
        if "truncated" in str(error):
            raise DamagedDataError(
                str(path), expected="a whole file", got=f"one cut off at {path.stat().st_size} bytes", remedy=_REMEDY
            ) from error
        raise DataError(str(path), expected="an HDF5 file", got=str(error), remedy=_REMEDY) from error


def _checked(path: pathlib.Path, file: Any, synthetic: bool) -> tuple[int, int]:
    """Number of fields and of pixels on a side of each."""
    names = {int(name) for name in file if name.isdecimal()}
    wanted = max(len(names), 1) if synthetic else FIELDS
    missing = set(range(wanted)) - names
    if missing or len(names) > wanted:
        got = f"no field {min(missing)} among {len(names)}" if missing else f"{len(names)} fields"
        raise DataError(str(path), expected=f'fields "0" to "{wanted - 1}"', got=got, remedy=_REMEDY)
    shapes = [getattr(file[str(index)], "shape", ()) for index in range(wanted)]
    pixels = shapes[0][0] if synthetic and shapes[0] else PIXELS
    expected = (pixels, pixels, len(PROBES), BINS + 1)
    for index, shape in enumerate(shapes):
        if shape != expected:
            raise ShapeError(
                str(path), expected=f"{expected}: pixels, probes, and bins with their total",
                got=f"{shape} of field {index}", remedy=_REMEDY,
            )  # fmt: skip
        if file[str(index)].dtype != np.float32:
            raise DataError(str(path), expected="float32", got=f"{file[str(index)].dtype} of field {index}", remedy=_REMEDY)
    return wanted, pixels
