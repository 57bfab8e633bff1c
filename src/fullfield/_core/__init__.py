"""Errors, named key streams, registries, digests and serialisation: what every room may lean on."""

from fullfield._core.compilation import brief_jit, make_room
from fullfield._core.cores import each_row, on_every_core
from fullfield._core.errors import (
    ConfigurationError,
    DamagedDataError,
    DataError,
    FullfieldError,
    ParameterError,
    ShapeError,
)
from fullfield._core.identity import digest
from fullfield._core.keys import stream
from fullfield._core.precision import full_precision
from fullfield._core.registry import nearest, Registry
from fullfield._core.serialise import load_module, read_header, save_module, structure_digest, write_atomically


__all__ = [
    "ConfigurationError",
    "DamagedDataError",
    "DataError",
    "FullfieldError",
    "ParameterError",
    "Registry",
    "ShapeError",
    "brief_jit",
    "digest",
    "each_row",
    "full_precision",
    "load_module",
    "make_room",
    "nearest",
    "on_every_core",
    "read_header",
    "save_module",
    "stream",
    "structure_digest",
    "write_atomically",
]
