"""The parameters of a w0-wa universe with curvature."""

import equinox as eqx
from jaxtyping import Array, Float


Scalar = float | int | Float[Array, "..."]
"""One number. A leading axis is allowed only on the way into `jax.vmap` over the cosmology."""


class Cosmology(eqx.Module):
    """A Friedmann universe of cold matter, curvature and dark energy w(a) = w_0 + w_a (1 - a); no radiation, no neutrinos.

    Frozen and without hidden state; every function of this package takes it first and can be differentiated in every field.

    Args:
        omega_c: density of cold dark matter today over the critical density.
        omega_b: density of baryons today over the critical density.
        h: Hubble constant over 100 km/s/Mpc.
        n_s: slope of the primordial spectrum.
        sigma_8: rms of the linear density today in spheres of 8 Mpc/h.
        w_0: equation of state of dark energy today.
        w_a: minus its derivative in the scale factor.
        omega_k: curvature, positive for an open universe.
    """

    omega_c: Scalar
    omega_b: Scalar
    h: Scalar
    n_s: Scalar
    sigma_8: Scalar
    w_0: Scalar = -1.0
    w_a: Scalar = 0.0
    omega_k: Scalar = 0.0

    @property
    def omega_m(self) -> Scalar:
        """Density of matter today over the critical density."""
        return self.omega_c + self.omega_b

    @property
    def omega_de(self) -> Scalar:
        """Density of dark energy today over the critical density: what matter and curvature leave."""
        return 1.0 - self.omega_m - self.omega_k
