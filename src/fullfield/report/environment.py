"""Where and with what a run was made: versions, code revision, hardware, memory."""

import importlib.metadata
import os
import pathlib
import platform
import resource
import subprocess
import sys

import jax

import fullfield


PACKAGES = ("jax", "jaxlib", "equinox", "numpyro", "optax", "flowjax", "zarr", "numpy")


def versions() -> dict[str, str]:
    """Versions of the package, of Python and of what the numbers depend on."""
    own = {"fullfield": fullfield.__version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


def revision() -> str | None:
    """Git revision of the package's own checkout, marked when files differ from it; None outside a checkout."""
    package = pathlib.Path(fullfield.__file__).parent
    # An environment inside somebody's repository is no checkout of ours: there, the package's files are not tracked.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    changed = _git(package, "status", "--porcelain", "--untracked-files=no", ".")
    return f"{_git(package, 'rev-parse', '--short=12', 'HEAD')}{'-dirty' if changed else ''}"


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hardware() -> dict[str, str | int | float]:
    """Devices that computed, processor, cores that this process may use, and main memory."""
    devices = jax.devices()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "device": f"{len(devices)} × {devices[0].device_kind}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(memory, 1),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, in GB (2³⁰ bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20
