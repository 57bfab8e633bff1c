import os
import pathlib
import tempfile

import jax
import jaxtyping
import pytest


# In the environment for child processes, where another run of the same program then costs no compilation.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir()) / "fullfield-jax-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# Nearly all the time of the tests is compilation, of programs that run once; unoptimised they compile in a third of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]))
jax.config.update("jax_numpy_dtype_promotion", "standard")

# Not as a context: the rooms are imported by the tests, long after this file.
jaxtyping.install_import_hook("fullfield", "beartype.beartype")


@pytest.fixture(scope="module", autouse=True)
def _room():
    """Compiled programs of a whole suite would use up the memory mappings of a process, and end it."""
    yield
    from fullfield._core import make_room

    make_room()


@pytest.fixture
def unchecked():
    """Annotations go unchecked, as for a user, so that the package's own words for wrong shapes are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def key():
    return jax.random.key(0)
