"""Angular power spectra of weak lensing in the Limber approximation."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield.cosmology.background import comoving_distance, curved_sine_and_cosine, expansion_rate
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.growth import growth_factor
from fullfield.cosmology.halofit import AbstractPower, Halofit
from fullfield.cosmology.intrinsic_alignment import NLA
from fullfield.cosmology.redshift import RedshiftBins


_NODES = 64


def lensing_spectra(
    cosmology: Cosmology,
    bins: RedshiftBins,
    multipoles: Float[Array, " n_ell"],
    *,
    power: AbstractPower | None = None,
    alignment: NLA | None = None,
) -> Float[Array, "pairs n_ell"]:
    """Angular power spectra C_ℓ of the convergence, dimensionless, of all pairs of bins.

    C_ℓ^ij = [ℓ(ℓ+1)/(ℓ+½)²]² ∫ dχ q_i(χ) q_j(χ)/S_k²(χ) P((ℓ+½)/S_k(χ), z(χ)),
    q_i(χ) = 3/2 Ωm (H0/c)² (1+z) S_k(χ) ∫ dz' n_i(z') S_k(χ'−χ)/S_k(χ') + F(z) n_i(z) dz/dχ,

    with F of the intrinsic alignment. Bartelmann & Schneider 2001 (Phys. Rep. 340, 291), eqs. 6.18-6.22; prefactor of the
    full sky: Kilbinger et al. 2017 (MNRAS 472, 2126), table 1. It is zero at ℓ = 0.

    Args:
        cosmology: the universe.
        bins: redshift distributions of the sources.
        multipoles: ℓ, real numbers from 0 up (n_ell,).
        power: recipe for the matter power; Takahashi's halofit on Eisenstein-Hu if not given.
        alignment: intrinsic alignment of the sources, none if not given.

    Returns:
        Spectra (pairs, n_ell), pairs in the order (0,0), (0,1), ..., (1,1), ... of `bins.pairs`.
    """
    z, weights = _lens_nodes(bins.z[-1])
    a = 1 / (1 + z)
    transverse, cosine = curved_sine_and_cosine(cosmology, comoving_distance(cosmology, z))
    dchi_dz = HUBBLE_DISTANCE / expansion_rate(cosmology, a)

    # S_k(χ'−χ)/S_k(χ') = C_k(χ) − S_k(χ) C_k(χ')/S_k(χ') turns the integral over sources into tail integrals over fixed nodes.
    source_sine, source_cosine = curved_sine_and_cosine(cosmology, comoving_distance(cosmology, bins.z))
    positive = bins.z > 0
    cotangent = jnp.where(positive, source_cosine / jnp.where(positive, source_sine, 1.0), 0.0)
    tails = _tail_integrals(z, bins.z)
    efficiency = cosine * (bins.density @ tails.T) - transverse * ((bins.density * cotangent) @ tails.T)
    kernel = 1.5 * cosmology.omega_m / HUBBLE_DISTANCE**2 / a * transverse * efficiency
    if alignment is not None:
        density = bins.density @ _hats(z, bins.z).T
        kernel = kernel + alignment(cosmology, z, growth_factor(cosmology, a)) * density / dchi_dz

    half = multipoles + 0.5
    matter = (power or Halofit())(cosmology, half[:, None] / transverse, a)
    first, second = np.transpose(bins.pairs)
    products = kernel[first] * kernel[second] * (weights * dchi_dz / transverse**2)
    prefactor = (multipoles * (multipoles + 1) / half**2) ** 2
    return prefactor * (products @ matter.T)


def _lens_nodes(z_max):
    """Gauss-Legendre nodes and weights in √z: dense where the lenses of small multipoles and low bins are."""
    x, weights = np.polynomial.legendre.leggauss(_NODES)
    t = (1 + x) / 2
    return z_max * jnp.asarray(t**2), z_max * jnp.asarray(t * weights)


def _hats(x, nodes):
    """Matrix (n, nodes) that interpolates linearly from values at `nodes` to `x`, zero outside."""
    left = jnp.concatenate([nodes[:1] - 1, nodes[:-1]])
    right = jnp.concatenate([nodes[1:], nodes[-1:] + 1])
    x = x[:, None]
    return jnp.clip(jnp.minimum((x - left) / (nodes - left), (right - x) / (right - nodes)), 0, 1)


def _tail_integrals(x, nodes):
    """Matrix (n, nodes) that integrates a piecewise linear function, given at `nodes`, from `x` to the last node."""
    start, end = nodes[:-1], nodes[1:]
    width = end - start
    lower = jnp.clip(x[:, None], start, end)
    # Over the part of a segment right of x: weights of its left and its right end.
    u = (end - lower) / width
    left, right = width * u**2 / 2, width * u * (1 - u / 2)
    zero = jnp.zeros_like(left[:, :1])
    return jnp.concatenate([left, zero], axis=1) + jnp.concatenate([zero, right], axis=1)
