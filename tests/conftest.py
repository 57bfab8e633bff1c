import os
import pathlib
import tempfile

import jax
import jaxtyping
import pytest


os.environ.setdefault("JAX_PLATFORMS", "cpu")  # for child processes
jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])

# Not as a context: the rooms are imported by the tests, long after this file.
jaxtyping.install_import_hook("fullfield", "beartype.beartype")

cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir()) / "fullfield-jax-cache"))
jax.config.update("jax_compilation_cache_dir", cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_numpy_dtype_promotion", "standard")


@pytest.fixture
def unchecked():
    """Annotations go unchecked, as for a user, so that the package's own words for wrong shapes are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def key():
    return jax.random.key(0)
