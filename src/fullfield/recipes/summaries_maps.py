"""Maps for networks that see them whole: stored without noise, which every look adds anew."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield.datasets import FreshNoise, InTurn, SimulationSet, StoredSimulations, turn_and_roll
from fullfield.parameters import ParameterSpace
from fullfield.simulators import AbstractForwardModel, LensingModel


class Noiseless(AbstractForwardModel):
    """Maps before the noise, in half precision: its rounding, a share of 5e-4, is far below the noise to come.

    Args:
        model: forward model of the noisy maps.
    """

    model: LensingModel
    parameters: ParameterSpace

    def __init__(self, model: LensingModel):
        self.model, self.parameters = model, model.parameters

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "n n bins"]:
        """Simulate one set of maps at parameters `theta` (p,)."""
        latents, _ = self.model.simulate_with_latents(key, theta)
        return self.model.convergence(theta, latents["white"]).astype(jnp.float16)


class UnderNoise:
    """Stored maps as they would be observed, each under noise of its own that is the same at every look; read slice by slice.

    Args:
        maps: maps without noise (n, ...), a NumPy or Zarr array.
        rows: which of them.
        scale: standard deviation of the noise, of a shape that broadcasts to the maps'.
        key: of the noise.
    """

    def __init__(self, maps: Any, rows: slice, scale: Float[Array, "..."], key: Key[Array, ""]):
        self.maps, self.rows, self.scale, self.key = maps, rows, scale, key
        self.shape, self.dtype = (rows.stop - rows.start, *maps.shape[1:]), np.dtype(np.float32)

    def __len__(self) -> int:
        """Number of maps."""
        return self.shape[0]

    def __getitem__(self, part: slice) -> Float[Array, "m ..."]:
        """Some maps, in their order."""
        start, stop, _ = part.indices(len(self))
        numbers = jnp.arange(start, stop)
        maps = np.asarray(self.maps[self.rows.start + start : self.rows.start + stop])
        return _under_noise(self.key, numbers, maps, self.scale)


@eqx.filter_jit
def _under_noise(key, numbers, maps, scale):
    noise = jax.vmap(lambda number, like: jax.random.normal(jax.random.fold_in(key, number), like.shape))(numbers, maps)
    return maps + scale * noise


class StoredMaps:
    """All maps of the comparison in one store, part behind part.

    Args:
        store: of maps without noise.
        counts: how many maps each part has, in their order.
        scale: standard deviation of the noise in each bin.
        key: of the noise that stays.
    """

    def __init__(self, store: SimulationSet, counts: dict[str, int], scale: Float[Array, " bins"], key: Key[Array, ""]):
        self.store, self.scale, self.key = store, scale, key
        ends = np.cumsum([0, *counts.values()]).tolist()
        self.rows = {part: slice(first, last) for part, first, last in zip(counts, ends[:-1], ends[1:], strict=True)}

    def theta(self, part: str) -> Float[np.ndarray, "n p"]:
        """Parameters of a part."""
        return np.asarray(self.store.array("theta")[self.rows[part]])

    def observed(self, part: str) -> UnderNoise:
        """Maps of a part under noise that stays."""
        rows = self.rows[part]
        return UnderNoise(self.store.array("data"), rows, self.scale, jax.random.fold_in(self.key, rows.start))

    def batches(self, part: str, batch: int, *, turned: bool) -> StoredSimulations:
        """Maps of a part under fresh noise whenever they are drawn, to train on or to be held out.

        Args:
            part: its name.
            batch: maps per step.
            turned: whether they are also turned, mirrored and shifted.
        """
        noise, rows = FreshNoise(self.scale), self.rows[part]
        return StoredSimulations(
            np.asarray(self.store.array("theta")[: self.store.n]), self.store.array("data"), batch_size=batch,
            rows=np.arange(rows.start, rows.stop), augment=InTurn((turn_and_roll, noise)) if turned else noise,
        )  # fmt: skip
