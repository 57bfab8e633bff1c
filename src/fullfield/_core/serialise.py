"""Modules to disk and back without pickle."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import pathlib
import re
import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeVar

import equinox as eqx
import jax
import numpy as np
from numpyro.distributions import Distribution

from fullfield._core.errors import DamagedDataError, DataError


M = TypeVar("M")
REBUILD = "Rebuild it with the saved settings."


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Binary file handle whose content appears under `path` whole or not at all.

    The content goes to a temporary neighbour, is flushed to the disk and renamed over `path`; an interruption at any moment
    leaves the earlier file.

    Raises:
        OSError: the disk is full or the folder is not writable; the neighbour is removed.
    """
    path = pathlib.Path(path)
    # Not by `tempfile`, whose files only their owner may read.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def save_module(path: str | os.PathLike, module: object, header: dict | None = None) -> None:
    """Write a pytree's arrays behind a JSON header line and their SHA-256.

    Args:
        path: file to write, replaced atomically.
        module: any pytree; its array leaves are stored, its structure is not.
        header: JSON-serialisable facts that a reader needs to rebuild the structure; numbers may be NumPy's.
    """
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, ordered(module))
    body = buffer.getvalue()
    line = json.dumps({"header": header or {}, "sha256": hashlib.sha256(body).hexdigest()}, default=_plain)
    with write_atomically(path) as file:
        file.write(line.encode() + b"\n" + body)


def read_header(path: str | os.PathLike) -> dict:
    """Read the JSON header that `save_module` wrote.

    Raises:
        DataError: the file was not written by `save_module`.
    """
    with open(path, "rb") as file:
        return _parse_first_line(path, file.readline())["header"]


def load_module(path: str | os.PathLike, like: M) -> M:
    """Read the arrays of a pytree that has the structure of `like`.

    Args:
        path: file written by `save_module`.
        like: pytree (of arrays or `jax.ShapeDtypeStruct`) with the structure that was saved.

    Raises:
        DamagedDataError: the bytes differ from what was written.
        DataError: the structure of `like` is not the one saved, or the file is of another kind.
    """
    with open(path, "rb") as file:
        recorded = _parse_first_line(path, file.readline())
        body = file.read()
    if hashlib.sha256(body).hexdigest() != recorded["sha256"]:
        raise DamagedDataError(
            str(path), expected="the bytes that were written", got="another checksum", remedy="Delete the file and run again."
        )
    buffer = io.BytesIO(body)
    try:
        loaded = eqx.tree_deserialise_leaves(buffer, ordered(like))
    except (RuntimeError, EOFError, ValueError) as error:
        raise DataError(str(path), expected="arrays of the given structure", got=str(error), remedy=REBUILD) from error
    if buffer.read(1):
        raise DataError(str(path), expected="arrays of the given structure and no more", got="further ones", remedy=REBUILD)
    return jax.tree.map(_rebuilt, like, loaded, is_leaf=_is_distribution)


def structure_digest(tree: Any) -> str:
    """Sixteen hexadecimal digits that name all of a pytree that `save_module` does not store.

    Types, shapes, static settings, and functions, such as activations, by their names; neither the values of arrays nor any
    code, so that it is stable between versions of Python and JAX.
    """
    return hashlib.sha256(_structure(tree).encode()).hexdigest()[:16]


def _structure(thing: Any, fixed: bool = False) -> str:
    """Describe a pytree; what is fixed is in no file, so that its values count too."""
    if _is_distribution(thing):
        thing = ordered(thing)
    if isinstance(thing, jax.ShapeDtypeStruct | jax.Array | np.ndarray):
        return f"{thing.dtype}{thing.shape}" + (repr(np.asarray(thing).tolist()) if fixed else "")
    if isinstance(thing, bool | int | float | complex):
        # Fewer digits than there are, the last of which differ between builds of NumPy.
        return f"{type(thing).__name__} {thing:.9g}" if fixed else type(thing).__name__
    if isinstance(thing, functools.partial):
        return f"partial{_structure((thing.func, thing.args, thing.keywords), fixed)}"
    if isinstance(thing, eqx.Module) and dataclasses.is_dataclass(thing):
        fields = [(field, getattr(thing, field.name, None)) for field in dataclasses.fields(thing)]
        parts = [f"{field.name}={_structure(value, fixed or field.metadata.get('static', False))}" for field, value in fields]
    elif isinstance(thing, dict):
        parts = [f"{name!r}={_structure(thing[name], fixed)}" for name in sorted(thing, key=repr)]
    elif isinstance(thing, tuple | list):
        parts = [_structure(one, fixed) for one in thing]
    else:
        return getattr(thing, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(thing))
    return f"{type(thing).__qualname__}({', '.join(parts)})"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a number, text or list of them")


def _parse_first_line(path: str | os.PathLike, line: bytes) -> dict:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(str(path), expected="a file written by save_module", got="another format") from error


def ordered(tree: Any) -> Any:
    """Return the tree with each NumPyro distribution as a dictionary of its fields.

    NumPyro flattens the fields of a distribution in the order of a set of strings, which differs between processes: loc and
    scale would change places. A dictionary flattens in the order of its keys.
    """
    return jax.tree.map(_fields, tree, is_leaf=_is_distribution)


def _is_distribution(leaf: object) -> bool:
    return isinstance(leaf, Distribution)


def _fields(leaf: Any) -> Any:
    if not _is_distribution(leaf):
        return leaf
    fixed = sorted(set(leaf.gather_pytree_aux_fields()) - {"_validate_args"})
    kind = f"{type(leaf).__qualname__} {[(name, leaf.__dict__.get(name)) for name in fixed]}"
    return {"": kind} | {name: ordered(leaf.__dict__.get(name)) for name in leaf.gather_pytree_data_fields()}


def _rebuilt(leaf: Any, loaded: Any) -> Any:
    if not _is_distribution(leaf):
        return loaded
    names = leaf.gather_pytree_data_fields()
    values = tuple(jax.tree.map(_rebuilt, leaf.__dict__.get(name), loaded[name], is_leaf=_is_distribution) for name in names)
    return type(leaf).tree_unflatten(leaf.tree_flatten()[1], values)
