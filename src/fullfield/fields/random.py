"""White noise, fast on a CPU.

JAX's own generator keeps its rounds in a loop on CPUs, so each round passes over memory; drawing the noise would then cost
more than all the rest of a lensing map. Here the twenty rounds of Threefry-2x32 (Salmon et al. 2011, SC'11, "Parallel random
numbers: as easy as 1, 2, 3") are written out, and the compiler fuses them with the transform to normal deviates.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, UInt32


_PARITY = 0x1BD11BDA  # Salmon et al. 2011: the constant that completes the key schedule
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

# Giles 2010 ("Approximating the erfinv function", GPU Computing Gems 2, single precision): polynomials in w - 2.5 and
# sqrt(w) - 3 with w = -log(1 - u²), highest power first.
_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087)
_CENTRE += (-0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773)
_TAIL += (-0.0076224613, 0.00943887047, 1.00167406, 2.83297682)


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Draw float32 standard-normal deviates, the bits being those of `jax.random.bits` without `jax_threefry_partitionable`.

    Keys of other generators than Threefry fall back on `jax.random.normal`.

    Args:
        key: scalar key.
        shape: shape of the result.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return jax.random.normal(key, shape, jnp.float32)
    return _deviate(_random_bits(jax.random.key_data(key), math.prod(shape)).reshape(shape))


def materialised_normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Draw the deviates of `normal`, each computed once however often it is used.

    The compiler for CPUs fuses elementwise work into each of its uses, and drawing a deviate costs a hundred times what reading
    it does. It does not fuse across a loop, here one over the first axis.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return normal(key, shape)
    return lax.map(_deviate, _random_bits(jax.random.key_data(key), math.prod(shape)).reshape(shape))


def _deviate(bits: UInt32[Array, "..."]) -> Float[Array, "..."]:
    return _inverse_normal(_symmetric_uniform(bits))


def _symmetric_uniform(bits: UInt32[Array, "..."]) -> Float[Array, "..."]:
    # 23 bits put u on the odd multiples of 2^-23 inside (-1, 1): never the ends, and symmetric. Each step is exact in float32.
    return (lax.bitcast_convert_type((bits >> 9) | jnp.uint32(0x3F800000), jnp.float32) * 2 - 3) + 2.0**-23


def _random_bits(key: UInt32[Array, "2"], size: int) -> UInt32[Array, " size"]:
    half = (size + 1) // 2
    counter = lax.iota(jnp.uint32, half)
    # An odd size counts one more with a zero at its end, as JAX does.
    second = counter + jnp.uint32(half)
    second = jnp.where(second < size, second, jnp.uint32(0)) if size % 2 else second
    first, second = _threefry(key[0], key[1], counter, second)
    return jnp.concatenate([first, second])[:size]


def _threefry(key_0, key_1, x_0, x_1):
    schedule = (key_0, key_1, key_0 ^ key_1 ^ jnp.uint32(_PARITY))
    x_0, x_1 = x_0 + schedule[0], x_1 + schedule[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x_0 = x_0 + x_1
            x_1 = ((x_1 << turn) | (x_1 >> (32 - turn))) ^ x_0
        x_0 = x_0 + schedule[(group + 1) % 3]
        x_1 = x_1 + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x_0, x_1


def _inverse_normal(u: Float[Array, "..."]) -> Float[Array, "..."]:
    w = -jnp.log((1 - u) * (1 + u))
    centre, tail = w - 2.5, jnp.sqrt(w) - 3
    value = jnp.where(w < 5, _polynomial(_CENTRE, centre), _polynomial(_TAIL, tail))
    return np.float32(math.sqrt(2)) * u * value


def _polynomial(coefficients, x):
    value = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
