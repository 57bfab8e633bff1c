"""Clouds in cells: mass, transposes and derivatives, in two and three dimensions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield.simulators.gravity import paint, read


SHAPES = [(6, 4, 8), (8, 6)]


def cloud(shape, *, stride=1):
    d = len(shape)
    particles = tuple(points // stride for points in shape)
    keys = jax.random.split(jax.random.key(3), 4)
    offset = 3 * jax.random.normal(keys[0], (d, *particles))
    return offset, jax.random.normal(keys[1], particles), jax.random.normal(keys[2], (*shape, 2)), keys[3]


def by_hand(shape, stride, offset, weight):
    """Sum over all particles and all mesh points of the product of triangles."""
    mesh = np.zeros(shape)
    for at in np.ndindex(*offset.shape[1:]):
        x = np.asarray(at) * stride + np.asarray(offset, float)[(slice(None), *at)]
        for corner in itertools.product((0, 1), repeat=len(shape)):
            p = np.floor(x).astype(int) + corner
            mesh[tuple(p % shape)] += float(weight[at]) * np.prod(1 - np.abs(x - p))
    return mesh


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [0, 1, 2])
def test_paint_is_the_sum_of_clouds(shape, stride):
    offset, weight, _, _ = cloud(shape, stride=stride or 1)
    found = paint(shape, stride, offset, weight)
    np.testing.assert_allclose(found, by_hand(shape, stride, offset, weight), atol=2e-6)
    np.testing.assert_allclose(jnp.sum(found), jnp.sum(weight), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_read_is_the_transpose_of_paint(shape):
    offset, weight, mesh, _ = cloud(shape)
    for component in range(2):
        painted = jnp.vdot(mesh[..., component], paint(shape, 1, offset, weight))
        np.testing.assert_allclose(jnp.vdot(weight, read(1, mesh, offset)[component]), painted, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_plain_autodiff(shape):
    offset, weight, mesh, key = cloud(shape)
    other = jax.random.normal(key, shape)
    cells = [jnp.arange(points) for points in shape]
    lattice = jnp.stack(jnp.meshgrid(*cells, indexing="ij"))

    def shares(offset):
        """Share of each particle in each mesh point, from the distance around the periodic mesh."""
        x = lattice + offset
        product = 1.0
        for axis, points in enumerate(shape):
            apart = (x[axis][..., None] - cells[axis] + points / 2) % points - points / 2
            one = jnp.maximum(0.0, 1 - jnp.abs(apart))
            product = product * one.reshape(*x.shape[1:], *(points if i == axis else 1 for i in range(len(shape))))
        return product

    def plain(offset, weight, mesh):
        share = shares(offset)
        axes = tuple(range(len(shape)))
        painted = jnp.tensordot(weight, share, axes=(axes, axes))
        last = tuple(range(len(shape), 2 * len(shape)))
        seen = jnp.tensordot(share, mesh, axes=(last, axes))
        return jnp.vdot(painted, other) + jnp.sum(jnp.sin(seen))

    def fast(offset, weight, mesh):
        return jnp.vdot(paint(shape, 1, offset, weight), other) + jnp.sum(jnp.sin(read(1, mesh, offset)))

    expected = jax.grad(plain, argnums=(0, 1, 2))(offset, weight, mesh)
    found = jax.grad(fast, argnums=(0, 1, 2))(offset, weight, mesh)
    for one, other_one in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other_one, atol=2e-5)


def test_weight_of_all_particles_has_the_summed_derivative():
    shape = (4, 4, 4)
    offset, weight, mesh, _ = cloud(shape)
    each = jax.grad(lambda w: jnp.vdot(mesh[..., 0], paint(shape, 1, offset, w)))(weight)
    one = jax.grad(lambda w: jnp.vdot(mesh[..., 0], paint(shape, 1, offset, w)))(jnp.ones((1, 1, 1)))
    np.testing.assert_allclose(one.ravel(), [jnp.sum(each)], rtol=1e-5)
