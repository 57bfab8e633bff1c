"""Fields of other simulations, in files like those of CosmoGrid's projected probes."""

import contextlib
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.datasets.cosmogrid import BINS, check_field, CosmoGridMaps, FILE, NOTE, open_file


def write_cosmogrid(
    folder: str | os.PathLike,
    omega_m: float,
    sigma_8: float,
    number: int,
    fields: Iterable[tuple[Float[Any, "n n 4"], Float[Any, "n n 4"], Float[Any, "n n 4"]]],
    *,
    made_by: str,
) -> CosmoGridMaps:
    """Write fields that are not of CosmoGrid under its names and in its format, with a note in the file.

    Args:
        folder: of the folders of simulations; made if there is none.
        omega_m: Ωm; three digits of it are kept.
        sigma_8: σ8, likewise.
        number: of the simulation among those of its cosmology.
        fields: convergence, intrinsic convergence and contrast, as `CombinedProbes.matter` has them; they are written as they
            come. The total of all bins is their mean.
        made_by: what simulated; stands in the note.

    Returns:
        The fields, opened.

    Raises:
        ConfigurationError: there is such a file already.
        ShapeError: fields that are not of four bins, of equal shape, and square with a number of pixels that divides by four.
        DataError: there are none, a number is not finite, or a contrast lies below -1; nothing is left of such a file.
    """
    path = pathlib.Path(folder) / f"cosmo_{omega_m:.3f}_{sigma_8:.3f}_{number}" / FILE
    if path.exists():
        raise ConfigurationError(str(path), expected="no such file", got="one", remedy="Choose another folder or number.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open_file(temporary, "w") as file:
            file.attrs[NOTE] = f"not of the CosmoGrid simulations, but made by {made_by}"
            index, shape = -1, None
            for index, maps in enumerate(fields):
                arrays = [np.asarray(one, np.float32) for one in maps]
                shape = shape or (len(arrays[0]), len(arrays[0]), BINS)
                for one in arrays:
                    if one.shape != shape or shape[0] % 4:
                        raise ShapeError("fields", expected=f"{shape}: pixels that divide by four, four bins", got=one.shape)
                block = np.stack(arrays, axis=2)
                check_field("fields", index, block)
                file[str(index)] = np.concatenate([block, block.mean(-1, keepdims=True)], axis=-1)
            if index < 0:
                raise DataError("fields", expected="at least one", got="none")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        raise
    return CosmoGridMaps.open(path.parent)
