"""Power spectra of planes in rings of |k| of equal width, such as of images that are cut out of a larger box."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fullfield._core import full_precision, ShapeError
from fullfield.fields.plane import Plane


class Rings(eqx.Module):
    """Rings about the whole multiples of 2π / L, up to the Nyquist frequency π / Δ, each as wide as 2π / L.

    The mean is in none of them, nor are the corners of the plane of modes.

    Args:
        plane: plane of the fields.
    """

    plane: Plane

    @property
    def membership(self) -> Bool[np.ndarray, "rings n n"]:
        """Whether each mode of the full plane is in each ring."""
        number = np.floor(self.plane.wavenumbers * self.plane.side / (2 * np.pi) + 0.5)
        return number == np.arange(1, self.plane.pixels // 2 + 1)[:, None, None]

    @property
    def modes(self) -> Float[np.ndarray, " rings"]:
        """Number of modes of the full plane in each ring; of a real field half as many are independent."""
        return self.membership.sum((1, 2)).astype(float)

    @property
    def k(self) -> Float[np.ndarray, " rings"]:
        """Mean |k| of the modes of each ring, the inverse of the unit of the plane's side."""
        return (self.membership * self.plane.wavenumbers).sum((1, 2)) / self.modes

    @property
    def nyquist(self) -> float:
        """Nyquist frequency π / Δ."""
        return np.pi * self.plane.pixels / self.plane.side


@full_precision
def ring_powers(rings: Rings, field: Float[Array, "n n"]) -> Float[Array, " rings"]:
    """Mean of |δ(k)|² / L² over the modes of each ring, in the squared unit of the field times that of the area.

    Of an image that is not periodic it is P(k) seen through the image's square: power leaks from where there is much to where
    there is little, most of all from the step between opposite edges. Compare with images of the same size.

    Args:
        rings: rings of the field's plane.
        field: the field; its mean does not matter.

    Raises:
        ShapeError: the field has other pixels than the plane.
    """
    n = rings.plane.pixels
    if field.shape != (n, n):
        raise ShapeError("field", expected=f"{n} x {n} pixels, as the plane has", got=field.shape)
    weight = jnp.asarray(rings.membership / rings.modes[:, None, None], field.dtype)
    return jnp.einsum("ryx,yx->r", weight, rings.plane.power(field - jnp.mean(field)))
