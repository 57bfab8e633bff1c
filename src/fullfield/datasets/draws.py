"""Draws of parameters and maps that go to disk as they come."""

import os
import pathlib
from collections.abc import Callable

import numpy as np
import zarr
from jaxtyping import Float

from fullfield._core import ConfigurationError


DONE = "chunks done"


def stream_draws(
    path: str | os.PathLike,
    draw: Callable[[int], tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s n n bins"]]],
    chunks: int,
) -> zarr.Group:
    """Write draws chunk by chunk into a Zarr group of arrays "theta" (s · chunks, p) and "maps" (s · chunks, n, n, bins).

    No more than one chunk is in memory. A folder that holds some of the chunks is continued with the next; it is the caller's
    to see that `draw` is the same.

    Args:
        path: folder, made if it does not exist.
        draw: chunk number to draws, always equally many.
        chunks: how many.

    Raises:
        ConfigurationError: the folder holds draws of another shape.
    """
    path, done = pathlib.Path(path), 0
    group = zarr.open_group(path, mode="a")
    if DONE in group.attrs:
        done = int(str(group.attrs[DONE]))
    for number in range(done, chunks):
        theta, maps = draw(number)
        for name, values in (("theta", theta), ("maps", maps)):
            shape = (len(values) * chunks, *values.shape[1:])
            if name not in group:
                group.create_array(name, shape=shape, chunks=values.shape, dtype=values.dtype)
            array = group[name]
            assert isinstance(array, zarr.Array)
            if array.shape != shape:
                raise ConfigurationError(
                    str(path), expected=f"{name} of shape {shape}", got=array.shape, remedy="Name another folder."
                )
            array[number * len(values) : (number + 1) * len(values)] = values
        group.attrs[DONE] = number + 1
    return group
