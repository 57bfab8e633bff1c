"""White noise, fast on a CPU.

JAX's own generator keeps its rounds in a loop on CPUs, so each round passes over memory; drawing the noise would then cost
more than all the rest of a lensing map. Here the twenty rounds of Threefry-2x32 (Salmon et al. 2011, SC'11, "Parallel random
numbers: as easy as 1, 2, 3") are written out, and the compiler fuses them with the transform to normal deviates.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float, Key, UInt32


_PARITY = 0x1BD11BDA  # Salmon et al. 2011: the constant that completes the key schedule
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_CHUNKS = 8


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Draw float32 standard-normal deviates by Box and Muller's transform of Threefry bits.

    Keys of other generators than Threefry fall back on `jax.random.normal`.

    Args:
        key: scalar key.
        shape: shape of the result.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return jax.random.normal(key, shape, jnp.float32)
    size = math.prod(shape)
    length = -(-size // (2 * _CHUNKS))
    words = jax.random.key_data(key)

    # The compiler for CPUs fuses elementwise work into each of its uses, and drawing a deviate costs a hundred times what
    # reading it does. It fuses neither across a loop nor apart the two halves of a complex number.
    def chunk(start):
        return _pair(*_threefry(words, start + lax.iota(jnp.uint32, length)))

    pairs = lax.map(chunk, jnp.uint32(length) * lax.iota(jnp.uint32, _CHUNKS))
    return jnp.stack([pairs.real, pairs.imag], axis=-1).reshape(-1)[:size].reshape(shape)


def _pair(first: UInt32[Array, "..."], second: UInt32[Array, "..."]) -> Complex[Array, "..."]:
    """Two independent standard normals as one complex number: Box & Muller 1958 (Ann. Math. Stat. 29, 610)."""
    radius = jnp.sqrt(-jnp.log((first.astype(jnp.float32) + 0.5) * 2.0**-32))  # times √2, which the angle brings
    # The angle is that of the middle of a quadrant, chosen by two bits, plus up to π/4 to each side: 30 bits.
    offset = (lax.bitcast_convert_type(second, jnp.int32) >> 2).astype(jnp.float32) * (math.pi / 4 * 2.0**-29)
    square = offset**2
    cosine = 1 + square * (-1 / 2 + square * (1 / 24 + square * (-1 / 720 + square / 40320)))
    sine = offset * (1 + square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040 + square / 362880))))
    return lax.complex(_signed(second << 31, radius * (cosine - sine)), _signed(second << 30, radius * (cosine + sine)))


def _signed(bits, value):
    """Value with its sign flipped where the highest bit is set."""
    sign = bits & jnp.uint32(0x80000000)
    return lax.bitcast_convert_type(lax.bitcast_convert_type(value, jnp.uint32) ^ sign, jnp.float32)


def _threefry(key: UInt32[Array, "2"], counter: UInt32[Array, " n"]) -> tuple[UInt32[Array, " n"], UInt32[Array, " n"]]:
    """Both words of Threefry-2x32 at the counters (0, counter)."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x_0, x_1 = schedule[0], counter + schedule[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x_0 = x_0 + x_1
            x_1 = ((x_1 << turn) | (x_1 >> (32 - turn))) ^ x_0
        x_0 = x_0 + schedule[(group + 1) % 3]
        x_1 = x_1 + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x_0, x_1
