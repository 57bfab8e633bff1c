"""The border to pynbody (Pontzen et al. 2013, ascl:1305.002), which reads snapshots, and warns, logs and guesses meanwhile."""

import contextlib
import importlib
import logging
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from fullfield._core import ConfigurationError, DamagedDataError, DataError, FullfieldError
from fullfield.cosmology.constants import CRITICAL_DENSITY


_PART = re.compile(r"(.+)\.\d+(\.hdf5)?")
_REMEDY = "Copy the file again. If it is whole, pynbody.load(file) says more."


class FromFile(NamedTuple):
    """What a file says, in units of its own.

    Args:
        positions: of one family, (n, d).
        side: of the box, in the unit of positions.
        length: that unit, in comoving Mpc/h.
        told: whether the file says the unit. If not, it is the one that gives all masses, in 1e10 M☉/h, the mean density.
        redshift: of the snapshot.
        omega_m: Ωm today.
        h: H0 / (100 km/s/Mpc).
        masses: of these particles, in any unit.
    """

    positions: Float[np.ndarray, "n d"]
    side: float | None = None
    length: float = 1.0
    told: bool = True
    redshift: float | None = None
    omega_m: float | None = None
    h: float | None = None
    masses: Float[np.ndarray, " n"] | None = None


def read_with_pynbody(path: pathlib.Path, family: str) -> FromFile:
    """Particles of one family.

    Raises:
        ConfigurationError, DamagedDataError, DataError: as of `read_snapshot`.
    """
    path = _in_common(path)
    with _quietly() as (pynbody, said):
        families = pynbody.family.family_names()
        if family not in families:
            raise ConfigurationError("family", expected=f"one of {', '.join(families)}", got=family)
        try:
            if pynbody.snapshot.identify(path) is None:
                raise DataError(str(path), expected="a snapshot in a format of pynbody", got="another file")
            return _read(pynbody, said, path, family)
        except (FullfieldError, MemoryError):
            raise
        except FileNotFoundError as error:
            raise DataError(str(path), expected="all files of the snapshot", got=str(error)) from error
        except Exception as error:  # of every kind, where a file is not what its first bytes promise
            got = f"{type(error).__name__}: {error}"
            raise DamagedDataError(str(path), expected="a snapshot that can be read", got=got, remedy=_REMEDY) from error


def _in_common(path: pathlib.Path) -> pathlib.Path:
    """What the names of all files of a snapshot have in common, by which pynbody reads all; or the name of the only one."""
    part = _PART.fullmatch(path.name)
    if part is not None:
        common = path.with_name(part[1])
        if not common.exists() and path.with_name(f"{part[1]}.0{part[2] or ''}").exists():
            return common
    if not any(path.with_name(path.name + ending).exists() for ending in ("", ".0", ".0.hdf5")):
        raise DataError(str(path), expected="a snapshot", got="no such file")
    return path


@contextlib.contextmanager
def _quietly() -> Iterator[tuple[Any, list[warnings.WarningMessage]]]:
    """Pynbody, and what it warns of, which nobody else gets to see.

    RAMSES is read by this process: of its own accord pynbody forks eight others, which may hang where JAX runs.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            pynbody = importlib.import_module("pynbody")
        except ImportError as error:
            raise ConfigurationError(
                "pynbody",
                expected="this package, which reads snapshots",
                got="none",
                remedy='pip install "fullfield[snapshots]"',
            ) from error
        logger, ramses = logging.getLogger("pynbody"), pynbody.snapshot.ramses
        before = logger.level, ramses.multiprocess, ramses.remote_map
        logger.setLevel(logging.CRITICAL + 1)
        ramses.multiprocess = False
        ramses.remote_map = lambda pool, function, *arguments: [
            function.__wrapped__(*one) for one in zip(*arguments, strict=False)
        ]
        try:
            yield pynbody, said
        finally:
            level, ramses.multiprocess, ramses.remote_map = before
            logger.setLevel(level)


def _read(pynbody: Any, said: list[warnings.WarningMessage], path: pathlib.Path, family: str) -> FromFile:
    """Without a word on what may go wrong inside of pynbody."""
    simulation = pynbody.load(path)
    binary = isinstance(simulation, pynbody.snapshot.gadget.GadgetSnap)
    if simulation.is_partially_loaded() or (binary and simulation.header.num_files > 1 and path.exists()):
        raise DataError(str(path), expected="all files of the snapshot", got="one of them", remedy="Put them in one folder.")
    properties, words = simulation.properties, [str(warning.message) for warning in said]
    for name in ("a", "h", "omegaM0", "boxsize"):
        # Pynbody has numbers of its own for what a file does not say.
        if name not in properties or any(f"default value for property '{name}'" in one for one in words):
            raise DataError(
                str(path), expected="a cosmological snapshot, with a, h, Ωm and the side of its box", got=f"no {name}"
            )
    scale_factor, h, omega_m = (float(properties[name]) for name in ("a", "h", "omegaM0"))
    if not all(0 < number < np.inf for number in (scale_factor, h, omega_m)):
        raise DataError(str(path), expected="a, h and Ωm above zero", got=f"{scale_factor:g}, {h:g} and {omega_m:g}")
    particles = simulation[pynbody.family.get_family(family)]
    if len(particles) == 0:
        got = ", ".join(one.name for one in simulation.families()) or "none"
        raise DataError(str(path), expected=f"particles of family {family}", got=got)
    positions, masses = particles["pos"], np.array(particles["mass"])
    context = simulation.conversion_context()
    side = float(properties["boxsize"].ratio(positions.units, **context))
    told = not binary and not any("No unit information" in one for one in words)
    if told:
        length = float(positions.units.ratio("Mpc a h^-1", **context))
    else:
        mass = np.asarray(simulation["mass"]).sum(dtype=float)
        length = float((mass * 1e10 / (CRITICAL_DENSITY * omega_m)) ** (1 / 3) / side)
    redshift = 1 / scale_factor - 1  # of SWIFT's files pynbody 2.8 says 1 / (1 + a)
    return FromFile(np.array(positions), side, length, told, redshift, omega_m, h, masses)
