"""Particles to mesh and back: cloud-in-cell in any number of dimensions, with exact derivatives.

A particle at x, in units of the mesh spacing, shares itself among the 2^d mesh points around it with the weights

    W(x − p) = Π_i (1 − |x_i − p_i|),    paint: m(p) = Σ_particles w W(x − p),    read: f(x) = Σ_p m(p) W(x − p)

(Hockney & Eastwood 1988, section 5-3). Painting and reading are each other's transpose in the values, so that each is the
other's derivative. Meshes are periodic. Positions are offsets from a lattice, not coordinates: in single precision the
coordinates of a large mesh lose the digits that small displacements and reversed time need.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def paint(
    shape: tuple[int, ...], stride: int, offset: Float[Array, "d *particles"], weight: Float[Array, "*#particles"]
) -> Float[Array, "..."]:
    """Add particles to a periodic mesh.

    Args:
        shape: mesh points along each of the d axes.
        stride: mesh points from one particle of the lattice to the next; zero if `offset` are positions.
        offset: displacements (d, *particles) from the lattice, in mesh points. For a stride of zero particles may have any
            shape, else theirs is the lattice.
        weight: of each particle, of a shape that broadcasts.

    Returns:
        Mesh of the given shape; its sum is that of the weights.
    """
    return _painted(shape, stride, offset, weight)


def read(stride: int, mesh: Float[Array, "..."], offset: Float[Array, "d *particles"]) -> Float[Array, "c *particles"]:
    """Interpolate the c components of a periodic mesh (*shape, c) at particles given as in `paint`."""
    return _interpolated(stride, mesh, offset)


def _interpolate(stride, mesh, offset):
    *shape, components = mesh.shape
    rows = mesh.reshape(-1, components)
    cell = _cell(shape, stride, offset)
    total = jnp.zeros((), mesh.dtype)
    for corner in itertools.product((0, 1), repeat=len(shape)):
        index, shares = _corner(shape, cell, corner)
        # One look-up of neighbouring numbers for all components.
        total = total + jnp.asarray(math.prod(shares))[..., None] * rows.at[index].get(mode="promise_in_bounds")
    return jnp.moveaxis(total, -1, 0)


def _paint(shape, stride, offset, weight):
    cell = _cell(shape, stride, offset)
    particles = offset.shape[1:]

    # A loop over the corners, because XLA recomputes index and weights for all that it could fuse.
    def add(mesh, corner):
        index, shares = _corner(shape, cell, corner)
        shared = jnp.broadcast_to(weight * math.prod(shares), particles)
        return mesh.at[index.ravel()].add(shared.ravel(), mode="promise_in_bounds"), None

    mesh, _ = jax.lax.scan(add, jnp.zeros(math.prod(shape), offset.dtype), _corners(shape))
    return mesh.reshape(shape)


def _slopes(shape, stride, offset, meshes, values):
    """Sum over components of value times read mesh (*particles), and its gradient in the offsets (d, *particles)."""
    cell = _cell(shape, stride, offset)
    flat = [mesh.ravel() for mesh in meshes]

    def add(sums, corner):
        index, shares = _corner(shape, cell, corner)
        found = sum(mesh.at[index].get(mode="promise_in_bounds") * value for mesh, value in zip(flat, values, strict=True))
        total, *slopes = sums
        for axis in range(len(shape)):
            others = math.prod(share for other, share in enumerate(shares) if other != axis)
            slopes[axis] = slopes[axis] + (2 * corner[axis] - 1) * others * found
        return (total + math.prod(shares) * found, *slopes), None

    zero = jnp.zeros(offset.shape[1:], offset.dtype)
    (total, *slopes), _ = jax.lax.scan(add, (zero,) * (1 + len(shape)), _corners(shape))
    return total, jnp.stack(slopes)


def _corners(shape):
    return jnp.asarray(list(itertools.product((0, 1), repeat=len(shape))), jnp.int32)


def _cell(shape, stride, offset):
    """Lowest corner of the cell around each particle, and where in the cell the particle is, axis by axis."""
    whole = jnp.floor(offset)
    share, lower = offset - whole, whole.astype(jnp.int32)
    if stride:
        lattice = [jax.lax.broadcasted_iota(jnp.int32, lower.shape[1:], axis) for axis in range(len(shape))]
        lower = [stride * at + low for at, low in zip(lattice, lower, strict=True)]
    return [(low % points, inside) for low, inside, points in zip(lower, share, shape, strict=True)]


def _corner(shape, cell, corner):
    """Flat index of one corner, given by zero or one along each axis, and the particles' share in it along each axis."""
    index, shares = jnp.zeros((), jnp.int32), []
    for points, (lower, inside), upper in zip(shape, cell, corner, strict=True):
        at = lower + upper
        index = index * points + jnp.where(at == points, 0, at)
        shares.append((1 - inside) + upper * (2 * inside - 1))
    return index, shares


def _paint_forward(shape, stride, offset, weight):
    return _paint(shape, stride, offset, weight), (offset, weight)


def _paint_backward(shape, stride, residuals, cotangent):
    offset, weight = residuals
    of_weight, slopes = _slopes(shape, stride, offset, cotangent[None], [jnp.ones((), offset.dtype)])
    surplus = tuple(axis for axis in range(of_weight.ndim) if weight.ndim == 0 or weight.shape[axis] == 1)
    return weight * slopes, of_weight.sum(surplus).reshape(weight.shape)


def _read_forward(stride, mesh, offset):
    return _interpolate(stride, mesh, offset), (mesh, offset)


def _read_backward(stride, residuals, cotangent):
    mesh, offset = residuals
    shape = mesh.shape[:-1]
    # One mesh at a time, because three do not stay in the cache together.
    of_mesh = jnp.stack([_paint(shape, stride, offset, component) for component in cotangent], axis=-1)
    _, slopes = _slopes(shape, stride, offset, jnp.moveaxis(mesh, -1, 0), cotangent)
    return of_mesh, slopes


_painted = jax.custom_vjp(_paint, nondiff_argnums=(0, 1))
_painted.defvjp(_paint_forward, _paint_backward)
_interpolated = jax.custom_vjp(_interpolate, nondiff_argnums=(0,))
_interpolated.defvjp(_read_forward, _read_backward)
