import os
import pathlib
import tempfile

from jaxtyping import install_import_hook


os.environ.setdefault("JAX_PLATFORMS", "cpu")

with install_import_hook("fullfield", "beartype.beartype"):
    import fullfield  # noqa: F401

import jax
import pytest


cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir()) / "fullfield-jax-cache"))
jax.config.update("jax_compilation_cache_dir", cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_numpy_dtype_promotion", "standard")


@pytest.fixture
def key():
    return jax.random.key(0)
