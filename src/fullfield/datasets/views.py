"""Views: several data sets that share what is to be learnt and differ in what is to be ignored.

Row i of the data (n, v, ...) holds v views of one cosmology: realisations, slices of a box, draws of a nuisance, another
simulator's answer. Since a row is dealt as a whole, no cosmology is ever in two parts of a split.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import DataError
from fullfield.datasets.simulations import check_positive


class Pairs(eqx.Module):
    """Picks pairs of different views of each row, every time others: an `augment` of `fullfield.datasets`.

    Args:
        pairs: how many of each row.
        each: optional `(key, theta, data) -> data`, what is done to every view by itself, such as `turn_and_roll`.

    Raises:
        ConfigurationError: the number is not positive.
    """

    pairs: int = 1
    each: Callable | None = None

    def __check_init__(self):
        check_positive(pairs=self.pairs)

    def __call__(self, key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "v ..."]) -> Float[Array, "k ..."]:
        """Views (2 pairs, ...), of which each two neighbours are one pair.

        Raises:
            DataError: a row has fewer views than that.
        """
        wanted = 2 * self.pairs
        if len(data) < wanted:
            raise DataError(
                "data", expected=f"at least {wanted} views in each row, for pairs={self.pairs}", got=f"{len(data)}",
                remedy="Simulate more views at each cosmology, or take fewer pairs.",
            )  # fmt: skip
        chosen = data[jax.random.permutation(jax.random.fold_in(key, 0), len(data))[:wanted]]
        if self.each is None:
            return chosen
        keys = jax.random.split(jax.random.fold_in(key, 1), wanted)
        return jnp.stack([self.each(one, theta, view) for one, view in zip(keys, chosen, strict=True)])
