"""Gravity on a mesh: the force that mass in a periodic box exerts, from its density by fast Fourier transforms.

The force F = −∇φ, ∇²φ = δ (in Mpc/h, so that to first order it is the displacement) is painted and read by clouds in cells,
whose window weakens it. Its kernel is Hockney & Eastwood's (1988, section 8-3), with the exact gradient and only the first term
of their sum over the aliases of the wanted force,

    F(k) = i k/k² δ(k) Π_j s_j⁴ / (1 − ⅔ sin² x_j)²,    s = sin x / x,  x = k Δ/2.

The denominator is the square of the sum of s⁴ over the aliases of k. At long waves the kernel undoes both windows, s⁻⁴; at the
Nyquist frequency, where undoing them would amplify what aliases leave there sixfold along each axis, it stays at 1.5. The mesh
lies half a cell from the lattice of the particles, where clouds respond linearly to small displacements. On the lattice itself
they have a cusp, which makes waves near the Nyquist frequency grow too fast until displacements exceed a cell.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.mesh import paint, read


class MeshForce(eqx.Module):
    """Force of the particles of a box on themselves, on a mesh of as many points as particles.

    Args:
        box: the box.
    """

    box: Box

    def __call__(self, displacement: Float[Array, "d *shape"]) -> Float[Array, "d *shape"]:
        """Force (d, *shape), Mpc/h, on each particle at its displacement from the lattice, Mpc/h."""
        box = self.box
        offset = displacement / box.cell + 0.5
        density = paint(box.shape, 1, offset, jnp.ones((1,) * box.dimensions))
        kernel = box.inverse_square() * math.prod(self._sharpened(k) for k in box.wavenumbers())
        potential = jnp.fft.rfftn(density) * kernel
        field = jnp.stack([1j * k * potential for k in box.derivatives()])
        field = jnp.fft.irfftn(field, s=box.shape, axes=tuple(range(1, box.dimensions + 1)))
        return read(1, jnp.moveaxis(field, 0, -1), offset)

    def _sharpened(self, k):
        half = k * (self.box.cell / 2)
        return jnp.sinc(half / math.pi) ** 4 / (1 - 2 / 3 * jnp.sin(half) ** 2) ** 2
