"""What a field-level run gives, and what it leaves on disk while it runs."""

import os
import pathlib
import warnings
from typing import Any, TypeVar

import equinox as eqx
import numpy as np
import zarr
from jax.core import Tracer
from jaxtyping import Float

from fullfield._core import ConfigurationError, DataError, load_module, read_header, save_module


R = TypeVar("R")


class DivergenceWarning(UserWarning):
    """Some transitions of a run diverged, so that its draws may leave out a part of the posterior."""


def warn_of_divergences(record: Any) -> None:
    """Warn the caller's caller of the divergences in a record of draws."""
    # Inside `jit` and `vmap` there is no number to warn of yet.
    if isinstance(record.divergences, Tracer):
        return
    if diverged := int(np.sum(record.divergences)):
        warnings.warn(
            f"{diverged} transitions diverged behind {record.log_density.size} draws, which may leave a part of the posterior "
            "out. Take more warm-up, or a smaller target of energy variance or a higher one of acceptance.",
            DivergenceWarning,
            stacklevel=3,
        )


class Chains(eqx.Module):
    """Chains of the parameters of a field-level posterior, and the field they imply.

    Args:
        names: parameter names.
        theta: draws of the parameters (chains, n, p).
        log_density: log posterior of parameters and latents at the draws, up to a constant (chains, n).
        energy: total energy at the draws (chains, n), None for samplers that draw none.
        energy_variance: mean squared energy error per step and dimension while sampling; None for samplers that are adjusted.
        energy_target: what it was to be at most, None for adjusted samplers.
        acceptance: mean acceptance of each chain.
        divergences: of each chain while sampling.
        step_size: after tuning, in whitened coordinates.
        gradients: evaluations of the gradient in all chains, warm-up and preconditioner included.
        gradients_per_draw: those between two draws of a chain.
        product_mean: posterior mean of the field product.
        product_std: its posterior standard deviation.
        directory: where map draws lie ("maps", a Zarr array (chains, blocks, ...)), if anywhere.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    theta: Float[np.ndarray, "c n p"]
    log_density: Float[np.ndarray, "c n"]
    energy: Float[np.ndarray, "c n"] | None
    energy_variance: float | None
    energy_target: float | None
    acceptance: Float[np.ndarray, " c"]
    divergences: Float[np.ndarray, " c"]
    step_size: float
    gradients: int
    gradients_per_draw: float
    product_mean: Float[np.ndarray, "..."]
    product_std: Float[np.ndarray, "..."]
    directory: pathlib.Path | None = eqx.field(static=True, default=None)

    @property
    def draws(self) -> Float[np.ndarray, "draws p"]:
        """All draws of the parameters, chain after chain."""
        return self.theta.reshape(-1, self.theta.shape[-1])

    @property
    def evidence(self) -> dict[str, Any]:
        """Arguments of `fullfield.diagnostics.convergence`, which holds the chains to its bars."""
        kept = ("names", "gradients", "divergences", "energy", "energy_variance", "energy_target")
        # Unadjusted steps are all accepted, which says nothing.
        acceptance = self.acceptance if self.energy_target is None else None
        return {"draws": self.theta, "acceptance": acceptance} | {name: getattr(self, name) for name in kept}


class Recorder(eqx.Module):
    """Folder of a run: the state after its last block, and the maps drawn so far.

    Args:
        directory: the folder, made if it does not exist.
        configuration: digests by name; a folder made with others is refused.
    """

    directory: pathlib.Path
    configuration: dict[str, str]

    def __init__(self, directory: str | os.PathLike, configuration: dict[str, str]):
        self.directory, self.configuration = pathlib.Path(directory), configuration

    @property
    def _file(self) -> pathlib.Path:
        return self.directory / "chains.checkpoint"

    def read(self, like: R) -> tuple[R, dict[str, int]] | None:
        """Run and place where it stopped, or None if nothing is there.

        Raises:
            ConfigurationError: the folder holds a run of another configuration; names the first difference.
            DamagedDataError: the file's bytes are not those written.
        """
        if not self._file.exists():
            return None
        header = read_header(self._file)
        for name, mine in self.configuration.items():
            theirs = header["configuration"].get(name)
            if theirs != mine:
                raise ConfigurationError(
                    f"{self.directory}: {name}",
                    expected=f"the {name} that the chains there were begun with ({theirs})",
                    got=f"another ({mine})",
                    remedy="Restore the setting, or name another directory.",
                )
        return load_module(self._file, like), header["place"]

    def write(self, run: Any, place: dict[str, int]) -> None:
        """Replace the file atomically.

        Raises:
            DataError: the disk is full or not writable; the file before stays.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            save_module(self._file, run, {"kind": "chains", "configuration": self.configuration, "place": place})
        except OSError as error:
            raise DataError(
                str(self._file), expected="a disk that takes the checkpoint", got=error.strerror,
                remedy="Make room and run again: the chains go on from the block before.",
            ) from error  # fmt: skip

    def write_maps(self, block: int, blocks: int, maps: Float[np.ndarray, "c ..."]) -> None:
        """Put one map per chain in its place; writing a block again changes nothing."""
        path = self.directory / "maps"
        shape = (maps.shape[0], blocks, *maps.shape[1:])
        if not path.exists():
            chunks = (1, 1, *maps.shape[1:])
            zarr.create_array(path, shape=shape, chunks=chunks, dtype=maps.dtype, fill_value=np.nan)
        zarr.open_array(path, mode="r+")[:, block] = maps
