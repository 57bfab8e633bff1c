"""Tables over a uniform coordinate: their derivatives and their interpolation."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield._core import full_precision
from fullfield.cosmology.cosmology import Scalar


T = TypeVar("T")


def tabulate(function: Callable[..., T], *numbers: Scalar) -> T:
    """Evaluate `function(*numbers)`, tables made from a few numbers, with its Jacobian carried forward.

    The fitting formulae of cosmology turn a few numbers into hundreds through dozens of scalars. Reverse-mode differentiation
    sums over all outputs once per scalar; pushing one tangent per number forward is several times cheaper, to run and to
    compile, and leaves the reverse pass one contraction. Both modes give the same derivatives.

    Args:
        function: makes the tables; what it closes over must not be JAX arrays, only NumPy's.
        numbers: scalars, all that the tables depend on.
    """

    def primal(vector):
        return function(*vector)

    evaluate = jax.custom_jvp(primal)

    @evaluate.defjvp
    @full_precision
    def _(primals, tangents):
        jacobian, tables = jax.jacfwd(lambda vector: (primal(vector),) * 2, has_aux=True)(*primals)
        return tables, jax.tree.map(lambda columns: columns @ tangents[0], jacobian)

    return evaluate(jnp.stack([jnp.asarray(number, float) for number in numbers]))


class Cubics(eqx.Module):
    """Piecewise cubics through values and slopes at nodes of spacing one.

    Args:
        values: at the nodes.
        slopes: derivatives there, per node.
    """

    values: Float[Array, " n"]
    slopes: Float[Array, " n"]

    def __call__(self, position: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Value at `position`, counted in nodes; constant beyond the ends."""
        last = self.values.shape[0] - 1
        position = jnp.clip(position, 0, last)
        i = jnp.minimum(position.astype(int), last - 1)
        t = position - i
        # Four plain look-ups: XLA vectorises what follows them, which it does not for look-ups of rows of coefficients.
        left, right, rise, fall = self.values[i], self.values[i + 1], self.slopes[i], self.slopes[i + 1]
        difference = right - left
        return left + t * (rise + t * (3 * difference - 2 * rise - fall + t * (rise + fall - 2 * difference)))
