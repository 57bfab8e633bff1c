"""Compressors to disk and back, with where they came from."""

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

from fullfield._core import DataError, load_module, read_header, save_module, ShapeError, structure_digest
from fullfield.compression.base import Compressor


KIND = "compressor"


def save_compressor(path: str | os.PathLike, compressor: Compressor, provenance: Mapping[str, Any] | None = None) -> None:
    """Write a compressor's arrays, without pickle, whole or not at all.

    Args:
        path: file to write.
        compressor: what `train_compressor`, `train_imnn`, `moped`, `canonical` or `whitened` returned.
        provenance: facts in JSON's types, or NumPy's, to keep with it: objective, seed, how many simulations of which model.
    """
    header = {
        "kind": KIND, "data_shape": list(compressor.data_shape), "summary_size": compressor.summary_size,
        "structure": structure_digest(compressor), "fullfield": importlib.metadata.version("fullfield"),
        "provenance": dict(provenance or {}),
    }  # fmt: skip
    save_module(path, compressor, header)


def load_compressor(path: str | os.PathLike, like: Compressor) -> Compressor:
    """Read a compressor that was written by `save_compressor`.

    Args:
        path: the file.
        like: a compressor of the same structure, trained or not. Of a network made as it was for training:
            `blank = standardising(network, jnp.zeros((1, *data_shape)))`, and `whitening(blank)` if it was `whitened`. Of
            `moped`: `scoring(statistic, data_shape, size)`; of `canonical`: `projecting(d, size)`.

    Raises:
        DataError: the file holds no compressor, or one of another structure, say with another activation.
        DamagedDataError: the bytes differ from what was written.
        ShapeError: it was trained on data of another shape, say other pixels or bins, or makes summaries of another length.
    """
    header = _header(path)
    shape, size = tuple(header["data_shape"]), header["summary_size"]
    if shape != like.data_shape:
        raise ShapeError(
            "like", expected=f"a compressor of data {shape}, as was saved", got=like.data_shape, remedy="Make it for such data."
        )
    if size != like.summary_size:
        raise ShapeError(
            "like", expected=f"a compressor to summaries ({size},), as was saved", got=(like.summary_size,),
            remedy="Make it with as many outputs.",
        )  # fmt: skip
    mine = structure_digest(like)
    # Files of earlier versions do not say.
    if header.get("structure", mine) != mine:
        raise DataError(
            str(path), expected="a compressor of the given structure", got="one of other parts or settings",
            remedy="Build `like` as it was built for training: the same network with the same activations, whitened if it was.",
        )  # fmt: skip
    return load_module(path, like)


def read_provenance(path: str | os.PathLike) -> dict[str, Any]:
    """Facts that were saved with a compressor, with the shapes it maps between and the package's version.

    Raises:
        DataError: the file holds no compressor.
    """
    header = _header(path)
    return header["provenance"] | {name: header[name] for name in ("data_shape", "summary_size", "fullfield")}


def _header(path):
    header = read_header(path)
    if header.get("kind") != KIND:
        raise DataError(
            str(path), expected="a file written by save_compressor", got=f"one of {header.get('kind', 'another')} kind"
        )
    return header
