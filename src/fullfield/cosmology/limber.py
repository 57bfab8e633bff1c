"""Angular power spectra of weak lensing in the Limber approximation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.background import curved_sine_and_cosine, expansion_rate
from fullfield.cosmology.constants import HUBBLE_DISTANCE
from fullfield.cosmology.cosmology import Cosmology
from fullfield.cosmology.evolution import history
from fullfield.cosmology.halofit import AbstractPower, Halofit
from fullfield.cosmology.intrinsic_alignment import NLA
from fullfield.cosmology.redshift import LensNodes, RedshiftBins


@jax.jit
@full_precision
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
    planes = lens_planes(cosmology, bins, alignment=alignment)
    half = multipoles + 0.5
    log_k = jnp.log(half)[:, None] - jnp.log(planes.distance)
    matter = (power or Halofit())(cosmology, log_k, planes.a, planes.growth)
    first, second = np.transpose(bins.pairs)
    products = planes.kernel[first] * planes.kernel[second] * (planes.thickness / planes.distance**2)
    prefactor = (multipoles * (multipoles + 1) / half**2) ** 2
    return prefactor * (products @ matter.T)


class LensPlanes(eqx.Module):
    """Nodes and weights of the line of sight, and the lensing kernels at them: κ_i = Σ thickness q_i δ.

    Args:
        a: scale factors of the nodes.
        growth: growth factor at the nodes.
        distance: transverse comoving distances, Mpc/h.
        thickness: quadrature weights, dχ in Mpc/h.
        kernel: q_i of each bin, h/Mpc.
    """

    a: Float[Array, " n"]
    growth: Float[Array, " n"]
    distance: Float[Array, " n"]
    thickness: Float[Array, " n"]
    kernel: Float[Array, "bins n"]


@full_precision
def lens_planes(
    cosmology: Cosmology, bins: RedshiftBins, *, alignment: NLA | None = None, lenses: LensNodes | None = None
) -> LensPlanes:
    """Compute the lensing kernels q_i of `lensing_spectra` on fixed quadrature nodes.

    Args:
        cosmology: the universe.
        bins: redshift distributions of the sources.
        alignment: intrinsic alignment of the sources, none if not given.
        lenses: nodes, from `bins.seen_from`; those of the bins if not given.
    """
    lenses = bins.lenses if lenses is None else lenses
    a = 1 / (1 + lenses.z)
    everywhere = jnp.concatenate([lenses.z, bins.z])
    distance, growth, _ = history(cosmology).at(everywhere)
    (transverse, source_sine), (cosine, source_cosine) = (
        jnp.split(x, [a.size]) for x in curved_sine_and_cosine(cosmology, distance)
    )
    growth = growth[: a.size]
    dchi_dz = HUBBLE_DISTANCE / expansion_rate(cosmology, a)

    # S_k(χ'−χ)/S_k(χ') = C_k(χ) − S_k(χ) C_k(χ')/S_k(χ') turns the integral over sources into tail integrals on fixed nodes.
    behind = bins.z > 0
    cotangent = jnp.where(behind, source_cosine / jnp.where(behind, source_sine, 1.0), 0.0)
    efficiency = cosine * (bins.density @ lenses.tails.T) - transverse * ((bins.density * cotangent) @ lenses.tails.T)
    kernel = 1.5 * cosmology.omega_m / HUBBLE_DISTANCE**2 / a * transverse * efficiency
    if alignment is not None:
        kernel = kernel + alignment(cosmology, lenses.z, growth) * (bins.density @ lenses.values.T) / dchi_dz
    return LensPlanes(a, growth, transverse, lenses.weights * dchi_dz, kernel)
