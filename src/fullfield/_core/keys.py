"""Named streams of random keys, so that adding a consumer never shifts the others."""

import zlib

import jax
from jaxtyping import Array, Key


def stream(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Derive the key of the stream called `name` from a parent key.

    Args:
        key: parent key, scalar.
        name: any text; equal names give equal streams.

    Returns:
        A scalar key that depends on the parent and on the name alone.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
