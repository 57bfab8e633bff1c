"""A training run on disk, from which it continues as if it had never stopped."""

import os
import pathlib
from typing import Any

import equinox as eqx
from jaxtyping import PyTree

from fullfield._core import ConfigurationError, DataError, digest, load_module, read_header, save_module
from fullfield.training.history import History


SECONDS = 5.0  # least time between two writes, so that short epochs do not wait for the disk


class Checkpoint(eqx.Module):
    """One file that holds all that the next epoch needs; keys and the position in the data follow from the epoch number.

    Args:
        path: the file.
        configuration: digests by name; a file with others is refused.
    """

    path: pathlib.Path
    configuration: dict[str, str]

    def __init__(self, path: str | os.PathLike, configuration: dict[str, str]):
        self.path, self.configuration = pathlib.Path(path), configuration

    def write(self, state: PyTree, best: PyTree, history: History) -> None:
        """Replace the file atomically by the training's state, the best weights and the history.

        Raises:
            DataError: the disk is full or not writable; the file before stays.
        """
        header = {"kind": "training", "configuration": self.configuration, "history": history.to_dict()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_module(self.path, (state, best), header)
        except OSError as error:
            raise DataError(
                str(self.path), expected="a disk that takes the checkpoint", got=error.strerror,
                remedy="Make room and run again: training goes on from the checkpoint before.",
            ) from error  # fmt: skip

    def read(self, state: PyTree, best: PyTree) -> tuple[PyTree, PyTree, History]:
        """Where the file stopped, or what was given if there is none.

        Raises:
            ConfigurationError: the file is of another configuration; names the first difference.
            DamagedDataError: the file's bytes are not those written.
        """
        if not self.path.exists():
            return state, best, History()
        header = read_header(self.path)
        theirs = header.get("configuration", {})
        for name, mine in self.configuration.items():
            if theirs.get(name) != mine:
                raise ConfigurationError(
                    f"{self.path.name}: {name}",
                    expected=f"the {name} that the checkpoint was made with ({theirs.get(name)})",
                    got=f"another ({mine})",
                    remedy=f"Restore the setting, or delete {self.path} to start anew.",
                )
        state, best = load_module(self.path, (state, best))
        return state, best, History.from_dict(header["history"])


def configuration_of(settings: dict[str, Any]) -> dict[str, str]:
    """Digest of each setting by name."""
    return {name: digest(value) for name, value in settings.items()}
