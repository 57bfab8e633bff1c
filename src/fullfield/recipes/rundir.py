"""The folder of a run: what lies where in it, which stages are finished, and who may write to it."""

import contextlib
import fcntl
import hashlib
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from fullfield._core import ConfigurationError, digest, write_atomically
from fullfield.datasets.layout import first_difference
from fullfield.recipes.artefacts import write_json
from fullfield.recipes.configuration import Configuration, load_settings, resolve, RunConfiguration
from fullfield.report import peak_memory_gb, revision


C = TypeVar("C", bound=Configuration)
ARTEFACTS = (
    "config.yaml", "simulations.zarr", "checkpoints", "figures", "observation.npz", "posterior.npz",
    "posterior.txt", "posterior.paramnames", "posterior.ranges", "citations.bib", "report.json", "report.html", ".lock",
)  # fmt: skip


@dataclass(frozen=True)
class StageRecord:
    """What a finished stage leaves behind: its inputs' digest, its cost, its files' checksums, and the revision of the code."""

    inputs: str
    seconds: float
    simulations: int
    gradients: int
    peak_memory_gb: float
    files: dict[str, str]
    revision: str | None = None


@dataclass(frozen=True)
class Work:
    """What a stage did: files written, simulations made beyond those stored before and gradients taken of the simulator, and
    time if a clock cannot tell.
    """

    files: tuple[pathlib.Path, ...]
    simulations: int = 0
    gradients: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run's artefacts."""

    path: pathlib.Path

    @property
    def configuration(self) -> pathlib.Path:
        """Fully resolved configuration."""
        return self.path / "config.yaml"

    @property
    def observation(self) -> pathlib.Path:
        """The observed data as the run saw them."""
        return self.path / "observation.npz"

    @property
    def simulations(self) -> pathlib.Path:
        """Zarr store of the simulations."""
        return self.path / "simulations.zarr"

    @property
    def posterior(self) -> pathlib.Path:
        """Named posterior draws."""
        return self.path / "posterior.npz"

    @property
    def report(self) -> pathlib.Path:
        """Record of the finished run."""
        return self.path / "report.json"

    @property
    def page(self) -> pathlib.Path:
        """Report for people."""
        return self.path / "report.html"

    @property
    def citations(self) -> pathlib.Path:
        """BibTeX of the papers behind the methods that ran."""
        return self.path / "citations.bib"

    def checkpoint(self, name: str) -> pathlib.Path:
        """Path of a checkpoint file."""
        return self.path / "checkpoints" / name

    def figure(self, name: str) -> pathlib.Path:
        """Path of a picture."""
        return self.path / "figures" / f"{name}.png"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context in which no other process writes to this run; a killed process leaves no lock behind.

        Raises:
            ConfigurationError: another process is at it.
        """
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    str(self.path),
                    expected="a run directory of its own",
                    got="one that another process writes to",
                    remedy="Wait for it, stop it, or choose another directory with -o.",
                ) from None
            yield

    def stage(self, name: str) -> StageRecord | None:
        """Record of a stage, or None if the stage is not finished or its record is unreadable."""
        try:
            return StageRecord(**json.loads(self.checkpoint(f"{name}.stage.json").read_bytes()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def stages(self) -> dict[str, StageRecord]:
        """Records of all finished stages, in the order in which they were finished."""
        files = sorted((self.path / "checkpoints").glob("*.stage.json"), key=lambda file: file.stat().st_mtime_ns)
        found = {name: self.stage(name) for name in (file.name.removesuffix(".stage.json") for file in files)}
        return {name: record for name, record in found.items() if record is not None}

    def finished(self, name: str, inputs: str) -> bool:
        """Whether a stage is finished with these inputs and its files are what was written."""
        record = self.stage(name)
        return (
            record is not None
            and record.inputs == inputs
            and all(_checksum(self.path / file) == expected for file, expected in record.files.items())
        )

    def once(self, name: str, inputs: object, work: Callable[[], Work]) -> str:
        """Do a stage's work unless it is finished, and return the digest that later stages name as their input.

        Seconds are those of the attempt that finished the stage; for training, of all its epochs.
        """
        identity = digest(name, inputs)
        if not self.finished(name, identity):
            start = time.perf_counter()
            done = work()
            seconds = max(time.perf_counter() - start, done.seconds)
            record = StageRecord(identity, seconds, done.simulations, done.gradients, peak_memory_gb(), {}, revision())
            self.finish(name, record, done.files)
        return identity

    def finish(self, name: str, record: StageRecord, files: Sequence[pathlib.Path] = ()) -> None:
        """Mark a stage as finished: the last thing that it writes."""
        checksums = {str(file.relative_to(self.path)): _checksum(file) for file in files}
        write_json(self.checkpoint(f"{name}.stage.json"), asdict(record) | {"files": checksums})


def create(path: pathlib.Path, configuration: Configuration) -> RunDirectory:
    """Start a run in a new or empty directory.

    Raises:
        ConfigurationError: something is there already.
    """
    if path.exists() and not (path.is_dir() and _is_empty(path)):
        raise ConfigurationError(
            str(path), expected="a new directory", got="one that exists",
            remedy="Continue the run with --resume, replace it with --force, or choose another directory with -o.",
        )  # fmt: skip
    return _prepare(path, configuration)


def resume(path: pathlib.Path, configuration: Configuration) -> RunDirectory:
    """Continue a run; one that never came to start, starts.

    A study may be continued with other settings, say more methods: each of its measurements knows which of them it rests on.

    Raises:
        ConfigurationError: the directory belongs to another configuration (names the first difference), or to no run.
    """
    if not path.exists() or (path.is_dir() and _is_empty(path)):
        return _prepare(path, configuration)
    difference = tell_difference(read_configuration(path, type(configuration)), configuration)
    if difference and isinstance(configuration, RunConfiguration):
        raise ConfigurationError(
            str(path), expected="a run of this configuration", got=f"one of another: {difference}",
            remedy="Give the same settings, replace the run with --force, or choose another directory with -o.",
        )  # fmt: skip
    return _prepare(path, configuration)


def replace(path: pathlib.Path, configuration: Configuration) -> RunDirectory:
    """Start a run over: delete the artefacts of an earlier run, and nothing else that lies in its directory.

    Raises:
        ConfigurationError: the directory holds files but no run.
    """
    if path.exists() and not (path.is_dir() and _is_empty(path)):
        _require_run(path)
        with RunDirectory(path).locked():
            for artefact in filter(_is_ours, list(path.iterdir())):
                shutil.rmtree(artefact) if artefact.is_dir() else artefact.unlink()
    return _prepare(path, configuration)


def tell_difference(old: Configuration, new: Configuration) -> str | None:
    """Say which setting differs first between two configurations, or None if they are equal."""
    found = first_difference(old.model_dump(mode="json"), new.model_dump(mode="json"), "")
    return None if found is None else f"{found[0].removeprefix('.')} is {found[1]} there and {found[2]} here"


def read_configuration(path: pathlib.Path, kind: type[C]) -> C:
    """Read the configuration that a run directory was made with.

    Raises:
        ConfigurationError: the directory holds no run, or its configuration does not fit `kind`.
    """
    _require_run(path)
    return resolve(kind, load_settings(RunDirectory(path).configuration))


def read_citations(path: pathlib.Path) -> str:
    """Read the BibTeX of a finished run.

    Raises:
        ConfigurationError: the directory holds no run, or one that is not finished.
    """
    _require_run(path)
    if not RunDirectory(path).citations.exists():
        raise ConfigurationError(str(path), expected="a finished run", got="one without a report", remedy="Use --resume.")
    return RunDirectory(path).citations.read_text(encoding="utf-8")


def _prepare(path: pathlib.Path, configuration: Configuration) -> RunDirectory:
    for folder in (path, path / "checkpoints", path / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(path / "config.yaml") as file:
        file.write(configuration.to_yaml().encode())
    return RunDirectory(path)


def _require_run(path: pathlib.Path) -> None:
    if not (path / "config.yaml").is_file() or not (path / "checkpoints").is_dir():
        raise ConfigurationError(
            str(path), expected="a run directory", got="no run" if path.exists() else "no such directory",
            remedy="Choose another directory.",
        )  # fmt: skip


def _is_ours(entry: pathlib.Path) -> bool:
    # A process killed in the act of writing leaves a neighbour called .<name>.<something>.
    return any(entry.name == name or entry.name.startswith(f".{name}.") for name in ARTEFACTS)


def _is_empty(path: pathlib.Path) -> bool:
    # A process killed in the act of starting leaves folders and a neighbour of config.yaml, and not one result.
    return all(_is_ours(entry) and entry.name != "config.yaml" and not _has_files(entry) for entry in path.iterdir())


def _has_files(entry: pathlib.Path) -> bool:
    return entry.is_dir() and any(entry.iterdir())


def _checksum(path: pathlib.Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        return None
