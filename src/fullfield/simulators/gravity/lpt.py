"""Initial conditions: from white noise to the linear density, and by Lagrangian perturbation theory to particles.

A particle of the lattice point q is at x = q + ψ, ψ = D ψ₁ + E ψ₂, with

    ψ₁ = −∇φ₁,  ∇²φ₁ = δ,    ψ₂ = ∇φ₂,  ∇²φ₂ = Σ_{i>j} (φ₁,ii φ₁,jj − φ₁,ij²)

and δ the linear density of today (Bouchet et al. 1995, A&A 296, 575). Derivatives are exact in Fourier space; the products of
second order are taken on the lattice, without removing aliases.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fullfield._core import ConfigurationError
from fullfield.cosmology import AbstractTransfer, Cosmology, EisensteinHu, expansion_rate, history, Scalar
from fullfield.cosmology.linear import linear_spectrum
from fullfield.simulators.gravity.box import Box
from fullfield.simulators.gravity.growth import second_order_growth


class Particles(eqx.Module):
    """Particles of a box at one time.

    Args:
        displacement: ψ from the lattice (d, *shape), Mpc/h.
        velocity: dψ/dD (d, *shape), Mpc/h, with D the linear growth factor, one today.
    """

    displacement: Float[Array, "d *shape"]
    velocity: Float[Array, "d *shape"]


def linear_modes(
    box: Box, cosmology: Cosmology, white: Float[Array, "*shape"], transfer: AbstractTransfer | None = None
) -> Complex[Array, "*modes"]:
    """Fourier modes of the linear density of today, as `jnp.fft.rfftn` makes them of the density.

    In two dimensions the power is k P(k) / π, which has the variance per ln k that P(k) has in three.

    Args:
        box: the box.
        cosmology: the universe.
        white: independent standard normals of the box's shape, read as Hartley coefficients: the mode of unit power at k is
            ½[z(k) + z(-k)] − ½i[z(k) − z(-k)], as in `fullfield.fields.gaussian`.
        transfer: transfer function, Eisenstein-Hu if not given.
    """
    square = sum(k**2 for k in box.wavenumbers())
    # The mean has no power, and the logarithm of its wavenumber no value.
    log_k = jnp.log(jnp.where(square > 0, square, 1.0)) / 2
    power = linear_spectrum(cosmology, transfer or EisensteinHu())(log_k)
    if box.dimensions == 2:
        power = power * jnp.exp(log_k) / jnp.pi
    cells = jnp.prod(jnp.asarray(box.shape, float))
    root = jnp.where(square > 0, cells * jnp.sqrt(power / box.volume), 0.0)
    axes = tuple(range(box.dimensions))
    half = box.shape[-1] // 2 + 1
    mirrored = jnp.roll(jnp.flip(white, axes), 1, axes)[..., :half]
    kept = white[..., :half]
    return root * jax.lax.complex(kept + mirrored, mirrored - kept) / 2


def first_order_displacement(box: Box, modes: Complex[Array, "*modes"]) -> Float[Array, "d *shape"]:
    """Displacement ψ₁ (d, *shape), Mpc/h, of Zel'dovich 1970 (A&A 5, 84)."""
    potential = modes * box.inverse_square()
    return _inverse(box, [1j * k * potential for k in box.derivatives()])


def second_order_displacement(box: Box, modes: Complex[Array, "*modes"]) -> Float[Array, "d *shape"]:
    """Displacement ψ₂ (d, *shape), Mpc/h, of second order."""
    k = box.derivatives()
    potential = modes * box.inverse_square()
    pairs = list(itertools.combinations_with_replacement(range(box.dimensions), 2))
    tidal = dict(zip(pairs, _inverse(box, [k[i] * k[j] * potential for i, j in pairs]), strict=True))
    crossed = itertools.combinations(range(box.dimensions), 2)
    source = sum(tidal[i, i] * tidal[j, j] - tidal[i, j] ** 2 for i, j in crossed)
    potential = -jnp.fft.rfftn(source) * box.inverse_square()
    return _inverse(box, [1j * component * potential for component in k])


def perturbed(box: Box, cosmology: Cosmology, modes: Complex[Array, "*modes"], a: Scalar, order: int = 2) -> Particles:
    """Particles at scale factor `a` by Lagrangian perturbation theory.

    Args:
        box: the box.
        cosmology: the universe.
        modes: linear density of today, from `linear_modes`.
        a: scale factor, between 0.001 and 1.
        order: 1 or 2.

    Raises:
        ConfigurationError: another order.
    """
    first, second = displacements(box, modes, order)
    at = growth_of_orders(cosmology, jnp.asarray(a, float))
    return at.particles(first, second)


class OrderGrowth(eqx.Module):
    """Growth of the two orders of the displacement at some times.

    Args:
        first: D.
        second: E.
        rate: dE/dD.
    """

    first: Float[Array, "*times"]
    second: Float[Array, "*times"]
    rate: Float[Array, "*times"]

    def particles(self, first: Float[Array, "d *shape"], second: Float[Array, "d *shape"] | None) -> Particles:
        """Particles at one of the times, of displacements ψ₁ and ψ₂; without the second at first order."""
        if second is None:
            return Particles(self.first * first, first)
        return Particles(self.first * first + self.second * second, first + self.rate * second)


def growth_of_orders(cosmology: Cosmology, a: Float[Array, "*times"]) -> OrderGrowth:
    """Growth of both orders at scale factors `a`."""
    _, growth, f = history(cosmology).at(1 / a - 1)
    ratio, rate = second_order_growth(cosmology).at(a)
    return OrderGrowth(growth, ratio * growth**2, rate * growth / f)


def displacements(
    box: Box, modes: Complex[Array, "*modes"], order: int = 2
) -> tuple[Float[Array, "d *shape"], Float[Array, "d *shape"] | None]:
    """Displacements ψ₁ and ψ₂ (d, *shape), Mpc/h; None for the second at first order.

    Raises:
        ConfigurationError: another order than 1 or 2.
    """
    if order not in (1, 2):
        raise ConfigurationError("order", expected="1 or 2", got=order)
    return first_order_displacement(box, modes), second_order_displacement(box, modes) if order == 2 else None


def peculiar_velocity(cosmology: Cosmology, particles: Particles, a: Scalar) -> Float[Array, "d *shape"]:
    """Velocities a dψ/dt (d, *shape), km/s, of particles at scale factor `a`: 100 a E(a) f D dψ/dD."""
    at = jnp.asarray(a, float)
    _, growth, f = history(cosmology).at(1 / at - 1)
    return 100 * at * expansion_rate(cosmology, at) * f * growth * particles.velocity


def _inverse(box, modes):
    axes = tuple(range(1, box.dimensions + 1))
    return jnp.fft.irfftn(jnp.stack(modes), s=box.shape, axes=axes)
