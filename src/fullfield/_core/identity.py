"""A digest that names a configuration: arrays, settings and functions by their content."""

import functools
import hashlib
import inspect
import types
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from fullfield._core.serialise import ordered


def digest(*objects: object) -> str:
    """Sixteen hexadecimal digits that name the content of pytrees, configurations, arrays and functions.

    Two objects share a digest when their arrays (values, shapes, types) and their static structure (types, names,
    settings) agree. Functions count with their code, defaults and what they close over, but not with the globals they
    name. The digest is stable between processes of one Python version, whose bytecode it sees.
    """
    return _content(objects, ()).hex()[:16]


def _content(thing: Any, seen: tuple[int, ...]) -> bytes:
    if isinstance(thing, Distribution):
        thing = ordered(thing)
    if eqx.is_array(thing) or isinstance(thing, np.ndarray | np.generic):
        return _array(thing)
    if thing is None:
        return b"none"
    if id(thing) in seen:
        return b"recursion"
    if isinstance(thing, types.CodeType):
        constants = [_content(constant, seen) for constant in thing.co_consts]
        return _hash("code", thing.co_code, repr((thing.co_names, thing.co_varnames, thing.co_freevars)), *constants)
    seen = (*seen, id(thing)) if callable(thing) else seen
    if not isinstance(thing, eqx.Module) and callable(thing):
        return _callable(thing, seen)
    node = jax.tree_util.default_registry.flatten_one_level(thing)
    if node is not None:
        children, settings = node
        return _hash(type(thing).__qualname__, _content(settings, seen), *(_content(child, seen) for child in children))
    if isinstance(thing, frozenset | set):
        return _hash("set", *sorted(_content(element, seen) for element in thing))
    return _hash(_without_addresses(repr(thing)))


def _callable(thing: Any, seen: tuple[int, ...]) -> bytes:
    function = inspect.unwrap(thing)
    if inspect.isfunction(function):
        cells = [_cell(cell, (*seen, id(function))) for cell in function.__closure__ or ()]
        defaults = _content((function.__defaults__, function.__kwdefaults__), seen)
        return _hash("function", function.__qualname__, _content(function.__code__, seen), defaults, *cells)
    if isinstance(thing, functools.partial):
        return _hash("partial", *(_content(part, seen) for part in (thing.func, thing.args, thing.keywords)))
    if inspect.ismethod(thing):
        return _hash("method", _content(thing.__func__, seen), _content(thing.__self__, seen))
    name = getattr(thing, "__qualname__", getattr(thing, "__name__", None))
    if name is not None:
        return _hash("named", f"{getattr(thing, '__module__', None)}.{name}")
    return _hash(type(thing).__qualname__, _content(type(thing).__call__, seen), _content(dict(vars(thing)), seen))


def _cell(cell: types.CellType, seen: tuple[int, ...]) -> bytes:
    try:
        value = cell.cell_contents
    except ValueError:
        return b"empty"
    # Optax's schedules turn integers that they close over into floats on first use.
    return _content(float(value) if type(value) is int and abs(value) < 2**53 else value, seen)


def _array(array: Any) -> bytes:
    array = jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array
    array = np.asarray(array)
    return _hash(f"{array.dtype}{array.shape}", np.ascontiguousarray(array).tobytes())


def _hash(*parts: str | bytes) -> bytes:
    hasher = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()


def _without_addresses(text: str) -> str:
    while " at 0x" in text:
        start = text.index(" at 0x")
        stop = start + len(" at 0x")
        while stop < len(text) and text[stop] in "0123456789abcdef":
            stop += 1
        text = text[:start] + text[stop:]
    return text
