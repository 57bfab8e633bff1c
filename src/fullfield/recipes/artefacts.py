"""Files that stages leave behind: arrays, chains, records; whole or not at all."""

import json
import pathlib
import zipfile

import numpy as np
from jaxtyping import Float

from fullfield._core import DataError, write_atomically
from fullfield.parameters import ParameterSpace


def write_draws(
    folder: pathlib.Path, space: ParameterSpace, draws: Float[np.ndarray, "n p"], log_prob: Float[np.ndarray, " n"]
) -> list[pathlib.Path]:
    """Write posterior draws as named arrays, `posterior.npz`, and as a GetDist chain.

    Args:
        folder: where to.
        space: the parameters, whose names, labels and bounds are written.
        draws: parameter draws (n, p).
        log_prob: log posterior density of each draw; zero where it is not tractable.

    Returns:
        The files written.
    """
    write_arrays(folder / "posterior.npz", **{name: draws[:, i] for i, name in enumerate(space.names)})
    chain = np.column_stack((np.ones(len(draws)), -log_prob, draws))
    names = "".join(f"{name} {label}\n" for name, label in zip(space.names, space.labels, strict=True))
    bounds = "".join(
        f"{name} {_bound(low)} {_bound(high)}\n" for name, (low, high) in zip(space.names, space.bounds, strict=True)
    )
    with write_atomically(folder / "posterior.txt") as file:
        np.savetxt(file, chain, fmt="%.8e")
    for suffix, text in ((".paramnames", names), (".ranges", bounds)):
        with write_atomically(folder / f"posterior{suffix}") as file:
            file.write(text.encode())
    return [folder / f"posterior{suffix}" for suffix in (".npz", ".txt", ".paramnames", ".ranges")]


def write_arrays(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Write named arrays, whole or not at all, in a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read named arrays that `write_arrays` wrote.

    Raises:
        DataError: the file is missing or of another format.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(str(path), expected="arrays of a run", got=str(error), remedy="Delete it and use --resume.") from error


def write_json(path: pathlib.Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    with write_atomically(path) as file:
        file.write(json.dumps(value, indent=2).encode())


def _bound(value: float) -> str:
    return f"{value:.8g}" if np.isfinite(value) else "N"
